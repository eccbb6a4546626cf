"""Score one alpha against the true alpha, with numpy and OpenCV.

``alpha`` and ``truth`` are [H,W] in 0..1. A lower score is better, except for ``miou``. The
definitions in the field are not interchangeable. The MMNet and DAPM papers print ``mad`` and
``gauss_grad``. Rhemann et al. (CVPR 2009) define ``sad``, ``mse``, ``grad`` and ``conn``; here they
are computed over the whole picture, as in the code of Deep Image Matting.
"""

import cv2
import numpy as np

from mmnet.io.errors import MmnetError

SIGMA = 1.4  # pixels, for both gradient scores
HALF_WIDTH = 4  # pixels, so the filter is 9x9
CONN_LEVELS = np.arange(11) / 10
CONN_THETA = 0.15

_offsets = np.arange(-HALF_WIDTH, HALF_WIDTH + 1, dtype=np.float64)
_gauss = np.exp(-(_offsets**2) / (2 * SIGMA**2))
_gauss /= _gauss.sum()
_slope = -_offsets * _gauss / SIGMA**2


def mad(alpha, truth):
    """Compute the mean absolute difference, 0..1."""
    _check(alpha, truth)
    return float(np.mean(np.abs(alpha - truth), dtype=np.float64))


def gauss_grad(alpha, truth):
    """Compute MMNet's gradient error (arXiv 1904.03816).

    It is the mean L2 norm of the difference between the Gaussian gradients, over the pixels where
    the 9x9 filter fits inside the picture. The Gaussian is normalized to sum 1. Filtering is
    linear, so the difference of the alphas is filtered once.

    Raises:
        ValueError: a side is no longer than 8 pixels.
    """
    _check(alpha, truth)
    if min(alpha.shape) <= 2 * HALF_WIDTH:
        raise MmnetError(
            "the gradient error needs more than %d pixels a side, not %s"
            % (2 * HALF_WIDTH, alpha.shape)
        )
    difference = alpha - truth
    x = cv2.sepFilter2D(difference, -1, _slope, _gauss)
    y = cv2.sepFilter2D(difference, -1, _gauss, _slope)
    inner = slice(HALF_WIDTH, -HALF_WIDTH)
    return float(np.mean(cv2.magnitude(x, y)[inner, inner], dtype=np.float64))


def sad(alpha, truth):
    """Compute the sum of the absolute differences, / 1000."""
    _check(alpha, truth)
    return float(np.sum(np.abs(alpha - truth), dtype=np.float64) / 1000)


def mse(alpha, truth):
    """Compute the mean square difference, 0..1."""
    _check(alpha, truth)
    return float(np.mean(np.square(alpha - truth), dtype=np.float64))


def grad(alpha, truth):
    """Compute Rhemann's gradient error, / 1000.

    It is the sum of the squared differences between the magnitudes of the gradients. The 9x9
    filters have L2 norm 1, and the border is replicated.
    """
    _check(alpha, truth)
    return float(np.sum((_gradient_magnitude(alpha) - _gradient_magnitude(truth)) ** 2) / 1000)


def conn(alpha, truth):
    """Compute Rhemann's connectivity error, / 1000.

    At each level, the pixels that reach it in both pictures form 4-connected regions. Levels are .1
    apart. The level of a pixel is the highest up to which it stays in the largest region. What
    counts is the distance of each alpha from this level; a distance below theta = .15 is forgiven.
    The error is the sum of the absolute differences between these distances of the two pictures.
    """
    _check(alpha, truth)
    level_of = np.full(alpha.shape, -1.0)
    for below, level in zip(CONN_LEVELS[:-1], CONN_LEVELS[1:]):
        shared = ((alpha >= level) & (truth >= level)).astype(np.uint8)
        level_of[(level_of == -1) & ~_largest_region(shared)] = below
    level_of[level_of == -1] = 1.0
    difference = _connectedness(alpha, level_of) - _connectedness(truth, level_of)
    return float(np.sum(np.abs(difference)) / 1000)


def miou(alpha, truth):
    """Compute the mean of intersection / union over person and background, 0..1.

    Higher is better. A pixel is person if its alpha is at least .5. A class that is in neither
    picture counts as 1.
    """
    _check(alpha, truth)
    person, true_person = alpha >= 0.5, truth >= 0.5
    scores = []
    for found, true in ((person, true_person), (~person, ~true_person)):
        union = np.count_nonzero(found | true)
        scores.append(np.count_nonzero(found & true) / union if union else 1.0)
    return float(np.mean(scores))


def dtssd(alphas, truths):
    """Compute how wrongly alpha changes from one frame to the next, 0 or more; papers print x 100.

    Erofeev et al. ("Perceptually Motivated Benchmark for Video Matting", BMVC 2015): the root of
    the mean square difference between the change of alpha and the true change.

    Args:
        alphas, truths: two frames each, [H,W] in 0..1.
    """
    for alpha, truth in zip(alphas, truths):
        _check(alpha, truth)
    before, after = (alpha - np.asarray(truth, np.float64) for alpha, truth in zip(alphas, truths))
    return float(np.sqrt(np.mean(np.square(after - before))))


def _gradient_magnitude(alpha):
    alpha = np.asarray(alpha, np.float64)
    slope, gauss = _slope / np.linalg.norm(_slope), _gauss / np.linalg.norm(_gauss)
    x = cv2.sepFilter2D(alpha, -1, slope, gauss, borderType=cv2.BORDER_REPLICATE)
    y = cv2.sepFilter2D(alpha, -1, gauss, slope, borderType=cv2.BORDER_REPLICATE)
    return np.sqrt(x**2 + y**2)


def _largest_region(mask):
    """Find the largest 4-connected region of a 0/1 uint8 mask: bool [H,W].

    The region is empty if the mask is empty.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count == 1:  # there is only background
        return np.zeros(mask.shape, bool)
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def _connectedness(alpha, level_of):
    distance = alpha - level_of
    return 1 - distance * (distance >= CONN_THETA)


def _check(alpha, truth):
    if alpha.shape != truth.shape or alpha.ndim != 2:
        raise MmnetError(
            "alpha and truth are [H,W] alike, not %s and %s"
            % (list(alpha.shape), list(truth.shape))
        )
    for name, values in (("alpha", alpha), ("truth", truth)):
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # written so that NaN fails too
            raise MmnetError("%s is in 0..1, not %g..%g" % (name, low, high))
