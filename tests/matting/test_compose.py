"""Tests of mmnet.matting.compose and mmnet.matting.background."""

import cv2
import numpy as np
import pytest

from helpers import assert_raises
from helpers.matting import colour_image
from mmnet.io.errors import MmnetError
from mmnet.matting.background import (
    BlurBackground,
    CheckerboardBackground,
    ColourBackground,
    ImageBackground,
    load_background,
    parse_colour,
)
from mmnet.matting.compose import OutputOptions, compose, make_cutout, render_outputs, side_by_side

HALF_ALPHA = np.array([[0, 0.5, 1]], np.float32)


def test_compose_mixes_foreground_and_background():
    result = compose(colour_image(1, 3, 200), HALF_ALPHA, ColourBackground(0, 0, 100))
    assert result[0].tolist() == [[0, 0, 100], [100, 100, 150], [200, 200, 200]]


def test_make_cutout_stores_alpha_in_the_fourth_channel():
    rgba = make_cutout(colour_image(1, 3, 200), HALF_ALPHA)
    assert rgba[0, :, 3].tolist() == [0, 128, 255] and (rgba[..., :3] == 200).all()


def test_outputs_use_foreground_colours():
    image, foreground = colour_image(1, 3, 200), colour_image(1, 3, 100)
    assert (make_cutout(image, HALF_ALPHA, foreground)[..., :3] == 100).all()
    result = compose(image, HALF_ALPHA, ColourBackground(0, 0, 0), foreground)
    assert result[0, :, 0].tolist() == [0, 50, 100]


def test_side_by_side_shows_photo_alpha_and_composition():
    image = colour_image(2, 3, 9)
    result = side_by_side(image, np.ones((2, 3), np.float32), image)
    assert result.shape == (2, 9, 3)
    assert result[0, :, 0].tolist() == [9] * 3 + [255] * 3 + [9] * 3


def test_render_outputs_returns_the_requested_kinds():
    options = OutputOptions(("side-by-side", "alpha"))
    outputs = render_outputs(colour_image(4, 3, 9), np.zeros((4, 3), np.float32), options)
    assert set(outputs) == {"side-by-side", "alpha"}
    assert outputs["alpha"].tolist() == [[0] * 3] * 4
    assert (outputs["side-by-side"][:, 6:] == 128).all()  # the default background


def test_image_background_covers_the_photo_undistorted():
    background = np.zeros((10, 40, 3), np.uint8)
    background[:, 15:25] = 255
    result = ImageBackground(background).at(colour_image(20, 20, 0), np.zeros((20, 20)))
    assert result.shape == (20, 20, 3) and result[:, 2:-2].min() == 255


def test_blur_background_contains_no_colours_of_the_person():
    image = np.zeros((200, 300, 3), np.uint8)
    image[:, ::2] = 100  # stripes with a mean of 50
    image[60:140, 100:200] = 255
    alpha = np.zeros((200, 300), np.float32)
    alpha[60:140, 100:200] = 1
    result = compose(image, alpha, BlurBackground())
    assert (result[60:140, 100:200] == 255).all()
    background = result[alpha == 0]
    assert background.min() > 40 and background.max() < 60
    assert compose(image[:1, :1], alpha[:1, :1], BlurBackground()).shape == (1, 1, 3)


def test_checkerboard_background_alternates():
    squares = CheckerboardBackground().at(colour_image(40, 20, 0), np.zeros((40, 20)))
    assert squares[0, 0].tolist() == [255] * 3 and squares[16, 0].tolist() == [204] * 3


@pytest.mark.parametrize(
    "text, colour",
    [
        ("#0a0B0c", [10, 11, 12]),
        ("White", [255, 255, 255]),
        ("rgb(0,177,64)", [0, 177, 64]),
        ("rgba(0, 177.4, 64, 1)", [0, 177, 64]),
    ],
)
def test_parse_colour_accepts(text, colour):
    assert parse_colour(text).colour.tolist() == colour
    assert load_background(text).colour.tolist() == colour


def test_load_background_reads_images(tmp_path):
    path = str(tmp_path / "beach.png")
    cv2.imwrite(path, np.zeros((2, 3, 3), np.uint8))
    assert load_background(path).image.shape == (2, 3, 3)
    assert isinstance(load_background("blur"), BlurBackground)


@pytest.mark.parametrize("value", ["#12345", "#gggggg", "beach.jpg", "rgb(1)", "rgb(", ""])
def test_load_background_rejects(value):
    with assert_raises(MmnetError, "background", value, "#rrggbb", "blur"):
        load_background(value)


def test_parse_colour_never_reads_files(tmp_path):
    path = str(tmp_path / "secret.png")
    cv2.imwrite(path, np.zeros((2, 3, 3), np.uint8))
    with assert_raises(MmnetError, path):
        parse_colour(path)
