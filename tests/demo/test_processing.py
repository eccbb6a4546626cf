"""Tests of mmnet.demo.processing."""

import cv2
import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.matting import NETWORK_ONLY, brightness_predictor, colour_image
from mmnet.demo import processing
from mmnet.demo.processing import MAX_CAMERAS, TRANSPARENT, Demo
from mmnet.io.errors import MmnetError
from mmnet.io.images import encode_png

GREEN = (0, 177, 64)
PHOTO = encode_png(colour_image(20, 30, 128))
IMAGE = encode_png(colour_image(8, 8, GREEN))
FIELDS = {"weights": "any", "background": "transparent", "length": str(len(PHOTO)), "camera": "1"}


@pytest.fixture
def demo():
    predictor = brightness_predictor()
    return Demo(lambda name, **_: predictor, NETWORK_ONLY)


def decode(data):
    """Return an encoded image with its own channels: RGB or RGBA."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def test_cut_out_photo_returns_the_photo_and_its_cutout(demo):
    result = demo.cut_out_photo(FIELDS, PHOTO)
    assert decode(result.before).shape == (20, 30, 3)
    assert (decode(result.after) == 128).all() and decode(result.after).shape == (20, 30, 4)
    assert_message(result.text, "30 x 20", "person: 50.2 %", "ms")


@pytest.mark.parametrize("function", ["cut_out_photo", "cut_out_frame"])
@pytest.mark.parametrize(
    "background, level",
    [({"background": "colour", "colour": "#00b140"}, GREEN), ({"background": "image"}, GREEN)],
    ids=["colour", "image"],
)
def test_cut_out_composes_the_person(demo, function, background, level):
    result = getattr(demo, function)(dict(FIELDS, **background), PHOTO + IMAGE)
    half = np.add(128 * 128 / 255, np.multiply(level, 127 / 255))
    assert np.abs(decode(result.after) - half).max() <= 3


def test_transparent_background_is_a_checkerboard():
    squares = TRANSPARENT.at(colour_image(40, 20, 0), None)
    assert squares[0, 0].tolist() == [255] * 3 and squares[16, 0].tolist() == [204] * 3


def test_cut_out_frame_uses_the_previous_frame_of_the_camera(demo, monkeypatch):
    previous_frames = []

    def matte_next_frame(image, predictor, options, previous):
        previous_frames.append(previous)
        return original(image, predictor, options, previous)

    original = processing.matte_next_frame
    monkeypatch.setattr(processing, "matte_next_frame", matte_next_frame)
    demo.cut_out_frame(FIELDS, PHOTO)
    first = demo.cameras["1"].matted
    for fields in ({}, {"camera": "2"}, {"weights": "others"}):
        demo.cut_out_frame(dict(FIELDS, **fields), PHOTO)
    assert previous_frames == [None, first, None, None]


def test_cut_out_frame_keeps_few_cameras(demo):
    for number in range(MAX_CAMERAS + 3):
        demo.cut_out_frame(dict(FIELDS, camera=str(number)), PHOTO)
    assert len(demo.cameras) == MAX_CAMERAS and "0" not in demo.cameras


@pytest.mark.parametrize(
    "fields, body, name",
    [
        ({"background": "colour", "colour": __file__}, PHOTO, __file__),
        ({"background": "colour"}, PHOTO, "colour"),
        ({"background": "image"}, PHOTO, "background"),
        ({"background": __file__}, PHOTO, "background"),
        ({"length": "-1"}, PHOTO, "length"),
        ({"length": "9" * 5000}, PHOTO, "length"),
        ({"length": "0"}, PHOTO, "photo"),
        ({}, PHOTO[:-20], "photo"),
        ({}, __file__.encode(), "photo"),
    ],
)
def test_cut_out_photo_rejects(demo, fields, body, name):
    with assert_raises(MmnetError, name):
        demo.cut_out_photo(dict(FIELDS, **fields), body)


def test_cut_out_photo_refuses_huge_images_before_decoding(demo):
    png = encode_png(np.zeros((8000, 8000), np.uint8))
    with assert_raises(MmnetError, "photo", 8000 * 8000):
        demo.cut_out_photo(dict(FIELDS, length=str(len(png))), png)
