"""Metrics of one alpha against the true alpha, with numpy and OpenCV.

``alpha`` and ``truth`` are [H,W], 0..1. Lower is better, except for ``miou``. Papers define these
metrics differently. The MMNet and DAPM papers print ``mad`` and ``gauss_grad``. Rhemann et al.
(CVPR 2009) define ``sad``, ``mse``, ``grad`` and ``conn``; here they cover the whole image, as in
the code of Deep Image Matting.
"""

from typing import Callable, NamedTuple, Sequence

import cv2
import numpy as np

from mmnet.io.errors import MmnetError, format_shape

SIGMA = 1.4  # pixels, for both gradient errors
HALF_WIDTH = 4  # pixels; the filter is 9x9
CONN_LEVELS = np.arange(11) / 10
CONN_THETA = 0.15
FLAW_ERROR = 0.3  # minimum error of the alpha
FLAW_AREA = 0.001  # minimum region, as a fraction of the image
EDGE_DISTANCE = 0.01  # fraction of the longer side; nearer errors are no flaws

_offsets = np.arange(-HALF_WIDTH, HALF_WIDTH + 1, dtype=np.float64)
_gauss = np.exp(-(_offsets**2) / (2 * SIGMA**2))
_gauss /= _gauss.sum()
_slope = -_offsets * _gauss / SIGMA**2


