"""Tests of mmnet.io.containers."""

import logging

import cv2
import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.images import draw_scene, encode, png_chunk, save
from mmnet.io.containers import find_jpeg_end
from mmnet.io.errors import MmnetError
from mmnet.io.images import decode_photo

NOISE = np.random.RandomState(0).randint(0, 256, (60, 60, 3)).astype(np.uint8)
# A video with bytes that look like markers of a JPEG, after and before each other.
TRAILER = b"\0\0\0\x18ftypmp42" + b"\xff\xd9 \xff\xda \xff\xd8 \xff\xe1\0\4ab" * 9 + b"\xff\xda"
JPEGS = {
    "baseline": encode(NOISE, ".jpg"),
    "progressive": encode(NOISE, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restart markers": encode(NOISE, ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "grey": encode(NOISE[..., 0], ".jpg"),
    "flat": encode(np.full((64, 64, 3), 200, np.uint8), ".jpg"),
}


@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_with_trailer_is_complete(name):
    data = JPEGS[name]
    assert find_jpeg_end(data + TRAILER) == (len(data), True)
    expected = decode_photo(data, "a.jpg").image
    np.testing.assert_array_equal(decode_photo(data + TRAILER, "a.jpg").image, expected)


@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_without_end_marker_is_read_with_a_warning(name, caplog):
    data = JPEGS[name]
    expected = decode_photo(data, "a.jpg").image
    for ending in (data[:-2], data[:-1], data[:-2] + bytes(100)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            np.testing.assert_array_equal(decode_photo(ending, "a.jpg").image, expected)
        assert_message(caplog.text, "a.jpg", "end marker")


@pytest.mark.parametrize("name", ["baseline", "progressive", "restart markers", "grey"])
@pytest.mark.parametrize("padding", [b"", bytes(500)], ids=["cut", "padded"])
def test_truncated_jpeg_is_refused(name, padding):
    data = JPEGS[name]
    for length in [len(data) * tenths // 10 for tenths in range(1, 10)] + [len(data) - 10]:
        with assert_raises(MmnetError, "a.jpg", "truncated"):
            decode_photo(data[:length] + padding, "a.jpg")


def test_progressive_jpeg_without_its_last_scans_is_refused():
    data = JPEGS["progressive"]
    scans = [start for start in range(len(data)) if data[start : start + 2] == b"\xff\xda"]
    assert len(scans) > 4
    for start in scans[1:]:
        with assert_raises(MmnetError, "a.jpg", "truncated"):
            decode_photo(data[:start], "a.jpg")


def test_jpeg_with_embedded_preview_is_refused_if_truncated():
    preview = encode(NOISE[:16], ".jpg")
    data = JPEGS["baseline"]
    segment = b"\xff\xe2" + (len(preview) + 2).to_bytes(2, "big") + preview
    data = data[:2] + segment + data[2:]
    assert decode_photo(data, "a.jpg").image.shape == (60, 60, 3)
    for length in (len(segment) + 2, len(data) // 2, len(data) - 20):
        with assert_raises(MmnetError, "a.jpg", "truncated"):
            decode_photo(data[:length], "a.jpg")


@pytest.mark.parametrize("size", [1, 64, 110, 5000])
def test_png_with_trailer_is_read(size):
    data = encode(NOISE, ".png")
    for trailer in (bytes(size), b"IDAT" * size, png_chunk(b"IDAT", bytes(size))):
        np.testing.assert_array_equal(decode_photo(data + trailer, "a.png").image, NOISE)


@pytest.mark.parametrize("form", ["png", "webp"])
def test_truncated_file_is_refused(form):
    data = save(NOISE, form)
    decode_photo(data + bytes(300), "a")
    for length in (20, len(data) // 2, len(data) - 40, len(data) - 1):
        with assert_raises(MmnetError, "a", "truncated"):
            decode_photo(data[:length], "a")


@pytest.mark.parametrize("form", ["tiff", "bmp", "gif", "jpeg2000"])
def test_truncated_file_of_other_format_is_refused(form):
    data = save(draw_scene(), form)
    with assert_raises(MmnetError, "a.x", "damaged"):
        decode_photo(data[: len(data) // 2], "a.x")
