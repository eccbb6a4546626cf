"""Tests of mmnet.matting.photo."""

import os

import numpy as np
import pytest

from helpers.matting import brightness_predictor
from mmnet.datasets.pairs import find_dataset
from mmnet.inference.open import open_predictor
from mmnet.io.images import Photo
from mmnet.io.masks import load_mask
from mmnet.matting.load import load_photo
from mmnet.matting.photo import (
    MattingOptions,
    blend_second_pass,
    matte_photo,
    people_box,
    run_network,
)

ONE_PASS = MattingOptions(second_pass=False, refine_edges=False, clean_alpha=False)
PHOTO_SHAPES = [(80, 60), (300, 300), (40, 200), (200, 40), (1000, 1600), (7, 500), (1, 1)]


def alpha_with_person(shape, box):
    alpha = np.zeros(shape, np.float32)
    alpha[box] = 1
    return alpha


@pytest.mark.parametrize("network_shape", [(256, 256), (256, 192), (256, 320)])
@pytest.mark.parametrize("shape", PHOTO_SHAPES)
def test_matte_photo_keeps_positions(shape, network_shape):
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    ramp = 0.5 * y / max(1, shape[0] - 1) + 0.5 * x / max(1, shape[1] - 1)
    image = np.dstack([np.rint(255 * ramp)] * 3).astype(np.uint8)
    alpha = matte_photo(Photo(image), brightness_predictor(network_shape), ONE_PASS)
    assert alpha.shape == shape and alpha.dtype == np.float32
    # The tolerance detects a shift by 5 % of the photo.
    np.testing.assert_allclose(alpha, image[..., 0] / 255, atol=0.05)


@pytest.mark.parametrize("network_shape", [(60, 60), (60, 90)])
def test_run_network_mirrors_wide_photos(network_shape):
    inputs = []
    image = np.zeros((10, 60, 3), np.uint8)
    image[:5] = 255
    run_network(image, brightness_predictor(network_shape, inputs))
    assert inputs[0].shape == (1,) + network_shape + (3,) and inputs[0].dtype == np.float32
    column = inputs[0][0, :, 30, 0]  # 10 rows extended to 30, then resized to 60
    assert column[[15, 25]].tolist() == [255, 255]
    assert column[[5, 35, 45]].tolist() == [0, 0, 0]


def test_matte_photo_scores_real_portraits_like_the_network(test_data):
    """The score at the size of the photo is close to the one at 800x600 in numbers.md."""
    predictor = open_predictor(os.path.join(test_data, "checkpoints"))
    errors = []
    for pair in find_dataset(os.path.join(test_data, "soft"), "test").pairs:
        alpha = matte_photo(load_photo(pair.image), predictor, ONE_PASS)
        errors.append(np.abs(alpha - load_mask(pair.mask)).mean())
    assert np.mean(errors) == pytest.approx(0.0205, abs=0.001)


def test_second_pass_improves_small_people():
    image = np.zeros((300, 600, 3), np.uint8)
    image[120:220, 400:440] = 255
    inputs = []
    predictor = brightness_predictor((64, 64), inputs)
    alpha = matte_photo(Photo(image), predictor)
    assert len(inputs) == 2 and inputs[1].mean() > 2 * inputs[0].mean()
    one_pass_alpha = matte_photo(Photo(image), predictor, MattingOptions(second_pass=False))
    assert len(inputs) == 3
    truth = image[..., 0] / 255
    assert np.abs(alpha - truth).mean() < 0.7 * np.abs(one_pass_alpha - truth).mean()


def test_people_box_has_margin_and_aspect_ratio():
    alpha = alpha_with_person((400, 800), np.s_[150:350, 500:580])
    rows, columns = people_box(alpha)
    assert rows.start <= 120 and rows.stop >= 380  # margin: 15 % of 200
    assert columns.start < 500 and columns.stop > 580
    height, width = alpha[rows, columns].shape
    assert height / width == pytest.approx(4 / 3, abs=0.02)


@pytest.mark.parametrize(
    "person, ends",
    [
        pytest.param(np.s_[300:400, 760:800], (400, 800), id="corner"),
        pytest.param(np.s_[0:400, 0:100], (400, 390), id="full height"),
    ],
)
def test_people_box_stays_inside_the_photo(person, ends):
    rows, columns = people_box(alpha_with_person((400, 800), person))
    assert (rows.stop, columns.stop) == ends and min(rows.start, columns.start) >= 0


@pytest.mark.parametrize(
    "alpha",
    [
        pytest.param(np.zeros((64, 64), np.float32), id="no person"),
        pytest.param(np.ones((64, 64), np.float32), id="person fills the photo"),
        pytest.param(alpha_with_person((400, 300), np.s_[60:400, 40:260]), id="large person"),
    ],
)
def test_people_box_is_none_without_gain(alpha):
    assert people_box(alpha) is None


def test_people_box_contains_people_and_ignores_small_regions():
    alpha = alpha_with_person((400, 800), np.s_[150:350, 500:580])
    box = people_box(alpha)
    alpha[10:15, 10:15] = 1
    assert people_box(alpha) == box
    alpha[150:300, 300:380] = 1
    assert people_box(alpha)[1].start < 300


def test_blend_second_pass_fades_inside_the_photo_only():
    box = np.s_[20:100, 50:110]  # the bottom lies on the border of the photo
    alpha, box_alpha = np.zeros((100, 200), np.float32), np.ones((80, 60), np.float32)
    result = blend_second_pass(alpha, box_alpha, box)
    assert alpha.max() == 0  # the argument is not modified
    assert result[60, 80] == 1 and result[99, 80] == 1
    assert result[:21].max() == 0 and result[:, :51].max() == 0 and result[:, 109:].max() == 0
    steps = [np.abs(np.diff(result, axis=axis)).max() for axis in (0, 1)]
    assert 0 < max(steps) < 0.25


def test_matte_photo_multiplies_by_opacity():
    image = np.full((40, 60, 3), 250, np.uint8)
    opacity = np.full((40, 60), 255, np.uint8)
    opacity[:, :20], opacity[:, 20:40] = 0, 51
    alpha = matte_photo(Photo(image, opacity), brightness_predictor((64, 64)), ONE_PASS)
    assert alpha[:, :20].max() == 0
    np.testing.assert_allclose(alpha[:, 28:32], 152 / 255 / 5, atol=0.01)  # 250 over 128
    assert alpha[:, 50:].min() > 0.9
