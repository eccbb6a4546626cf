"""What version 0.1's README showed: it warns, and gives the same numbers."""

import pathlib

import cv2
import numpy as np
import pytest

from mmnet.data.photos import load_image
from mmnet.photos.load import load_photo
from test_load import with_orientation


def warned_load(*arguments):
    with pytest.warns(DeprecationWarning, match="load_image is deprecated as of 0.2.*mmnet.cutout"):
        return load_image(*arguments)


def test_load_image_takes_path_bytes_and_array(tmp_path):
    rgb = np.random.RandomState(0).randint(0, 256, (6, 5, 3)).astype(np.uint8)
    path = str(tmp_path / "a.PNG")
    assert cv2.imwrite(path, rgb[..., ::-1])
    with open(path, "rb") as file:
        data = file.read()
    for source in (path, pathlib.Path(path), data, rgb):
        loaded = warned_load(source)
        np.testing.assert_array_equal(loaded, rgb)
        np.testing.assert_array_equal(loaded, load_photo(source))
    with pytest.warns(DeprecationWarning), pytest.raises(ValueError, match="uint8"):
        load_image(rgb.astype(np.float32))


def test_load_image_applies_orientation_on_request_only(tmp_path):
    picture = np.zeros((40, 24, 3), np.uint8)
    picture[:20] = 255
    # To be shown turned right:
    jpeg = with_orientation(cv2.imencode(".jpg", picture)[1].tobytes(), 6)
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg)
    for source in (jpeg, path, str(path)):
        assert warned_load(source).shape == (40, 24, 3)
        upright = warned_load(source, True)
        assert upright.shape == (24, 40, 3)
        assert upright[:, :18].max() < 30 and upright[:, 22:].min() > 225
        np.testing.assert_array_equal(upright, load_photo(source))
