"""The person's own colours at soft edges."""

import numpy as np
import pytest

from mmnet.io.foreground import LONGEST, estimate_foreground


def edge(shape, width):
    """An alpha that rises from 0 to 1 over ``width`` columns in the middle."""
    x = np.arange(shape[1], dtype=np.float32) - shape[1] / 2
    return np.tile(np.clip(x / width + 0.5, 0, 1), (shape[0], 1))


@pytest.mark.parametrize("shape", [(120, 90), (90, 200), (40, LONGEST + 300)])
def test_two_colours_are_taken_apart(shape):
    alpha = edge(shape, 9)
    red, green = np.array([200, 40, 30]), np.array([20, 180, 60])
    image = red * alpha[..., None] + green * (1 - alpha[..., None])
    foreground = estimate_foreground(np.rint(image).astype(np.uint8), alpha)
    assert foreground.dtype == np.uint8 and foreground.shape == shape + (3,)
    weight = alpha[..., None]  # what counts is what shows in a composition
    assert (weight * np.abs(foreground - red.astype(float))).max() <= 21
    assert (weight * np.abs(image - red)).max() > 35  # what a cut-out without them carries


def test_where_alpha_is_1_the_photo_stays():
    image = np.random.RandomState(0).randint(0, 256, (60, 80, 3)).astype(np.uint8)
    np.testing.assert_array_equal(estimate_foreground(image, np.ones((60, 80), np.float32)), image)
    alpha = edge((60, 80), 10)
    opaque = alpha == 1
    np.testing.assert_array_equal(estimate_foreground(image, alpha)[opaque], image[opaque])


@pytest.mark.parametrize("value", [0, 1])
def test_flat_alphas_and_the_smallest_picture(value):
    image = np.full((1, 1, 3), 7, np.uint8)
    result = estimate_foreground(image, np.full((1, 1), value, np.float32))
    assert result.shape == (1, 1, 3) and (value == 0 or result.tolist() == [[[7, 7, 7]]])
