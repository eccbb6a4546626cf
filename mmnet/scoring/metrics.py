"""Scores of one alpha against the true one, in numpy.

``alpha`` and ``truth`` are [H,W] in 0..1. Lower is better but for ``miou``. The definitions in the field are not
interchangeable: MMNet and DAPM papers print ``mad`` and ``gauss_grad``; ``sad``, ``mse``, ``grad`` and ``conn`` are
those of Rhemann et al. (CVPR 2009) as the code of Deep Image Matting computes them, over the whole picture.
"""
import cv2
import numpy as np

SIGMA = 1.4  # pixels, of both gradient scores
HALF_WIDTH = 4  # pixels: a 9x9 filter
CONN_LEVELS = np.arange(11) / 10
CONN_THETA = 0.15

_offsets = np.arange(-HALF_WIDTH, HALF_WIDTH + 1, dtype=np.float64)
_gauss = np.exp(-_offsets ** 2 / (2 * SIGMA ** 2))
_gauss /= _gauss.sum()
_slope = -_offsets * _gauss / SIGMA ** 2


def mad(alpha, truth):
    """Mean absolute difference, 0..1."""
    _check(alpha, truth)
    return float(np.mean(np.abs(alpha - truth), dtype=np.float64))


def gauss_grad(alpha, truth):
    """MMNet's gradient error: mean L2 norm of the difference of the Gaussian gradients, where the 9x9 filter fits.

    arXiv 1904.03816; the Gaussian is normalized to sum 1. Filtering is linear, so the difference is filtered once.
    """
    _check(alpha, truth)
    if min(alpha.shape) <= 2 * HALF_WIDTH:
        raise ValueError("the gradient error needs more than %d pixels a side, not %s" % (2 * HALF_WIDTH, alpha.shape))
    difference = alpha - truth
    x = cv2.sepFilter2D(difference, -1, _slope, _gauss)
    y = cv2.sepFilter2D(difference, -1, _gauss, _slope)
    inner = slice(HALF_WIDTH, -HALF_WIDTH)
    return float(np.mean(cv2.magnitude(x, y)[inner, inner], dtype=np.float64))


def sad(alpha, truth):
    """Sum of absolute differences / 1000."""
    _check(alpha, truth)
    return float(np.sum(np.abs(alpha - truth), dtype=np.float64) / 1000)


def mse(alpha, truth):
    """Mean square difference, 0..1."""
    _check(alpha, truth)
    return float(np.mean(np.square(alpha - truth), dtype=np.float64))


def grad(alpha, truth):
    """Rhemann's gradient error / 1000: the squared difference of the gradients' magnitudes, summed.

    The 9x9 filters have L2 norm 1 and the border is replicated.
    """
    _check(alpha, truth)
    return float(np.sum((_gradient_magnitude(alpha) - _gradient_magnitude(truth)) ** 2) / 1000)


def conn(alpha, truth):
    """Rhemann's connectivity error / 1000.

    A pixel's distance from the largest 4-connected region that both pictures share at its level; levels .1 apart,
    differences below theta = .15 forgiven.
    """
    _check(alpha, truth)
    level_of = np.full(alpha.shape, -1.0)
    for below, level in zip(CONN_LEVELS[:-1], CONN_LEVELS[1:]):
        shared = ((alpha >= level) & (truth >= level)).astype(np.uint8)
        level_of[(level_of == -1) & ~_largest_region(shared)] = below
    level_of[level_of == -1] = 1.0
    return float(np.sum(np.abs(_connectedness(alpha, level_of) - _connectedness(truth, level_of))) / 1000)


def miou(alpha, truth):
    """Mean over person and background of intersection / union at threshold .5, 0..1, higher is better.

    A class that is in neither picture counts as 1.
    """
    _check(alpha, truth)
    person, true_person = alpha >= 0.5, truth >= 0.5
    scores = []
    for a, b in ((person, true_person), (~person, ~true_person)):
        union = np.count_nonzero(a | b)
        scores.append(np.count_nonzero(a & b) / union if union else 1.0)
    return float(np.mean(scores))


def _gradient_magnitude(alpha):
    alpha = np.asarray(alpha, np.float64)
    slope, gauss = _slope / np.linalg.norm(_slope), _gauss / np.linalg.norm(_gauss)
    x = cv2.sepFilter2D(alpha, -1, slope, gauss, borderType=cv2.BORDER_REPLICATE)
    y = cv2.sepFilter2D(alpha, -1, gauss, slope, borderType=cv2.BORDER_REPLICATE)
    return np.sqrt(x ** 2 + y ** 2)


def _largest_region(mask):
    """bool [H,W]: the largest 4-connected region of a 0/1 uint8 mask; nothing where the mask is empty."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count == 1:  # background only
        return np.zeros(mask.shape, bool)
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def _connectedness(alpha, level_of):
    distance = alpha - level_of
    return 1 - distance * (distance >= CONN_THETA)


def _check(alpha, truth):
    if alpha.shape != truth.shape or alpha.ndim != 2:
        raise ValueError("alpha and truth are [H,W] alike, not %s and %s" % (list(alpha.shape), list(truth.shape)))
    for name, values in (("alpha", alpha), ("truth", truth)):
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # written so that NaN fails too
            raise ValueError("%s is in 0..1, not %g..%g" % (name, low, high))
