"""Each score against a slow implementation that follows the definition pixel by pixel."""

import math

import numpy as np
import pytest

from mmnet.evaluation import metrics


def random_alphas(shape=(24, 19), seed=0):
    """A soft blob and a disturbed copy of it, with many 0 and 1."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    truth = np.clip(1.6 - np.hypot(y - shape[0] / 2, x - shape[1] / 2) / 6, 0, 1)
    alpha = np.clip(truth + random.normal(0, 0.3, shape) * (random.rand(*shape) < 0.5), 0, 1)
    return alpha.astype(np.float32), truth.astype(np.float32)


def gaussian_derivative_filter(normalize):
    """9x9 Gaussian first derivative along x, sigma 1.4.

    normalize: "sum" (of the Gaussian) or "l2".
    """
    sigma = 1.4
    kernel = np.array(
        [
            [math.exp(-(x * x + y * y) / (2 * sigma * sigma)) for x in range(-4, 5)]
            for y in range(-4, 5)
        ]
    )
    if normalize == "sum":
        kernel /= kernel.sum()
    kernel *= np.array([[-x / sigma**2 for x in range(-4, 5)]])
    return kernel / math.sqrt((kernel**2).sum()) if normalize == "l2" else kernel


def correlate(padded, kernel):
    height, width = padded.shape[0] - 8, padded.shape[1] - 8
    return np.array(
        [
            [(padded[y : y + 9, x : x + 9] * kernel).sum() for x in range(width)]
            for y in range(height)
        ]
    )


def slow_gauss_grad(alpha, truth):
    kernel = gaussian_derivative_filter("sum")
    x = correlate(alpha, kernel) - correlate(truth, kernel)
    y = correlate(alpha, kernel.T) - correlate(truth, kernel.T)
    return np.sqrt(x**2 + y**2).mean()


def slow_grad(alpha, truth):
    kernel = gaussian_derivative_filter("l2")
    magnitudes = []
    for picture in (alpha, truth):
        padded = np.pad(picture, 4, mode="edge")
        magnitudes.append(
            np.sqrt(correlate(padded, kernel) ** 2 + correlate(padded, kernel.T) ** 2)
        )
    return ((magnitudes[0] - magnitudes[1]) ** 2).sum() / 1000


def largest_component(mask):
    """The largest 4-connected set of True pixels, by flood fill."""
    left, largest = {tuple(point) for point in np.argwhere(mask)}, set()
    while left:
        component, border = set(), [left.pop()]
        while border:
            y, x = border.pop()
            component.add((y, x))
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left:
                    left.remove(near)
                    border.append(near)
        largest = max(largest, component, key=len)
    return largest


def slow_conn(alpha, truth):
    levels = [i / 10 for i in range(11)]
    reached = {
        level: largest_component((alpha >= level) & (truth >= level)) for level in levels[1:]
    }
    total = 0.0
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            level = 0.0  # the last level before the pixel first leaves the largest shared region
            for above in levels[1:]:
                if (y, x) not in reached[above]:
                    break
                level = above
            phi = [
                1 - (value - level) * (value - level >= 0.15)
                for value in (float(alpha[y, x]), float(truth[y, x]))
            ]
            total += abs(phi[0] - phi[1])
    return total / 1000


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "fast, slow",
    [
        (metrics.gauss_grad, slow_gauss_grad),
        (metrics.grad, slow_grad),
        (metrics.conn, slow_conn),
        (
            metrics.mad,
            lambda a, t: sum(abs(float(x) - float(y)) for x, y in zip(a.flat, t.flat)) / a.size,
        ),
        (
            metrics.sad,
            lambda a, t: sum(abs(float(x) - float(y)) for x, y in zip(a.flat, t.flat)) / 1000,
        ),
        (
            metrics.mse,
            lambda a, t: sum((float(x) - float(y)) ** 2 for x, y in zip(a.flat, t.flat)) / a.size,
        ),
    ],
)
def test_equals_slow_implementation(fast, slow, seed):
    alpha, truth = random_alphas(seed=seed)
    expected = slow(alpha, truth)
    assert expected > 0
    assert fast(alpha, truth) == pytest.approx(
        expected, rel=1e-5
    )  # float32 filters against float64 loops


@pytest.mark.parametrize(
    "score", [metrics.mad, metrics.gauss_grad, metrics.sad, metrics.mse, metrics.grad, metrics.conn]
)
def test_equal_pictures_have_no_error(score):
    truth = random_alphas()[1]
    assert score(truth, truth) == 0


def test_miou_by_hand():
    truth = np.array([[1, 1, 0, 0]], np.float32)
    alpha = np.array([[0.9, 0.2, 0.6, 0.1]], np.float32)
    assert metrics.miou(alpha, truth) == pytest.approx((1 / 3 + 1 / 3) / 2)
    nobody = np.zeros((2, 2), np.float32)
    assert metrics.miou(nobody, nobody) == 1


@pytest.mark.parametrize("value", [255.0, -0.01, float("nan")])
def test_values_out_of_range_are_named(value):
    truth = np.zeros((12, 12), np.float32)
    alpha = truth.copy()
    alpha[3, 3] = value
    with pytest.raises(ValueError, match=r"alpha is in 0..1, not .*(255|-0.01|nan)"):
        metrics.mad(alpha, truth)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\[12, 12\] and \[12, 11\]"):
        metrics.mad(np.zeros((12, 12)), np.zeros((12, 11)))
    with pytest.raises(ValueError, match="8 pixels"):
        metrics.gauss_grad(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32))
