import os
import pathlib
import struct

import cv2
import numpy as np
import pytest

from mmnet.matting.load import load_photo


def with_orientation(jpeg, orientation):
    """Put an EXIF segment that holds the orientation alone behind a JPEG's start marker."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.fixture
def rgb():
    return np.random.RandomState(0).randint(0, 256, (6, 5, 3)).astype(np.uint8)


@pytest.fixture
def turned():
    """The bytes of a JPEG [40,24], its upper half white, that is to be shown turned right."""
    picture = np.zeros((40, 24, 3), np.uint8)
    picture[:20] = 255
    return with_orientation(cv2.imencode(".jpg", picture)[1].tobytes(), 6)


class Photo:
    """What load_photo uses of a PIL image."""

    def __init__(self, rgb, exif=None):
        self.rgb, self.exif = rgb, exif or {}

    def convert(self, mode):
        assert mode == "RGB"
        return self.rgb

    def getexif(self):
        return self.exif


def assert_upright(upright):
    assert upright.shape == (24, 40, 3)
    assert upright[:, :18].max() < 30 and upright[:, 22:].min() > 225


def test_path_bytes_and_array(tmp_path, rgb):
    path = str(tmp_path / "a.PNG")
    assert cv2.imwrite(path, rgb[..., ::-1])
    with open(path, "rb") as file:
        data = file.read()
    for source in (path, pathlib.Path(path), data, rgb):
        loaded = load_photo(source)
        assert loaded.dtype == np.uint8
        np.testing.assert_array_equal(loaded, rgb)
    assert load_photo(rgb) is rgb
    for array in (rgb.astype(np.float32), rgb[..., 0], np.dstack([rgb, rgb[..., :1]])):
        with pytest.raises(ValueError, match="uint8"):
            load_photo(array)


def test_a_photo_is_always_upright(tmp_path, turned):
    path = tmp_path / "turned.jpg"
    path.write_bytes(turned)
    for source in (turned, path, str(path)):
        assert_upright(load_photo(source))


def test_what_has_convert_is_taken_for_a_pil_image(rgb):
    for photo in (Photo(rgb), Photo(rgb, {0x112: 1})):
        np.testing.assert_array_equal(load_photo(photo), rgb)


def test_pil_images_of_every_mode(tmp_path, rgb):
    pil = pytest.importorskip("PIL.Image")
    np.testing.assert_array_equal(load_photo(pil.fromarray(rgb)), rgb)
    grey = rgb[..., 0]
    np.testing.assert_array_equal(load_photo(pil.fromarray(grey)), np.dstack([grey] * 3))
    rgba = np.dstack([rgb, 255 - grey])
    np.testing.assert_array_equal(load_photo(pil.fromarray(rgba)), rgb)  # its alpha is dropped
    two = pil.fromarray(np.array([[0, 255]], np.uint8)).convert("P")
    assert load_photo(two).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    pil.fromarray(rgb).save(str(tmp_path / "a.png"))
    with pil.open(str(tmp_path / "a.png")) as image:  # a file that is not read yet
        loaded = load_photo(image)
    np.testing.assert_array_equal(loaded, rgb)
    loaded[0] = 0  # it is the caller's own


def test_pil_images_are_turned_upright(tmp_path, turned):
    pil = pytest.importorskip("PIL.Image")
    (tmp_path / "turned.jpg").write_bytes(turned)
    with pil.open(str(tmp_path / "turned.jpg")) as image:
        assert image.size == (24, 40)
        assert_upright(load_photo(image))


def test_what_is_no_photo(tmp_path, rgb):
    for thing in (None, 5, [1, 2], object()):
        said = "a photo is a path, bytes, .*not %s" % type(thing).__name__
        with pytest.raises(ValueError, match=said):
            load_photo(thing)
    with pytest.raises(ValueError, match="the photo's bytes: not a JPEG"):
        load_photo(b"no picture")
    with pytest.raises(FileNotFoundError, match="none.jpg"):
        load_photo(str(tmp_path / "none.jpg"))
    with pytest.raises(FileNotFoundError, match="none.jpg"):
        load_photo(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="not a regular file"):
        load_photo(tmp_path)
    os.mkfifo(str(tmp_path / "pipe.jpg"))
    with pytest.raises(ValueError, match="pipe.jpg: not a regular file"):
        load_photo(str(tmp_path / "pipe.jpg"))
