"""Tests of mmnet.io.foreground."""

import numpy as np
import pytest

from mmnet.io.foreground import COLOUR_SIZE, estimate_foreground


def ramp_alpha(shape, width):
    """Return an alpha that rises from 0 to 1 over ``width`` columns in the middle."""
    x = np.arange(shape[1], dtype=np.float32) - shape[1] / 2
    return np.tile(np.clip(x / width + 0.5, 0, 1), (shape[0], 1))


@pytest.mark.parametrize("shape", [(120, 90), (90, 200), (40, COLOUR_SIZE + 300)])
def test_estimate_foreground_separates_two_colours(shape):
    alpha = ramp_alpha(shape, 9)
    red, green = np.array([200, 40, 30]), np.array([20, 180, 60])
    image = red * alpha[..., None] + green * (1 - alpha[..., None])
    foreground = estimate_foreground(np.rint(image).astype(np.uint8), alpha)
    assert foreground.dtype == np.uint8 and foreground.shape == shape + (3,)
    weight = alpha[..., None]  # an error is visible in a composition in proportion to alpha
    assert (weight * np.abs(foreground - red.astype(float))).max() <= 21
    assert (weight * np.abs(image - red)).max() > 35  # the error without the estimation


def test_estimate_foreground_keeps_opaque_pixels():
    image = np.random.RandomState(0).randint(0, 256, (60, 80, 3)).astype(np.uint8)
    np.testing.assert_array_equal(estimate_foreground(image, np.ones((60, 80), np.float32)), image)
    alpha = ramp_alpha((60, 80), 10)
    opaque = alpha == 1
    np.testing.assert_array_equal(estimate_foreground(image, alpha)[opaque], image[opaque])


@pytest.mark.parametrize("value", [0, 1])
def test_estimate_foreground_accepts_one_pixel(value):
    image = np.full((1, 1, 3), 7, np.uint8)
    result = estimate_foreground(image, np.full((1, 1), value, np.float32))
    assert result.shape == (1, 1, 3) and (value == 0 or result.tolist() == [[[7, 7, 7]]])
