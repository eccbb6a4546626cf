"""Tests of mmnet.matting.refine."""

import cv2
import numpy as np
import pytest

from helpers.matting import colour_image
from mmnet.matting.refine import enlarge_alpha, scale_alpha_logits


def disc_photo(shape):
    """Return a noisy photo of a bright disc and its true alpha, which is sharp."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(x - width / 2, y - height / 2)
    truth = np.clip(0.3 * width - distance + 0.5, 0, 1).astype(np.float32)
    photo = np.dstack([60 + 150 * truth, 80 + 60 * truth, 200 - 150 * truth])
    noise = np.random.RandomState(0).normal(0, 3, photo.shape)
    return np.rint(photo + noise).clip(0, 255).astype(np.uint8), truth


def blur_by_resizing(truth, size=64):
    small = cv2.resize(truth, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, truth.shape[::-1], interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("shape", [(400, 300), (300, 420)])
def test_enlarge_alpha_reduces_the_error(shape):
    photo, truth = disc_photo(shape)
    alpha = blur_by_resizing(truth)
    result = enlarge_alpha(alpha, photo, photo)
    assert result.shape == shape and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1
    assert np.abs(result - truth).mean() < 0.5 * np.abs(alpha - truth).mean()


def test_enlarge_alpha_enlarges_to_the_photo():
    photo, truth = disc_photo((900, 1200))
    small = cv2.resize(photo, (400, 300), interpolation=cv2.INTER_AREA)
    alpha = blur_by_resizing(cv2.resize(truth, (400, 300), interpolation=cv2.INTER_AREA))
    enlarged = cv2.resize(alpha, (1200, 900), interpolation=cv2.INTER_LINEAR)
    result = enlarge_alpha(alpha, small, photo)
    assert result.shape == (900, 1200)
    assert np.abs(result - truth).mean() < 0.5 * np.abs(enlarged - truth).mean()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_enlarge_alpha_keeps_opaque_and_transparent_pixels(value):
    photo = np.random.RandomState(0).randint(0, 256, (50, 40, 3)).astype(np.uint8)
    alpha = np.full((50, 40), value, np.float32)
    np.testing.assert_array_equal(enlarge_alpha(alpha, photo, photo), alpha)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (300, 2)])
def test_enlarge_alpha_accepts_tiny_photos(shape):
    photo = colour_image(*shape, 90)
    result = enlarge_alpha(np.full(shape, 0.5, np.float32), photo, photo)
    np.testing.assert_allclose(result, np.full(shape, 0.5), atol=1e-3)


def test_scale_alpha_logits_multiplies_log_odds():
    alpha = np.array([0, 0.2, 0.5, 0.8, 1], np.float32)
    odds = (alpha[1:4] / (1 - alpha[1:4])) ** 1.5
    result = scale_alpha_logits(alpha, 1.5)
    np.testing.assert_allclose(result[1:4], odds / (1 + odds), rtol=1e-5)
    assert result[[0, 4]].tolist() == [0, 1]
