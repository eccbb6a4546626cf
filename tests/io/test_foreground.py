"""Tests of mmnet.io.foreground."""

import numpy as np
import pytest

from mmnet.io.foreground import COLOUR_SIZE, estimate_foreground
from mmnet.io.resize import shrink


def edge_alpha(shape, width):
    """Return an alpha that rises from 0 to 1 over ``width`` columns in the centre."""
    x = np.arange(shape[1], dtype=np.float32) - shape[1] / 2
    return np.tile(np.clip(x / width + 0.5, 0, 1), (shape[0], 1))


@pytest.mark.parametrize("shape", [(120, 90), (90, 200), (40, COLOUR_SIZE + 300)])
def test_estimate_foreground_separates_two_colours(shape):
    alpha = edge_alpha(shape, 9)
    red, green = np.array([200, 40, 30]), np.array([20, 180, 60])
    weight = alpha[..., None]
    image = red * weight + green * (1 - weight)
    foreground = estimate_foreground(np.rint(image).astype(np.uint8), alpha)
    assert foreground.dtype == np.uint8 and foreground.shape == shape + (3,)
    # Errors count with the weight that they have in a composition.
    assert (weight * np.abs(foreground - red.astype(float))).max() <= 21
    assert (weight * np.abs(image - red)).max() > 35


@pytest.mark.parametrize("alpha", [np.ones((60, 80), np.float32), edge_alpha((60, 80), 10)])
def test_estimate_foreground_keeps_opaque_pixels(alpha):
    image = np.random.RandomState(0).randint(0, 256, (60, 80, 3)).astype(np.uint8)
    opaque = alpha == 1
    np.testing.assert_array_equal(estimate_foreground(image, alpha)[opaque], image[opaque])


@pytest.mark.parametrize("value", [0, 1])
def test_estimate_foreground_accepts_one_pixel(value):
    image = np.full((1, 1, 3), 7, np.uint8)
    result = estimate_foreground(image, np.full((1, 1), value, np.float32))
    assert result.shape == (1, 1, 3) and (value == 0 or result.tolist() == [[[7, 7, 7]]])


@pytest.mark.parametrize("shape", [(600, 900), (900, 600)])
def test_estimate_foreground_accepts_a_small_image_with_rounded_sides(shape):
    image = np.random.RandomState(0).randint(0, 256, shape + (3,)).astype(np.uint8)
    alpha = edge_alpha(shape, 20)
    expected = estimate_foreground(image, alpha)
    result = estimate_foreground(image, alpha, shrink(image, 800))
    assert np.abs(result.astype(int) - expected).mean() < 1
