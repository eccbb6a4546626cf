"""Tests of mmnet.matting.temporal."""

import numpy as np
import pytest

from helpers.matting import brightness_predictor
from mmnet.matting.background import load_background
from mmnet.matting.clip import matte_next_frame
from mmnet.matting.compose import KINDS, OutputOptions, render_outputs
from mmnet.matting.refine import enlarge_alpha
from mmnet.matting.temporal import (
    MOTION_WEIGHT,
    MattedFrame,
    smooth_along_motion,
    smooth_exponential,
)


def disc_frame(shift, shape=(120, 160), seed=0):
    """Return a frame of a textured disc, ``shift`` pixels right of the centre, and its alpha."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    random = np.random.RandomState(seed)
    background = random.randint(0, 120, (40, 40, 3))
    person = random.randint(0, 120, (40, 40, 3)) + 120
    truth = np.hypot(x - width / 2 - shift, y - height / 2) < 0.3 * height
    person_image = person[(y // 6) % 40, ((x - shift) // 6) % 40]
    image = np.where(truth[..., None], person_image, background[(y // 8) % 40, (x // 8) % 40])
    return image.astype(np.uint8), truth.astype(np.float32)


@pytest.mark.parametrize("shape", [(120, 160), (300, 400)])
def test_smooth_along_motion_reduces_flicker(shape):
    image, truth = disc_frame(0, shape)
    noise = 0.2 * np.random.RandomState(1).rand(*shape)
    alpha = np.clip(truth + noise, 0, 1).astype(np.float32)
    result = smooth_along_motion(alpha, image, MattedFrame(image, truth))
    assert result.dtype == np.float32 and result.shape == shape
    expected = truth + (1 - MOTION_WEIGHT) * (alpha - truth)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_smooth_along_motion_leaves_no_trail():
    previous = MattedFrame(*disc_frame(0))
    image, truth = disc_frame(8)
    error = np.abs(smooth_along_motion(truth, image, previous) - truth).mean()
    exponential_error = np.abs(smooth_exponential(truth, image, previous) - truth).mean()
    assert error < 0.35 * exponential_error


def test_smooth_along_motion_ignores_a_different_previous_frame():
    image, truth = disc_frame(0, seed=4)
    previous = MattedFrame(disc_frame(0, seed=3)[0], 1 - truth)
    result = smooth_along_motion(truth, image, previous)
    assert np.abs(result - truth).mean() < 0.05 * MOTION_WEIGHT


def test_smooth_along_motion_accepts_float_images():
    image, truth = disc_frame(0)
    float_image = image.astype(np.float32)
    result = smooth_along_motion(truth, float_image, MattedFrame(float_image, truth))
    expected = smooth_along_motion(truth, image, MattedFrame(image, truth))
    np.testing.assert_allclose(result, expected, atol=1e-6)


NARROW_SHAPES = [(1, 1), (2, 2), (1, 3000), (3000, 1), (64, 512), (40, 640), (30, 780), (20, 64)]


@pytest.mark.parametrize("shape", NARROW_SHAPES, ids="{0[0]}x{0[1]}".format)
def test_smooth_along_motion_accepts_narrow_frames(shape):
    image = np.random.RandomState(0).randint(0, 256, (*shape, 3)).astype(np.uint8)
    alpha, previous_alpha = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    result = smooth_along_motion(alpha, image, MattedFrame(image, previous_alpha))
    np.testing.assert_allclose(result, np.full(shape, MOTION_WEIGHT), atol=1e-5)


@pytest.mark.parametrize("shape", NARROW_SHAPES, ids="{0[0]}x{0[1]}".format)
def test_frames_of_any_shape_have_outputs(shape):
    options = OutputOptions(KINDS, load_background("blur"))
    predictor, matted = brightness_predictor(), None
    random = np.random.RandomState(0)
    for _ in range(2):
        image = random.randint(0, 256, (*shape, 3)).astype(np.uint8)
        matted = matte_next_frame(image, predictor, options, matted)
    alpha = enlarge_alpha(matted.alpha, matted.image, image)
    outputs = render_outputs(image, alpha, options)
    assert {kind: outputs[kind].shape[0] for kind in outputs} == dict.fromkeys(KINDS, shape[0])
    assert outputs["cutout"].shape == (*shape, 4)
