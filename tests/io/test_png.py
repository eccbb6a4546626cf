"""Tests of mmnet.io.png."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mmnet.io import png


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("strip_bytes", [1, 100, 1 << 20])
def test_encode_png_is_lossless(channels, strip_bytes, monkeypatch):
    monkeypatch.setattr(png, "STRIP_BYTES", strip_bytes)
    image = np.random.RandomState(0).randint(0, 256, (13, 9, channels)).astype(np.uint8)
    image[3:9] = 255  # a run
    image = image[..., 0] if channels == 1 else image[:, ::-1]  # not contiguous
    data = png.encode_png(image)
    if channels == 4:
        assert png.encode_png(image[..., :3], alpha=image[..., 3]) == data
    opened = Image.open(io.BytesIO(data))
    opened.verify()  # checksums of the chunks
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), image)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if channels > 1:
        code = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA
        decoded = cv2.cvtColor(decoded, code)
    np.testing.assert_array_equal(decoded, image)


def test_encode_png_checksum_matches(monkeypatch):
    monkeypatch.setattr(png, "STRIP_BYTES", 5000)
    image = np.random.RandomState(1).randint(0, 256, (200, 300)).astype(np.uint8)
    data = png.encode_png(image)
    stream, position = b"", 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IDAT":
            stream += data[position + 8 : position + 8 + length]
        position += length + 12
    rows = np.frombuffer(png.zlib.decompress(stream), np.uint8).reshape(200, 301)  # checks Adler-32
    np.testing.assert_array_equal(np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8), image)