def mad(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean absolute difference, 0..1."""
    _check(alpha, truth)
    return float(np.mean(np.abs(alpha - truth), dtype=np.float64))


def gauss_grad(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return MMNet's gradient error (arXiv 1904.03816).

    The error is the mean L2 norm of the difference between the Gaussian gradients. It ignores a
    border of 4 pixels. The filters are linear, so the difference of the alphas is filtered once.
    """
    _check(alpha, truth)
    if min(alpha.shape) <= 2 * HALF_WIDTH:
        shape = format_shape(alpha.shape)
        raise MmnetError(f"alpha of {shape}: the gradient error needs more than 8 pixels per side")
    difference = alpha - truth
    x = cv2.sepFilter2D(difference, -1, _slope, _gauss)
    y = cv2.sepFilter2D(difference, -1, _gauss, _slope)
    inner = slice(HALF_WIDTH, -HALF_WIDTH)
    return float(np.mean(cv2.magnitude(x, y)[inner, inner], dtype=np.float64))


def sad(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return the sum of the absolute differences / 1000."""
    _check(alpha, truth)
    return float(np.sum(np.abs(alpha - truth), dtype=np.float64) / 1000)


def mse(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean squared difference, 0..1."""
    _check(alpha, truth)
    return float(np.mean(np.square(alpha - truth), dtype=np.float64))


def grad(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return Rhemann's gradient error / 1000.

    The error is the sum of the squared differences between the gradient magnitudes. The 9x9 filters
    have L2 norm 1, and the border is replicated.
    """
    _check(alpha, truth)
    return float(np.sum((_gradient_magnitude(alpha) - _gradient_magnitude(truth)) ** 2) / 1000)


def conn(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return Rhemann's connectivity error / 1000.

    At each level (0, .1, ..., 1) the pixels that reach it in both alphas form 4-connected regions.
    The level of a pixel is the last one before the pixel leaves the largest region. An alpha's
    distance from this level counts from theta = .15 on. The error is the sum of the absolute
    differences between the distances of both alphas.
    """
    _check(alpha, truth)
    levels = np.full(alpha.shape, -1.0)
    for lower, upper in zip(CONN_LEVELS[:-1], CONN_LEVELS[1:]):
        shared = ((alpha >= upper) & (truth >= upper)).astype(np.uint8)
        levels[(levels == -1) & ~_largest_region(shared)] = lower
    levels[levels == -1] = 1.0
    distance, true_distance = (
        np.where(values - levels >= CONN_THETA, values - levels, 0) for values in (alpha, truth)
    )
    return float(np.sum(np.abs(distance - true_distance)) / 1000)


def miou(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean of intersection / union over person and background, 0..1.

    Higher is better. A pixel belongs to a person if its alpha is at least .5. A class that is in
    neither alpha counts as 1.
    """
    _check(alpha, truth)
    person, true_person = alpha >= 0.5, truth >= 0.5
    ratios = []
    for region, true_region in ((person, true_person), (~person, ~true_person)):
        union = np.count_nonzero(region | true_region)
        ratios.append(np.count_nonzero(region & true_region) / union if union else 1.0)
    return sum(ratios) / 2


def flaws(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return the number of flaws: wrong regions that are visible at once (smudges, holes, crumbs).

    A flaw is an 8-connected region of at least .1 % of the image. In each of its pixels the alpha
    is wrong by more than .3, and the true edge is farther away than 1 % of the longer side. At the
    true edge the truth crosses .5.
    """
    return float(len(_flaw_areas(alpha, truth)))


def flaw_area(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Return the area of all flaws as a fraction of the image: see ``flaws``."""
    return float(np.sum(_flaw_areas(alpha, truth)))


def dtssd(alphas: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
    """Return the error of the change from the first to the second of two frames, 0 or more.

    The error is the root mean square difference between the change of the alpha and the change of
    the truth (Erofeev et al., "Perceptually Motivated Benchmark for Video Matting", BMVC 2015).
    Papers print the error x 100.
    """
    errors = []
    for alpha, truth in zip(alphas, truths):
        _check(alpha, truth)
        errors.append(alpha - np.asarray(truth, np.float64))
    return float(np.sqrt(np.mean(np.square(errors[1] - errors[0]))))


class Metric(NamedTuple):
    """A metric with its names in results."""

    compute: Callable[[np.ndarray, np.ndarray], float]  # alpha, truth -> score
    tag: str  # in JSON and TensorBoard
    label: str  # in tables, with the unit
    higher_is_better: bool = False


METRICS = {
    "mad": Metric(mad, "MAD", "MAD (0..1)"),
    "gauss_grad": Metric(gauss_grad, "GAUSS_GRAD", "gradient error (0..1)"),
    "sad": Metric(sad, "SAD", "SAD (sum / 1000)"),
    "mse": Metric(mse, "MSE", "MSE (0..1)"),
    "grad": Metric(grad, "GRAD", "Grad (sum / 1000)"),
    "conn": Metric(conn, "CONN", "Conn (sum / 1000)"),
    "miou": Metric(miou, "MIOU", "mIoU (0..1, higher is better)", higher_is_better=True),
    "flaws": Metric(flaws, "FLAWS", "flaws per image"),
    "flaw_area": Metric(flaw_area, "FLAW_AREA", "area of flaws (0..1)"),
}
MAIN_METRICS = ("mad", "gauss_grad")  # the MMNet paper prints them


def _gradient_magnitude(alpha):
    alpha = np.asarray(alpha, np.float64)
    slope, gauss = _slope / np.linalg.norm(_slope), _gauss / np.linalg.norm(_gauss)
    x = cv2.sepFilter2D(alpha, -1, slope, gauss, borderType=cv2.BORDER_REPLICATE)
    y = cv2.sepFilter2D(alpha, -1, gauss, slope, borderType=cv2.BORDER_REPLICATE)
    return np.sqrt(x**2 + y**2)


def _flaw_areas(alpha, truth):
    """Return the areas of the flaws as fractions of the image."""
    _check(alpha, truth)
    person = (truth >= 0.5).astype(np.uint8)
    distance = sum(cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (person, 1 - person))
    is_wrong = np.abs(alpha - truth) > FLAW_ERROR
    is_wrong &= distance > EDGE_DISTANCE * max(alpha.shape)
    regions = cv2.connectedComponentsWithStats(is_wrong.astype(np.uint8))[2]
    areas = regions[1:, cv2.CC_STAT_AREA] / alpha.size  # region 0 has no errors
    return areas[areas >= FLAW_AREA]


def _largest_region(mask):
    """Return bool [H,W]: the largest 4-connected region of a 0/1 uint8 mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count == 1:  # there is only background
        return np.zeros(mask.shape, bool)
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def _check(alpha, truth):
    if alpha.shape != truth.shape or alpha.ndim != 2:
        raise MmnetError(
            f"alpha {list(alpha.shape)} and truth {list(truth.shape)}: must have one shape [H,W]"
        )
    for name, values in (("alpha", alpha), ("truth", truth)):
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # also true for NaN
            raise MmnetError(f"{name}: values {low:g}..{high:g} must lie in 0..1")
