"""Tests of mmnet.io.masks."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmnet.io.masks import FLAT, GUESSED, PARTIAL, load_mask, read_mask

GREY = np.arange(30, dtype=np.uint8).reshape(6, 5) * 8
GREY[-1, -1] = 255
PERSON = GREY > 100
LABELS = PERSON.astype(np.uint8)
OPAQUE = np.full_like(GREY, 255)
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0]  # colours of the first three classes of Pascal VOC
BLACK_AND_WHITE, WHITE_AND_BLACK = [0] * 3 + [255] * 3, [255] * 3 + [0] * 3
GREY_RAMP = np.repeat(np.arange(256), 3).tolist()
VOID_BORDER = LABELS * 15
VOID_BORDER[:, 2] = 255
HALF_BORDER = PERSON.astype(np.float32)
HALF_BORDER[:, 2] = 0.5


def write(path, image):
    assert cv2.imwrite(str(path), image)
    return str(path)


def write_palette(path, indices, colours, **options):
    """Write uint8 [H,W] as a palette PNG, which OpenCV cannot write."""
    image = Image.fromarray(indices).convert("P")
    image.putpalette(colours)
    image.save(str(path), **options)
    return str(path)


def write_grey(path, values, bits):
    """Write uint8 [H,W] as a grey PNG with 1, 2 or 4 bits per pixel, which Pillow cannot write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = values.shape
    pixel_bits = np.unpackbits(values[..., None], axis=2)[..., 8 - bits :]
    rows = np.packbits(pixel_bits.reshape(height, -1), axis=1)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    signature = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(
        signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return str(path)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(GREY, id="grey"),
        pytest.param(np.dstack([GREY] * 3), id="colour"),
        pytest.param(np.dstack([np.full_like(GREY, 90)] * 3 + [GREY]), id="alpha channel"),
        pytest.param(np.dstack([GREY] * 3 + [OPAQUE]), id="opaque"),
        pytest.param(GREY.astype(np.uint16) * 257, id="16 bits"),
        pytest.param(GREY.astype(np.uint16), id="8 bits stored as 16 bits"),
    ],
)
def test_load_mask_scales_to_alpha(tmp_path, mask):
    alpha = load_mask(write(tmp_path / "mask.png", mask))
    assert alpha.dtype == np.float32
    np.testing.assert_allclose(alpha, GREY / np.float32(255), atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(LABELS, id="grey"),
        pytest.param(LABELS.astype(np.uint16), id="16 bits"),
        pytest.param(np.dstack([LABELS] * 3), id="colour"),
        pytest.param(np.dstack([LABELS * 0, LABELS * 0, LABELS]), id="red"),
        pytest.param(np.dstack([LABELS] * 4).astype(np.uint16), id="16 bits with alpha channel"),
        pytest.param(np.dstack([OPAQUE * 0] * 3 + [LABELS]), id="alpha channel"),
    ],
)
def test_load_mask_keeps_labels_0_and_1(tmp_path, labels):
    mask = read_mask(write(tmp_path / "labels.png", labels))
    np.testing.assert_array_equal(mask.alpha, PERSON)
    assert mask.alpha.dtype == np.float32 and mask.problem is None


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_load_mask_reads_grey_of_few_bits(tmp_path, bits):
    labels = load_mask(write_grey(tmp_path / "labels.png", LABELS, bits))
    np.testing.assert_array_equal(labels, PERSON)
    limit = 2**bits - 1
    levels = GREY // (256 // (limit + 1))
    alpha = load_mask(write_grey(tmp_path / "levels.png", levels, bits))
    np.testing.assert_allclose(alpha, levels / limit, atol=1e-6)


@pytest.mark.parametrize(
    "indices, colours, expected",
    [
        pytest.param(LABELS, VOC, PERSON, id="voc"),
        pytest.param(LABELS * 2, VOC, PERSON, id="voc class 2"),
        pytest.param(LABELS * 15, GREY_RAMP, PERSON, id="grey ramp"),
        pytest.param(LABELS, [250, 10, 10] + [10, 10, 60], PERSON, id="dark person"),
        pytest.param(1 - LABELS, WHITE_AND_BLACK, PERSON, id="white and black"),
        pytest.param(LABELS, BLACK_AND_WHITE, PERSON, id="black and white"),
        pytest.param(GREY, GREY_RAMP, GREY / 255, id="soft"),
        pytest.param(VOID_BORDER, VOC * 85 + [224, 224, 192], HALF_BORDER, id="void border"),
    ],
)
def test_load_mask_reads_palettes(tmp_path, indices, colours, expected):
    for bits in (4, 8) if indices.max() < 16 else (8,):
        path = write_palette(tmp_path / "palette.png", indices, colours, bits=bits)
        mask = read_mask(path)
        np.testing.assert_allclose(mask.alpha, expected, atol=1e-6)
        assert mask.problem is None


@pytest.mark.parametrize("extension", ["tif", "bmp", "gif", "png"])
@pytest.mark.parametrize("kind", ["palette", "1 bit", "labels", "16 bits", "float"])
def test_load_mask_reads_labels_of_other_formats(tmp_path, extension, kind):
    if extension not in {"16 bits": ("tif", "png"), "float": ("tif",)}.get(kind, (extension,)):
        pytest.skip("no image of this format has this type")
    path = str(tmp_path / f"labels.{extension}")
    if kind == "palette":
        write_palette(path, LABELS, VOC)
    else:
        dtype = {"1 bit": bool, "16 bits": np.uint16, "float": np.float32}.get(kind, np.uint8)
        Image.fromarray(LABELS.astype(dtype)).save(path)
    mask = read_mask(path)
    np.testing.assert_array_equal(mask.alpha, PERSON)
    assert mask.problem is None


def test_load_mask_prefers_transparency_of_palettes(tmp_path):
    path = write_palette(tmp_path / "a.png", 1 - LABELS, [90, 30, 30] * 2, transparency=1)
    np.testing.assert_array_equal(load_mask(path), PERSON)


@pytest.mark.parametrize(
    "stored, expected, problem",
    [
        pytest.param(LABELS * 2, PERSON, GUESSED, id="0 and 2"),
        pytest.param(LABELS * 128, PERSON, GUESSED, id="0 and 128"),
        pytest.param(LABELS.astype(np.uint16) * 300, PERSON, GUESSED, id="16 bits"),
        pytest.param(np.dstack([LABELS * 0, LABELS * 0, LABELS * 128]), PERSON, GUESSED, id="red"),
        pytest.param(GREY // 2, GREY // 2 / 255, PARTIAL, id="dark"),
        pytest.param(GREY // 2 + 127, (GREY // 2 + 127) / 255, PARTIAL, id="bright"),
        pytest.param(LABELS + 100, (LABELS + 100) / 255, PARTIAL, id="two greys"),
        pytest.param(OPAQUE, np.ones_like(PERSON), FLAT, id="one value"),
        pytest.param(GREY, GREY / 255, None, id="complete"),
    ],
)
def test_read_mask_names_suspicious_masks(tmp_path, stored, expected, problem):
    mask = read_mask(write(tmp_path / "mask.png", stored))
    np.testing.assert_allclose(mask.alpha, expected, atol=1e-6)
    assert mask.problem == problem
