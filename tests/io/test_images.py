import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from mmnet.io import images, resize
from mmnet.tf.compat import tf


def write(path, picture):
    assert cv2.imwrite(str(path), picture)
    return str(path)


def palette_png(indices, colours):
    """An 8-bit palette PNG, which OpenCV cannot write.

    Args:
        indices: uint8 [H,W]. colours: uint8 [n,3] RGB.
    """

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


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    "before, after",
    [((13, 17), (32, 8)), ((5, 7, 3), (5, 7)), ((40, 30, 3), (16, 16)), ((3, 4), (1, 1))],
)
def test_resize_equals_tensorflow(before, after, align_corners):
    array = np.random.RandomState(0).uniform(0, 255, before).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        batch = array[None] if array.ndim == 3 else array[None, ..., None]
        resized = tf.image.resize_bilinear(batch, after, align_corners=align_corners)
        expected = session.run(resized)[0]
    expected = expected if array.ndim == 3 else expected[..., 0]
    result = resize.resize_bilinear(array, after, align_corners)
    assert result.dtype == np.float32
    # A few float32 roundings of values up to 255:
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_read_image_of_other_kinds(tmp_path):
    grey = np.arange(30, dtype=np.uint8).reshape(6, 5) * 8
    read = images.read_image(write(tmp_path / "grey.png", grey))
    np.testing.assert_array_equal(read, np.dstack([grey] * 3))
    deep = images.read_image(write(tmp_path / "deep.png", grey.astype(np.uint16) * 257))
    np.testing.assert_array_equal(deep, np.dstack([grey] * 3))
    bgra = np.dstack([grey, grey + 1, grey + 2, 255 - grey])
    read = images.read_image(write(tmp_path / "rgba.png", bgra))
    np.testing.assert_array_equal(read, bgra[..., 2::-1])
    indexed = palette_png(np.array([[0, 1], [1, 0]], np.uint8), [[10, 20, 30], [200, 100, 50]])
    decoded = images.decode_image(indexed, "palette")
    assert decoded[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_load_mask_of_every_kind(tmp_path):
    grey = (np.arange(30, dtype=np.uint8) * 8).reshape(6, 5)
    expected = grey / np.float32(255)
    rgba = np.dstack([np.full_like(grey, 90)] * 3 + [grey])
    opaque = np.dstack([grey] * 3 + [np.full_like(grey, 255)])
    for name, mask in (
        ("grey", grey),
        ("colour", np.dstack([grey] * 3)),
        ("alpha_channel", rgba),
        ("opaque", opaque),
        ("deep", grey.astype(np.uint16) * 257),
    ):
        alpha = images.load_mask(write(tmp_path / (name + ".png"), mask))
        assert alpha.dtype == np.float32
        np.testing.assert_allclose(alpha, expected, atol=1e-6, err_msg=name)
    person = grey > 100
    labels = images.load_mask(write(tmp_path / "labels.png", person.astype(np.uint8)))
    np.testing.assert_array_equal(labels, person)
    palette = palette_png(person.astype(np.uint8), [[0, 0, 0], [255, 255, 255]])
    (tmp_path / "palette.png").write_bytes(palette)
    np.testing.assert_array_equal(images.load_mask(str(tmp_path / "palette.png")), person)


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_cut_off_files_are_found(extension):
    picture = np.random.RandomState(0).randint(0, 256, (60, 60, 3)).astype(np.uint8)
    data = cv2.imencode(extension, picture)[1].tobytes()
    images.decode_image(data, "it")
    images.decode_image(data + b"\0" * 40, "it")  # padding behind the end is common and harmless
    for share in (0.1, 0.6, 0.95):
        with pytest.raises(ValueError, match="damaged or cut off"):
            images.decode_image(data[: int(len(data) * share)], "it")


@pytest.mark.parametrize("extension", [".heic", ".avif"])
@pytest.mark.parametrize("turned", [False, True])
def test_heic_and_avif(tmp_path, extension, turned):
    pillow_heif = pytest.importorskip("pillow_heif")
    from PIL import Image

    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32], picture[32:, :48] = (200, 60, 30), (20, 90, 220)
    path, more = str(tmp_path / ("photo" + extension)), {}
    if turned:  # to the left, and said so
        exif = Image.Exif()
        exif[0x112] = 6
        more["exif"] = exif.tobytes()
    pillow_heif.register_heif_opener()
    if hasattr(pillow_heif, "register_avif_opener"):
        pillow_heif.register_avif_opener()
    try:
        Image.fromarray(np.rot90(picture) if turned else picture).save(path, quality=95, **more)
    except (KeyError, ValueError, OSError, RuntimeError) as error:  # no encoder in this build
        pytest.skip("this Pillow writes no %s (%s)" % (extension, error))
    read = images.read_image(path)
    assert read.shape == (64, 96, 3) and np.abs(read.astype(int) - picture).mean() < 4
    with open(path, "rb") as file:
        data = file.read()
    for damaged in (data[: len(data) // 2], data[:100] + bytes(len(data) - 100)):
        with pytest.raises(ValueError, match="it.* is damaged or cut off") as error:
            images.decode_image(damaged, "it" + extension)
        assert "\n" not in str(error.value)


def test_what_is_no_picture(tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    with pytest.raises(ValueError, match="text.jpg is not a JPEG or PNG"):
        images.read_image(str(text))
    with pytest.raises(FileNotFoundError):
        images.load_mask(str(tmp_path / "none.png"))
    os.mkfifo(str(tmp_path / "pipe.png"))
    for read in (images.read_image, images.load_mask):
        for name in ("pipe.png", ""):  # a folder
            with pytest.raises(ValueError, match="is not a regular file"):
                read(str(tmp_path / name))


def test_save_png_replaces_whole_files_only(tmp_path):
    path = tmp_path / "cut out.png"
    picture = np.random.RandomState(0).randint(0, 256, (4, 5, 4)).astype(np.uint8)
    images.save_png(str(path), picture)
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read[..., [2, 1, 0, 3]], picture)
    assert [file.name for file in tmp_path.iterdir()] == ["cut out.png"]
    with pytest.raises(OSError):
        images.save_png(str(tmp_path / "no folder" / "a.png"), picture)
