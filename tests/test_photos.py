import pathlib
import struct

import cv2
import numpy as np
import pytest

from mmnet.data.photos import load_image


def with_orientation(jpeg, orientation):
    """Put an EXIF segment that holds the orientation alone behind a JPEG's start marker."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def test_load_image_takes_path_bytes_and_array(tmp_path):
    rgb = np.random.RandomState(0).randint(0, 256, (6, 5, 3)).astype(np.uint8)
    path = str(tmp_path / "a.PNG")
    assert cv2.imwrite(path, rgb[..., ::-1])
    for source in (path, pathlib.Path(path), open(path, "rb").read(), rgb):
        np.testing.assert_array_equal(load_image(source), rgb)
    with pytest.raises(ValueError, match="uint8"):
        load_image(rgb.astype(np.float32))


def test_orientation_is_applied_on_request_only(tmp_path):
    picture = np.zeros((40, 24, 3), np.uint8)
    picture[:20] = 255
    jpeg = with_orientation(cv2.imencode(".jpg", picture)[1].tobytes(), 6)  # to be shown turned right
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg)
    for source in (jpeg, path, str(path)):
        assert load_image(source).shape == (40, 24, 3)
        upright = load_image(source, True)
        assert upright.shape == (24, 40, 3)
        assert upright[:, :18].max() < 30 and upright[:, 22:].min() > 225
