"""Tests of mmnet.io.images."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import assert_raises
from helpers.images import make_exif, save
from mmnet.io import images
from mmnet.io.errors import MmnetError
from mmnet.io.masks import load_mask

GREY = np.arange(30, dtype=np.uint8).reshape(6, 5) * 8
PERSON = GREY > 100


def write(path, image):
    assert cv2.imwrite(str(path), image)
    return str(path)


def palette_png(indices, colours):
    """Return uint8 [H,W] as a palette PNG with RGB colours, which OpenCV cannot write."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    height, width = indices.shape
    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", np.asarray(colours, np.uint8).tobytes())
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "stored, expected",
    [
        pytest.param(GREY, np.dstack([GREY] * 3), id="grey"),
        pytest.param(GREY.astype(np.uint16) * 257, np.dstack([GREY] * 3), id="16 bits"),
        pytest.param(
            np.dstack([GREY, GREY + 1, GREY + 2, 255 - GREY]),  # BGRA
            np.dstack([GREY + 2, GREY + 1, GREY]),
            id="alpha channel",
        ),
    ],
)
def test_read_image_converts_to_rgb(tmp_path, stored, expected):
    np.testing.assert_array_equal(images.read_image(write(tmp_path / "a.png", stored)), expected)


def test_palettes_are_converted(tmp_path):
    path = tmp_path / "palette.png"
    path.write_bytes(palette_png(PERSON.astype(np.uint8), [[0, 0, 0], [255, 255, 255]]))
    np.testing.assert_array_equal(load_mask(str(path)), PERSON)
    data = palette_png(np.array([[0, 1], [1, 0]], np.uint8), [[10, 20, 30], [200, 100, 50]])
    assert images.decode_image(data, "palette")[0].tolist() == [[10, 20, 30], [200, 100, 50]]


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_decode_image_detects_truncated_files(extension):
    image = np.random.RandomState(0).randint(0, 256, (60, 60, 3)).astype(np.uint8)
    data = cv2.imencode(extension, image)[1].tobytes()
    images.decode_image(data, "a.jpg")
    images.decode_image(data + b"\0" * 40, "a.jpg")  # padding is common and harmless
    for fraction in (0.1, 0.6, 0.95):
        with assert_raises(MmnetError, "a.jpg", "truncated"):
            images.decode_image(data[: int(len(data) * fraction)], "a.jpg")


@pytest.mark.parametrize("extension", [".heic", ".avif"])
@pytest.mark.parametrize("is_rotated", [False, True], ids=["upright", "rotated"])
def test_read_image_decodes_heic_and_avif(tmp_path, extension, is_rotated):
    pillow_heif = pytest.importorskip("pillow_heif")
    from PIL import Image

    image = np.zeros((64, 96, 3), np.uint8)
    image[:32], image[32:, :48] = (200, 60, 30), (20, 90, 220)
    path, options = str(tmp_path / ("photo" + extension)), {}
    if is_rotated:
        exif = Image.Exif()
        exif[0x112] = 6  # orientation: rotated to the left
        options["exif"] = exif.tobytes()
    pillow_heif.register_heif_opener()
    if hasattr(pillow_heif, "register_avif_opener"):
        pillow_heif.register_avif_opener()
    stored = Image.fromarray(np.rot90(image) if is_rotated else image)
    try:
        stored.save(path, quality=95, **options)
    except (KeyError, ValueError, OSError, RuntimeError) as error:
        pytest.skip(f"this Pillow cannot write {extension} ({error})")
    decoded = images.read_image(path)
    assert decoded.shape == (64, 96, 3) and np.abs(decoded.astype(int) - image).mean() < 4
    with open(path, "rb") as file:
        data = file.read()
    for damaged in (data[: len(data) // 2], data[:100] + bytes(len(data) - 100)):
        with assert_raises(MmnetError, "a" + extension, "damaged") as caught:
            images.decode_image(damaged, "a" + extension)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [images.read_image, load_mask])
def test_read_rejects_other_files(tmp_path, read):
    (tmp_path / "text.jpg").write_text("no image")
    os.mkfifo(str(tmp_path / "pipe.png"))
    for name, error_type, token in (
        ("text.jpg", MmnetError, "PNG"),
        ("missing.png", FileNotFoundError, "missing.png"),
        ("pipe.png", MmnetError, "regular file"),
        ("", MmnetError, "regular file"),
    ):
        path = str(tmp_path / name)
        with assert_raises(error_type, path, token):
            read(path)


def test_save_png_replaces_whole_files(tmp_path):
    path = tmp_path / "a cutout.png"
    image = np.random.RandomState(0).randint(0, 256, (4, 5, 4)).astype(np.uint8)
    images.save_png(str(path), image)
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored[..., [2, 1, 0, 3]], image)
    assert os.listdir(str(tmp_path)) == ["a cutout.png"]
    with pytest.raises(OSError):
        images.save_png(str(tmp_path / "missing" / "a.png"), image)


SMOOTH = np.dstack(np.mgrid[60:124, 90:138].astype(np.uint8)).repeat(2, axis=2)  # [H,W,4]


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.jpeg", "a.webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_encode_image_keeps_pixels(name, channels):
    image = SMOOTH[..., 0] if channels == 1 else SMOOTH[..., :channels]
    if channels == 4 and "j" in name.lower():
        with assert_raises(MmnetError, name, ".png", ".webp"):
            images.encode_image(image, name)
        return
    data = np.frombuffer(images.encode_image(image, name), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if channels == 1 and name == "a.webp":  # this format has no grey images
        decoded = decoded[..., 0]
    if channels > 1:
        decoded = decoded[..., [2, 1, 0, 3][:channels]]
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).max() <= 8
    if channels == 4 or name == "a.png":
        assert np.array_equal(decoded[..., -1], image[..., -1])  # alpha is exact


@pytest.mark.parametrize(
    "name, shape, tokens",
    [
        ("a.webp", (2, 16384, 3), [".webp", "16384", "16383", ".png"]),
        ("a.jpg", (65501, 2), [".jpg", "65501", ".png"]),
        ("a.tif", (2, 2, 3), [".tif", ".png", ".jpg", ".webp"]),
        ("a", (2, 2, 3), [".png", ".jpg", ".webp"]),
    ],
)
def test_encode_image_names_other_formats(name, shape, tokens):
    with assert_raises(MmnetError, name, *tokens):
        images.encode_image(np.zeros(shape, np.uint8), name)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
def test_encode_image_writes_metadata_and_srgb(extension):
    exif = make_exif({0x132: "2024:05:06 10:00:00", 0x8298: "© Anna".encode()}, gps={1: "N"})
    photo = images.decode_photo(save(SMOOTH[..., :3], "jpeg", exif=exif, dpi=(300, 300)), "a")
    for keep_gps in (False, True):
        data = images.encode_image(photo.image, "a" + extension, photo.metadata, keep_gps=keep_gps)
        with Image.open(io.BytesIO(data)) as image:
            assert "icc_profile" in image.info or image.info["srgb"] == 1
            exif = image.getexif()
            assert exif[0x132] == "2024:05:06 10:00:00"
            assert exif[0x8298].encode("latin-1").decode() == "© Anna"
            assert exif[0x11A] == 300 and bool(exif.get_ifd(0x8825)) == keep_gps
            assert extension == ".webp" or image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        again = images.decode_photo(data, "a")
        limit = 0 if extension == ".png" else 8
        assert np.abs(again.image.astype(int) - photo.image).max() <= limit
