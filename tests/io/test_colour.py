"""Tests of mmnet.io.colour: agreement with Pillow's ImageCms, and with FFmpeg for HDR."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from helpers import assert_message
from helpers.colours import ADOBE, CUBE, P3, PROPHOTO, make_profile, reference_srgb
from helpers.images import encode, insert_png_chunks, make_exif, make_png, png_chunk, save
from mmnet.io.colour import (
    PRIMARIES,
    convert_space,
    find_colour_space,
    make_transform,
    srgb_profile,
)
from mmnet.io.images import decode_image, decode_photo
from mmnet.matting.load import load_photo

GREY = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
SPACES = {"Adobe RGB": ADOBE, "Display P3": P3, "ProPhoto": PROPHOTO}
LOSSLESS = {"png": {}, "webp": {"lossless": True}, "tiff": {}}
SRGB_PRIMARIES = PRIMARIES[1]


def assert_close(image, expected, limit=2):
    assert image.shape == expected.shape and image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).max() <= limit


def pillow_srgb(data):
    """Return the image of a file, converted from its own profile by ImageCms."""
    with Image.open(io.BytesIO(data)) as image:
        return reference_srgb(image.convert("RGB"), image.info["icc_profile"])


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("form", ["png", "webp", "tiff", "jpeg", "heif", "avif"])
def test_profile_is_converted_as_by_imagecms(name, form):
    if form in ("heif", "avif"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    profile = make_profile(*SPACES[name])
    try:
        data = save(CUBE, form, icc_profile=profile, **LOSSLESS.get(form, {"quality": 95}))
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow cannot write {form} ({error})")
    expected = pillow_srgb(data)
    assert np.abs(expected - CUBE).mean() > 4  # the profile matters
    assert_close(decode_photo(data, "a").image, expected)
    assert_close(decode_image(data, "a"), expected)
    with Image.open(io.BytesIO(data)) as image:
        assert_close(load_photo(image).image, expected)
        converted = image.convert("RGBA")  # Pillow keeps the profile
        assert_close(load_photo(converted).image, expected)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_srgb_profile_changes_no_pixel(form):
    options = {"lossless": True} if form == "webp" else {}
    expected = decode_photo(save(CUBE, form, **options), "a").image
    for profile in (srgb_profile().tobytes(), b"", b"damaged"):
        data = save(CUBE, form, icc_profile=profile, **options)
        np.testing.assert_array_equal(decode_photo(data, "a").image, expected)


def test_unusable_profile_is_reported(caplog):
    grey = make_profile(SRGB_PRIMARIES, 1.8, b"GRAY")
    for profile in (b"damaged", grey):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            image = decode_photo(save(CUBE, "png", icc_profile=profile), "a.png").image
        np.testing.assert_array_equal(image, CUBE)
        assert_message(caplog.text, "a.png", "profile")


@pytest.mark.parametrize("form", ["png", "jpeg", "tiff"])
def test_profile_of_grey_image_is_converted(form):
    profile = make_profile(SRGB_PRIMARIES, 1.8, b"GRAY")
    data = save(GREY, form, icc_profile=profile)
    expected = reference_srgb(Image.open(io.BytesIO(data)), profile)
    assert np.abs(expected[..., 0] - GREY).max() > 10
    assert_close(decode_photo(data, "a").image, expected)
    rgb_profile = make_profile(*PROPHOTO)
    data = save(GREY, form, icc_profile=rgb_profile)
    assert_close(decode_photo(data, "a").image, pillow_srgb(data))


def test_profile_of_grey_png_with_alpha_is_converted():
    profile = make_profile(SRGB_PRIMARIES, 1.8, b"GRAY")
    image = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", GREY.shape[::-1], 100)])
    photo = decode_photo(save(image, "png", icc_profile=profile), "a.png")
    assert_close(photo.image, reference_srgb(Image.fromarray(GREY), profile))
    assert (photo.opacity == 100).all()


def test_profile_of_palette_and_16_bit_images_is_converted():
    profile = make_profile(*ADOBE)
    image = Image.fromarray(CUBE)
    palette = image.quantize(64)
    data = save(palette, "png", icc_profile=profile)
    assert_close(decode_photo(data, "a").image, pillow_srgb(data))
    icc = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
    data = make_png(CUBE.astype(np.uint16) * 257, 16, 2, icc)
    assert_close(decode_photo(data, "a").image, reference_srgb(image, profile))


@pytest.mark.parametrize("form", ["jpeg", "tiff"])
def test_cmyk_image_is_converted(form):
    cmyk = Image.fromarray(CUBE).convert("CMYK")
    plain = decode_photo(save(cmyk, form), "a").image
    assert np.abs(plain.astype(int) - np.array(cmyk.convert("RGB"))).mean() < 8
    profile = make_profile(None, None, b"CMYK")
    data = save(cmyk, form, icc_profile=profile)
    with Image.open(io.BytesIO(data)) as image:
        expected = reference_srgb(image, profile)
    assert np.abs(expected - plain).mean() > 10
    assert_close(decode_photo(data, "a").image, expected)
    assert_close(decode_photo(data + bytes(99), "a").image, expected)


def png_with(*chunks):
    return insert_png_chunks(encode(CUBE, ".png"), *chunks)


def chromaticities(primaries):
    return png_chunk(b"cHRM", struct.pack(">8I", *(round(100000 * value) for value in primaries)))


def gamma(value):
    return png_chunk(b"gAMA", struct.pack(">I", round(100000 / value)))


@pytest.mark.parametrize("name", SPACES)
def test_gamma_and_chromaticities_are_converted_as_by_imagecms(name):
    primaries, exponent = SPACES[name]
    expected = reference_srgb(Image.fromarray(CUBE), make_profile(primaries, exponent))
    data = png_with(gamma(exponent), chromaticities(primaries))
    assert_close(decode_photo(data, "a").image, expected)
    with Image.open(io.BytesIO(data)) as image:
        assert_close(load_photo(image).image, expected)


@pytest.mark.parametrize("exponent", [1.0, 1.8, 2.6])
def test_gamma_is_converted_as_by_imagecms(exponent):
    expected = reference_srgb(Image.fromarray(CUBE), make_profile(SRGB_PRIMARIES, exponent))
    assert_close(decode_photo(png_with(gamma(exponent)), "a").image, expected)


def test_linear_16_bit_png_keeps_dark_levels():
    linear = np.tile(np.arange(256, dtype=np.uint16) * 4, (4, 1))  # at most 1.6 % of white
    image = decode_photo(make_png(linear, 16, 0, gamma(1.0)), "a").image
    expected = 255 * np.where(
        linear / 65535 <= 0.0031308,
        12.92 * linear / 65535,
        1.055 * (linear / 65535) ** (1 / 2.4) - 0.055,
    )
    assert np.abs(image[..., 0] - expected).max() <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([gamma(2.2)], id="gamma of sRGB"),
        pytest.param([gamma(2.2), chromaticities(SRGB_PRIMARIES)], id="sRGB primaries"),
        pytest.param([png_chunk(b"sRGB", b"\0"), gamma(1.0), chromaticities(P3[0])], id="sRGB"),
        pytest.param([png_chunk(b"cICP", bytes([1, 13, 0, 1])), gamma(1.0)], id="cICP of sRGB"),
        pytest.param([chromaticities([0] * 8)], id="invalid primaries"),
        pytest.param([png_chunk(b"gAMA", bytes(4))], id="invalid gamma"),
    ],
)
def test_png_in_srgb_changes_no_pixel(chunks):
    np.testing.assert_array_equal(decode_photo(png_with(*chunks), "a").image, CUBE)


def test_cicp_of_display_p3_is_converted():
    profile = save(CUBE, "png", icc_profile=make_profile(*PROPHOTO))  # cICP has priority
    data = insert_png_chunks(profile, png_chunk(b"cICP", bytes([12, 13, 0, 1])))
    linear = np.where(CUBE / 255 <= 0.04045, CUBE / 3294.6, ((CUBE / 255 + 0.055) / 1.055) ** 2.4)
    p3_to_srgb = [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]
    linear = np.clip(linear @ np.transpose(p3_to_srgb), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert_close(decode_photo(data, "a").image, 255 * encoded)


# Levels of a grey ramp after FFmpeg's zscale and tonemap (the chain in docs/formats.md).
HDR_RAMPS = {
    16: [0, 10, 21, 34, 50, 71, 95, 123, 154, 185, 214, 238, 255, 255, 255, 255],
    18: [0, 16, 33, 49, 65, 81, 96, 111, 125, 140, 156, 175, 194, 212, 229, 244],
}


@pytest.mark.parametrize("transfer", HDR_RAMPS, ids=["PQ", "HLG"])
@pytest.mark.parametrize("bits", [8, 16])
def test_hdr_png_is_tone_mapped_as_by_ffmpeg(transfer, bits):
    levels = np.arange(0, 256, 16)[None] * (257 if bits == 16 else 1)
    chunk = png_chunk(b"cICP", bytes([9, transfer, 0, 1]))
    image = decode_photo(make_png(np.dstack([levels] * 3), bits, 2, chunk), "a").image
    assert_close(image, np.dstack([[HDR_RAMPS[transfer]]] * 3))


def test_heif_with_colour_codes_is_converted():
    pytest.importorskip("pillow_heif").register_heif_opener()
    options = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6}
    try:
        data = save(CUBE, "heif", quality=95, full_range_flag=1, **options)
    except (KeyError, OSError, TypeError) as error:
        pytest.skip(f"this pillow-heif cannot write it ({error})")
    if b"colrnclx" + bytes([0, 12]) not in data:
        pytest.skip("this pillow-heif writes no colour codes")
    with Image.open(io.BytesIO(data)) as image:
        stored = np.array(image.convert("RGB"))
    space = find_colour_space({"cicp": bytes([12, 13])}, False)
    assert_close(decode_photo(data, "a").image, convert_space(stored, space).astype(int))
    with Image.open(io.BytesIO(data)) as image:
        assert_close(load_photo(image).image, convert_space(stored, space).astype(int))
    assert np.abs(convert_space(stored, space).astype(int) - stored).mean() > 4


@pytest.mark.parametrize("details", [{0xA001: 2}, {0xA001: 0xFFFF, 0xA005: {1: "R03"}}])
def test_exif_marks_adobe_rgb(details):
    data = save(CUBE, "jpeg", quality=95, exif=make_exif({}, details=details))
    with Image.open(io.BytesIO(data)) as image:
        expected = reference_srgb(image, make_profile(*ADOBE))
        assert_close(load_photo(image).image, expected)
    assert_close(decode_photo(data, "a").image, expected)
    data = save(CUBE, "jpeg", quality=95, exif=make_exif({}, details={0xA001: 1}))
    stored = np.array(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode_photo(data, "a").image, stored)


def test_make_transform_reads_each_profile_once():
    profile = make_profile(*P3)
    assert make_transform(profile, "RGB") is make_transform(bytes(profile), "RGB")
