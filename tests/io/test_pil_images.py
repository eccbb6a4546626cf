"""Tests of mmnet.io.pil_images: PIL images of every mode become 8-bit pixels and opacity."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from helpers import assert_raises
from helpers.images import draw_scene, make_png, png_chunk, save
from mmnet.io.errors import MmnetError
from mmnet.io.images import decode_photo
from mmnet.io.pil_images import read_pixels
from mmnet.matting.load import load_photo

SCENE = draw_scene()
RGB = Image.fromarray(SCENE)
RAMP = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
OPACITY = np.rint(np.linspace(0, 255, SCENE[..., 0].size)).reshape(SCENE.shape[:2])
OPACITY = OPACITY.astype(np.uint8)


def deep(mode, values):
    return Image.frombytes(mode, values.shape[::-1], values.tobytes())


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(deep("I;16", RAMP.astype("<u2") * 257), id="I;16"),
        pytest.param(deep("I;16L", RAMP.astype("<u2") * 257), id="I;16L"),
        pytest.param(deep("I;16B", RAMP.astype(">u2") * 257), id="I;16B"),
        pytest.param(Image.fromarray(RAMP.astype(np.int32) * 257), id="I of 16 bits"),
        pytest.param(Image.fromarray(RAMP.astype(np.int32)), id="I of 8 bits"),
        pytest.param(Image.fromarray(RAMP.astype(np.float32)), id="F of 8 bits"),
        pytest.param(Image.fromarray(RAMP / np.float32(255)), id="F of 0 to 1"),
        pytest.param(Image.fromarray(RAMP).convert("CMYK"), id="CMYK"),
    ],
)
def test_deep_images_are_scaled(image):
    expected = np.dstack([RAMP] * 3)
    image = load_photo(image).image
    assert image.dtype == np.uint8 and np.abs(image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "YCbCr", "HSV"])
def test_modes_agree_with_pillow(mode):
    image = RGB.convert(mode)
    photo = load_photo(image)
    np.testing.assert_array_equal(photo.image, np.array(image.convert("RGB")))
    assert photo.opacity is None


def test_lab_image_is_converted():
    lab = ImageCms.profileToProfile(
        RGB, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert np.abs(load_photo(lab).image.astype(int) - SCENE).mean() < 2


def with_opacity(mode):
    image = RGB.convert("L" if mode in ("LA", "La") else "RGB").convert(mode[:-1].upper() + "A")
    image.putalpha(Image.fromarray(OPACITY))
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "La", "RGBa"])
def test_alpha_channel_is_the_opacity(mode):
    photo = load_photo(with_opacity(mode))
    np.testing.assert_array_equal(photo.opacity, OPACITY)
    colours = np.array(RGB.convert("L" if mode[0] == "L" else "RGB").convert("RGB")).astype(int)
    visible = OPACITY > 128  # premultiplied colours lose precision elsewhere
    assert np.abs(photo.image - colours)[visible].max() <= (2 if mode[-1] == "a" else 0)


def test_opaque_alpha_channel_is_no_opacity():
    assert load_photo(RGB.convert("RGBA")).opacity is None
    assert decode_photo(save(RGB.convert("RGBA"), "png"), "a").opacity is None


def test_palette_with_transparency_has_opacity():
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    for transparency, expected in ((1, [255, 0, 255]), (bytes([0, 128]), [0, 128, 255])):
        data = save(palette, "png", transparency=transparency)
        for photo in (decode_photo(data, "a"), load_photo(Image.open(io.BytesIO(data)))):
            assert photo.opacity.tolist() == [expected]
            assert photo.image[0, 0].tolist() == [10, 20, 30]
    data = save(palette, "gif", transparency=1)
    assert decode_photo(data, "a").opacity.tolist() == [[255, 0, 255]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_with_transparent_level_has_opacity(bits):
    top = 2**bits - 1
    levels = np.array([[0, 1, min(top, 2), top]])
    key = 1
    data = make_png(levels, bits, 0, png_chunk(b"tRNS", bytes([0, key])))
    photo = decode_photo(data, "a")
    assert photo.opacity.tolist() == [np.where(levels[0] == key, 0, 255).tolist()]
    assert photo.image[0, 3].tolist() == [255] * 3


@pytest.mark.parametrize("bits", [8, 16])
def test_rgb_png_with_transparent_colour_has_opacity(bits):
    factor = 257 if bits == 16 else 1
    colours = np.array([[[10, 20, 30], [10, 20, 31]]]) * factor
    key = np.array([10, 20, 30], np.uint16) * factor
    data = make_png(colours, bits, 2, png_chunk(b"tRNS", key.astype(">u2").tobytes()))
    assert decode_photo(data, "a").opacity.tolist() == [[0, 255]]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour_type", [4, 6], ids=["grey", "RGB"])
def test_png_with_alpha_channel_has_opacity(bits, colour_type):
    factor = 257 if bits == 16 else 1
    channels = [SCENE[..., 1]] if colour_type == 4 else [SCENE]
    data = make_png(np.dstack([*channels, OPACITY]).astype(np.uint16) * factor, bits, colour_type)
    photo = decode_photo(data, "a")
    np.testing.assert_array_equal(photo.opacity, OPACITY)
    expected = np.dstack([SCENE[..., 1]] * 3) if colour_type == 4 else SCENE
    np.testing.assert_array_equal(photo.image, expected)


@pytest.mark.parametrize("form", ["webp", "tiff"])
def test_file_with_alpha_channel_has_opacity(form):
    options = {"lossless": True, "exact": True} if form == "webp" else {}
    photo = decode_photo(save(with_opacity("RGBA"), form, **options), "a")
    np.testing.assert_array_equal(photo.opacity, OPACITY)
    np.testing.assert_array_equal(photo.image, SCENE)


def test_video_after_a_heic_is_ignored(tmp_path):
    pytest.importorskip("av")
    from helpers.clips import video_frames, write_frames

    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    try:
        pillow_heif.from_pillow(Image.fromarray(SCENE)).save(stream)
    except Exception as error:
        pytest.skip(f"this pillow-heif cannot write it ({error})")
    path = write_frames(str(tmp_path / "a.mov"), video_frames(10), "mpeg4")
    with open(path, "rb") as file:
        video = file.read()
    image = decode_photo(stream.getvalue(), "a").image
    np.testing.assert_array_equal(decode_photo(stream.getvalue() + video, "a").image, image)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_grey_heic_is_scaled(bits):
    pillow_heif = pytest.importorskip("pillow_heif")
    options = {} if bits == 8 else {"bit_depth": bits}
    ramp = np.repeat(RAMP, 16, axis=0)
    try:
        stored = ramp if bits == 8 else ramp.astype(np.uint16) * 257
        heif = pillow_heif.from_bytes(
            mode="L" if bits == 8 else "I;16", size=ramp.shape[::-1], data=stored.tobytes()
        )
        stream = io.BytesIO()
        heif.save(stream, quality=-1, **options)
    except Exception as error:
        pytest.skip(f"this pillow-heif cannot write it ({error})")
    image = decode_photo(stream.getvalue(), "a").image
    assert np.abs(image[..., 0].astype(int) - ramp).max() <= 3


def test_deep_tiff_is_scaled():
    data = save(deep("I;16", RAMP.astype("<u2") * 257), "tiff")
    image = decode_photo(data, "a").image
    np.testing.assert_array_equal(image, np.dstack([RAMP] * 3))


def test_read_pixels_keeps_16_bits():
    values = read_pixels(deep("I;16", RAMP.astype("<u2") * 257)).values
    assert values.dtype == np.uint16 and values.max() == 65535


@pytest.mark.parametrize("is_preview", [True, False])
def test_preview_of_a_raw_photo_is_refused(is_preview):
    data = save(RGB, "tiff", tiffinfo={254: int(is_preview)})
    if is_preview:
        with assert_raises(MmnetError, "a.dng", "raw"):
            decode_photo(data, "a.dng")
    else:
        assert decode_photo(data, "a.dng").image.shape == (RGB.height, RGB.width, 3)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "TIFF"])
def test_huge_photo_in_a_small_file_is_rejected(file_format):
    stream = io.BytesIO()
    options = {"compression": "tiff_deflate"} if file_format == "TIFF" else {}
    Image.new("L", (7000, 6500)).save(stream, file_format, **options)
    with assert_raises(MmnetError, "a.png", "6500x7000", "too large"):
        decode_photo(stream.getvalue(), "a.png")
