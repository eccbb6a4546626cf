"""Tests of mmnet.matting.compose and mmnet.matting.background."""

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import assert_raises
from helpers.colours import ADOBE, CUBE, make_profile, reference_srgb
from helpers.images import save
from helpers.matting import NETWORK_ONLY, colour_image
from mmnet.io.errors import MmnetError
from mmnet.io.foreground import estimate_foreground
from mmnet.matting.background import Background, load_background, parse_colour
from mmnet.matting.compose import KINDS, OutputOptions, render_outputs

HALF_ALPHA = np.array([[0, 0.5, 1]], np.float32)


def compose(image, alpha, background):
    options = OutputOptions(("composition",), background, NETWORK_ONLY)
    return render_outputs(image, alpha, options)["composition"]


def test_render_outputs_mixes_person_and_background():
    image = colour_image(1, 3, 200)
    options = OutputOptions(KINDS, Background((0, 0, 100)), NETWORK_ONLY)
    outputs = render_outputs(image, HALF_ALPHA, options)
    assert list(outputs) == list(KINDS)
    mask, composition = [0, 128, 255], [[0, 0, 100], [100, 100, 150], [200, 200, 200]]
    assert outputs["alpha"].tolist() == [mask]
    assert outputs["cutout"][0, :, 3].tolist() == mask and (outputs["cutout"][..., :3] == 200).all()
    assert outputs["composition"].tolist() == [composition]
    grey = [[level] * 3 for level in mask]
    assert outputs["side-by-side"].tolist() == [image[0].tolist() + grey + composition]


def test_render_outputs_estimates_foreground_colours():
    image = np.random.RandomState(0).randint(0, 256, (1, 3, 3)).astype(np.uint8)
    cutout = render_outputs(image, HALF_ALPHA, OutputOptions(("cutout",)))["cutout"]
    np.testing.assert_array_equal(cutout[..., :3], estimate_foreground(image, HALF_ALPHA))


def test_render_outputs_keeps_colours_of_semi_transparent_pixels():
    image = np.random.RandomState(0).randint(0, 256, (1, 3, 3)).astype(np.uint8)
    opacity = np.array([[0, 128, 255]], np.uint8)
    options = OutputOptions(("cutout", "side-by-side"), Background((0, 0, 0)))
    outputs = render_outputs(image, HALF_ALPHA, options, opacity)
    np.testing.assert_array_equal(outputs["cutout"][0, :2, :3], image[0, :2])
    assert outputs["side-by-side"][0, 0].tolist() == [128] * 3  # not the hidden colour


def test_render_outputs_returns_the_requested_kinds():
    options = OutputOptions(("side-by-side", "alpha"))
    outputs = render_outputs(colour_image(4, 3, 9), np.zeros((4, 3), np.float32), options)
    assert set(outputs) == {"side-by-side", "alpha"}
    assert (outputs["side-by-side"][:, 6:] == 128).all()  # the default background


def test_load_background_converts_colours(tmp_path):
    profile, path = make_profile(*ADOBE), tmp_path / "a.png"
    path.write_bytes(save(CUBE, "png", icc_profile=profile))
    background = load_background(str(path)).at(CUBE, np.zeros((64, 64), np.float32))
    expected = reference_srgb(Image.fromarray(CUBE), profile)
    assert np.abs(background.astype(int) - expected).max() <= 2


def test_background_covers_the_photo_undistorted():
    background = np.zeros((10, 40, 3), np.uint8)
    background[:, 15:25] = 255
    result = Background(background).at(colour_image(20, 20, 0), np.zeros((20, 20)))
    assert result.shape == (20, 20, 3) and result[:, 2:-2].min() == 255


def test_blur_background_contains_no_colours_of_the_person():
    image = np.zeros((200, 300, 3), np.uint8)
    image[:, ::2] = 100  # stripes with a mean of 50
    image[60:140, 100:200] = 255
    alpha = np.zeros((200, 300), np.float32)
    alpha[60:140, 100:200] = 1
    result = compose(image, alpha, Background(None))
    assert (result[60:140, 100:200] == 255).all()
    background = result[alpha == 0]
    assert background.min() > 40 and background.max() < 60
    assert compose(image[:1, :1], alpha[:1, :1], Background(None)).shape == (1, 1, 3)


@pytest.mark.parametrize(
    "text, colour",
    [
        ("#0a0B0c", [10, 11, 12]),
        ("White", [255, 255, 255]),
        ("rgb(0,177,64)", [0, 177, 64]),
        ("rgba(0, 177, 640, 1)", [0, 177, 255]),
        ("rebeccapurple", [102, 51, 153]),
        ("green", [0, 255, 0]),
    ],
)
def test_parse_colour_accepts(text, colour):
    for background in (parse_colour(text), load_background(text)):
        assert background.at(colour_image(1, 1, 7), HALF_ALPHA[:, :1]).tolist() == [[colour]]


def test_load_background_reads_images_but_parse_colour_does_not(tmp_path):
    path = str(tmp_path / "beach.png")
    cv2.imwrite(path, np.zeros((2, 3, 3), np.uint8))
    assert load_background(path).image.shape == (2, 3, 3)
    assert load_background("blur").image is None
    with assert_raises(MmnetError, path):
        parse_colour(path)


@pytest.mark.parametrize(
    "value", ["#12345", "#gggggg", "#00000080", "beach.jpg", "rgb(1)", "rgba(1,2,3,0)", ""]
)
def test_load_background_rejects(value):
    with assert_raises(MmnetError, "background", value, "#00b140", "blur"):
        load_background(value)
