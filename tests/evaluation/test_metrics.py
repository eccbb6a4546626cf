"""Tests of mmnet.evaluation.metrics against slow implementations of the definitions."""

import numpy as np
import pytest

from helpers import assert_raises
from mmnet.evaluation import metrics
from mmnet.io.errors import MmnetError


def random_alphas(shape=(24, 19), seed=0):
    """Return a noisy copy of a soft blob, and the blob. Both have many zeros and ones."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    truth = np.clip(1.6 - np.hypot(y - shape[0] / 2, x - shape[1] / 2) / 6, 0, 1)
    alpha = np.clip(truth + random.normal(0, 0.3, shape) * (random.rand(*shape) < 0.5), 0, 1)
    return alpha.astype(np.float32), truth.astype(np.float32)


def gaussian_derivative_filter(normalize):
    """Return the 9x9 first derivative along x of a Gaussian with sigma 1.4.

    ``normalize`` is "sum" (the Gaussian sums to 1) or "l2" (the filter has norm 1).
    """
    y, x = np.mgrid[-4:5, -4:5]
    gaussian = np.exp(-(x**2 + y**2) / (2 * 1.4**2))
    kernel = -x / 1.4**2 * gaussian
    return kernel / (gaussian.sum() if normalize == "sum" else np.linalg.norm(kernel))


def correlate(padded, kernel):
    shape = padded.shape[0] - 8, padded.shape[1] - 8
    values = [(padded[y : y + 9, x : x + 9] * kernel).sum() for y, x in np.ndindex(shape)]
    return np.reshape(values, shape)


def slow_gauss_grad(alpha, truth):
    kernel = gaussian_derivative_filter("sum")
    x = correlate(alpha, kernel) - correlate(truth, kernel)
    y = correlate(alpha, kernel.T) - correlate(truth, kernel.T)
    return np.sqrt(x**2 + y**2).mean()


def slow_grad(alpha, truth):
    kernel = gaussian_derivative_filter("l2")
    alpha, truth = (np.pad(image, 4, mode="edge") for image in (alpha, truth))
    magnitude, true_magnitude = (
        np.hypot(correlate(image, kernel), correlate(image, kernel.T)) for image in (alpha, truth)
    )
    return ((magnitude - true_magnitude) ** 2).sum() / 1000


def largest_component(mask):
    """Return the largest 4-connected set of True pixels, by flood fill."""
    points, largest = {tuple(point) for point in np.argwhere(mask)}, set()
    while points:
        component, border = set(), [points.pop()]
        while border:
            y, x = border.pop()
            component.add((y, x))
            for neighbour in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if neighbour in points:
                    points.remove(neighbour)
                    border.append(neighbour)
        largest = max(largest, component, key=len)
    return largest


def slow_conn(alpha, truth):
    levels = [i / 10 for i in range(11)]
    reached = {
        level: largest_component((alpha >= level) & (truth >= level)) for level in levels[1:]
    }
    total = 0.0
    for y, x in np.ndindex(alpha.shape):
        level = 0.0  # the last level before the pixel first leaves the largest shared region
        for above in levels[1:]:
            if (y, x) not in reached[above]:
                break
            level = above
        distances = [float(image[y, x]) - level for image in (alpha, truth)]
        phi = [1 - distance * (distance >= 0.15) for distance in distances]
        total += abs(phi[0] - phi[1])
    return total / 1000


def slow_mad(alpha, truth):
    return slow_sad(alpha, truth) * 1000 / alpha.size


def slow_sad(alpha, truth):
    return sum(abs(float(a) - float(t)) for a, t in zip(alpha.flat, truth.flat)) / 1000


def slow_mse(alpha, truth):
    return sum((float(a) - float(t)) ** 2 for a, t in zip(alpha.flat, truth.flat)) / alpha.size


SLOW = {
    "mad": slow_mad,
    "gauss_grad": slow_gauss_grad,
    "sad": slow_sad,
    "mse": slow_mse,
    "grad": slow_grad,
    "conn": slow_conn,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SLOW)
def test_metric_equals_slow_implementation(name, seed):
    alpha, truth = random_alphas(seed=seed)
    expected = SLOW[name](alpha, truth)
    assert expected > 0
    # The filters compute in float32, the loops in float64.
    assert metrics.METRICS[name].compute(alpha, truth) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", SLOW)
def test_metric_of_equal_alphas_is_zero(name):
    truth = random_alphas()[1]
    assert metrics.METRICS[name].compute(truth, truth) == 0


def test_miou_counts_person_and_background():
    truth = np.array([[1, 1, 0, 0]], np.float32)
    alpha = np.array([[0.9, 0.2, 0.6, 0.1]], np.float32)
    assert metrics.miou(alpha, truth) == pytest.approx((1 / 3 + 1 / 3) / 2)
    empty = np.zeros((2, 2), np.float32)
    assert metrics.miou(empty, empty) == 1


def test_flaws_are_large_errors_far_from_the_edge():
    truth = np.zeros((100, 200), np.float32)
    truth[:, 100:] = 1
    alpha = truth.copy()
    alpha[:, 98:100] = 1  # at most 1 % of the longer side from the edge
    alpha[10:14, 90:95] = 0.4  # 20 pixels, .1 % of the image
    alpha[20:40, 150:160] = 0.6
    alpha[50:60, 150:160] = 0.8  # wrong by less than .3
    alpha[80, 10:29] = 1  # 19 pixels
    assert metrics.flaws(alpha, truth) == 2
    assert metrics.flaw_area(alpha, truth) == pytest.approx(220 / 20000)
    assert metrics.flaws(truth, truth) == metrics.flaw_area(truth, truth) == 0
    # A truth without an edge: every large error is a flaw.
    assert metrics.flaws(np.ones_like(truth), np.zeros_like(truth)) == 1


def test_dtssd_measures_changes_only():
    still = np.zeros((20, 20), np.float32)
    wrong = still + 0.3
    assert metrics.dtssd((wrong, wrong), (still, still)) == 0
    assert metrics.dtssd((still, wrong), (still, still)) == pytest.approx(0.3)
    assert metrics.dtssd((still, wrong), (still, wrong)) == 0
    with pytest.raises(MmnetError):
        metrics.dtssd((still, still[1:]), (still, still))


@pytest.mark.parametrize("value", [255.0, -0.01, float("nan")])
def test_metric_refuses_values_out_of_range(value):
    truth = np.zeros((12, 12), np.float32)
    alpha = truth.copy()
    alpha[3, 3] = value
    with assert_raises(MmnetError, "alpha", f"{value:g}", "0..1"):
        metrics.mad(alpha, truth)


def test_metric_refuses_wrong_shapes():
    with assert_raises(MmnetError, "[12, 12]", "[12, 11]"):
        metrics.mad(np.zeros((12, 12)), np.zeros((12, 11)))
    with assert_raises(MmnetError, "8x8", "8 pixels"):
        metrics.gauss_grad(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32))
