"""Tests of mmnet.matting.load."""

import io
import os
import pathlib
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import assert_raises
from helpers.images import save
from mmnet.io.errors import MmnetError
from mmnet.matting.load import load_photo

RGB = np.random.RandomState(0).randint(0, 256, (6, 5, 3)).astype(np.uint8)
GREY = RGB[..., 0]
RGBA = np.dstack([RGB, 255 - GREY])
PNG = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()


def add_orientation(jpeg, orientation):
    """Insert an EXIF segment with only an orientation after the start marker of a JPEG."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.fixture
def rotated_jpeg(tmp_path):
    """A JPEG [40,24] with a white upper half, to be displayed rotated clockwise."""
    image = np.zeros((40, 24, 3), np.uint8)
    image[:20] = 255
    path = tmp_path / "rotated.jpg"
    path.write_bytes(add_orientation(cv2.imencode(".jpg", image)[1].tobytes(), 6))
    return path


def assert_upright(image):
    assert image.shape == (24, 40, 3)
    assert image[:, :18].max() < 30 and image[:, 22:].min() > 225


@pytest.mark.parametrize(
    "photo, expected",
    [
        pytest.param(PNG, RGB, id="bytes"),
        pytest.param(RGB, RGB, id="RGB array"),
        pytest.param(RGBA, RGB, id="RGBA array"),
        pytest.param(GREY, np.dstack([GREY] * 3), id="grey array"),
        pytest.param(Image.fromarray(RGB), RGB, id="PIL image"),
    ],
)
def test_load_photo_accepts(photo, expected):
    for image in (load_photo(photo).image, load_photo(photo=photo).image):
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, expected)
    assert photo is not RGB or load_photo(photo).image is RGB  # RGB arrays are not copied


@pytest.mark.parametrize("form", ["array", "PIL image", "file"])
def test_load_photo_returns_the_opacity(form):
    image = Image.fromarray(RGBA)
    photo = load_photo({"array": RGBA, "PIL image": image, "file": save(image, "png")}[form])
    np.testing.assert_array_equal(photo.image, RGB)
    np.testing.assert_array_equal(photo.opacity, RGBA[..., 3])
    opaque = np.dstack([RGB, np.full_like(GREY, 255)])
    assert load_photo(opaque).opacity is None


def test_load_photo_accepts_paths_and_files(tmp_path):
    path = tmp_path / "a.PNG"
    path.write_bytes(PNG)
    with open(str(path), "rb") as file:
        photos = [load_photo(file), load_photo(photo=io.BytesIO(PNG))]
    photos += [load_photo(str(path)), load_photo(photo=pathlib.Path(str(path)))]
    for loaded in photos:
        np.testing.assert_array_equal(loaded.image, RGB)


def test_load_photo_rotates_by_exif_orientation(rotated_jpeg):
    for photo in (rotated_jpeg, str(rotated_jpeg), rotated_jpeg.read_bytes()):
        assert_upright(load_photo(photo).image)
    with Image.open(str(rotated_jpeg)) as image:
        assert_upright(load_photo(image).image)


def test_load_photo_accepts_pil_modes(tmp_path):
    np.testing.assert_array_equal(load_photo(Image.fromarray(RGBA)).image, RGB)
    np.testing.assert_array_equal(load_photo(Image.fromarray(GREY)).image, np.dstack([GREY] * 3))
    palette = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("P")
    assert load_photo(palette).image.tolist() == [[[0, 0, 0], [255, 255, 255]]]
    Image.fromarray(RGB).save(str(tmp_path / "a.png"))
    with Image.open(str(tmp_path / "a.png")) as image:  # not decoded yet
        loaded = load_photo(image).image
    np.testing.assert_array_equal(loaded, RGB)
    loaded[0] = 0  # the array is writable


@pytest.mark.parametrize(
    "photo, token",
    [
        pytest.param(None, "NoneType", id="None"),
        pytest.param([1, 2], "list", id="list"),
        pytest.param(io.StringIO("text"), "StringIO", id="text file"),
        pytest.param(RGB.astype(np.float32), "float32", id="float array"),
        pytest.param(RGB[0, 0], "[3]", id="one axis"),
        pytest.param(RGB[..., :2], "[6, 5, 2]", id="two channels"),
        pytest.param(RGB[:0], "[0, 5, 3]", id="no rows"),
        pytest.param(GREY[:, :0], "[6, 0]", id="no columns"),
        pytest.param(Image.new("RGB", (0, 5)), "PIL", id="PIL image without columns"),
        pytest.param(b"no image", "bytes", id="bytes of another format"),
    ],
)
def test_load_photo_rejects(photo, token):
    with assert_raises(MmnetError, "photo", token):
        load_photo(photo)


def test_load_photo_rejects_missing_and_special_files(tmp_path):
    for path in (tmp_path / "none.jpg", str(tmp_path / "none.jpg")):
        with assert_raises(FileNotFoundError, "none.jpg"):
            load_photo(path)
    os.mkfifo(str(tmp_path / "pipe.jpg"))
    for path in (tmp_path, str(tmp_path / "pipe.jpg")):
        with assert_raises(MmnetError, path):
            load_photo(path)
