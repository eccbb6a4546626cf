"""An alpha brought to the photo's own edges."""

import cv2
import numpy as np
import pytest

from mmnet.matting.refine import refined, scale_alpha_logits


def scene(shape):
    """(photo, true alpha): a bright disc before a dark ground, sharp but for a pixel."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(x - width / 2, y - height / 2)
    truth = np.clip(0.3 * width - distance + 0.5, 0, 1).astype(np.float32)
    photo = np.dstack([60 + 150 * truth, 80 + 60 * truth, 200 - 150 * truth])
    noise = np.random.RandomState(0).normal(0, 3, photo.shape)
    return np.rint(photo + noise).clip(0, 255).astype(np.uint8), truth


def from_afar(truth, side=64):
    """An alpha as a network of that side sees it, resized to the photo."""
    small = cv2.resize(truth, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, truth.shape[::-1], interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("shape", [(400, 300), (300, 420)])
def test_edges_become_the_photos(shape):
    photo, truth = scene(shape)
    alpha = from_afar(truth)
    result = refined(alpha, photo, photo)
    assert result.shape == shape and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1
    assert np.abs(result - truth).mean() < 0.5 * np.abs(alpha - truth).mean()


def test_a_large_photo_gets_its_edges_from_the_small_one():
    photo, truth = scene((900, 1200))
    small = cv2.resize(photo, (400, 300), interpolation=cv2.INTER_AREA)
    alpha = from_afar(cv2.resize(truth, (400, 300), interpolation=cv2.INTER_AREA))
    plain = cv2.resize(alpha, (1200, 900), interpolation=cv2.INTER_LINEAR)
    result = refined(alpha, small, photo)
    assert result.shape == (900, 1200)
    assert np.abs(result - truth).mean() < 0.5 * np.abs(plain - truth).mean()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_is_sure_stays(value):
    photo = np.random.RandomState(0).randint(0, 256, (50, 40, 3)).astype(np.uint8)
    alpha = np.full((50, 40), value, np.float32)
    np.testing.assert_array_equal(refined(alpha, photo, photo), alpha)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (300, 2)])
def test_the_smallest_photos(shape):
    photo = np.full(shape + (3,), 90, np.uint8)
    result = refined(np.full(shape, 0.5, np.float32), photo, photo)
    np.testing.assert_allclose(result, np.full(shape, 0.5), atol=1e-3)


def test_sharper():
    alpha = np.array([0, 0.2, 0.5, 0.8, 1], np.float32)
    odds = (alpha[1:4] / (1 - alpha[1:4])) ** 1.5
    np.testing.assert_allclose(scale_alpha_logits(alpha)[1:4], odds / (1 + odds), rtol=1e-5)
    assert scale_alpha_logits(alpha)[[0, 4]].tolist() == [0, 1]
