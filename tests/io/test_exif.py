"""Tests of mmnet.io.exif."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from helpers.images import draw_scene, insert_png_chunks, make_exif, png_chunk, save
from mmnet.io.exif import encode_exif, orient, read_exif
from mmnet.io.images import decode_image, decode_photo
from mmnet.matting.load import load_photo

SCENE = draw_scene()
DATES = {0x9003: "2024:05:06 07:08:09", 0x9011: "+02:00", 0x9291: "123"}
TAGS = {0x132: "2024:05:06 10:00:00", 0x13B: "Anna", 0x8298: "© Anna Müller".encode()}
GPS = {1: "N", 2: (48.0, 8.0, 30.5), 3: "E", 4: (11.0, 34.0, 0.0)}


def write_exif_chunk(exif, at_end=False):
    """Return SCENE as a PNG with an eXIf chunk before or after the pixels."""
    chunk = png_chunk(b"eXIf", exif[6:])
    data = save(SCENE, "png")
    return data[:-12] + chunk + data[-12:] if at_end else insert_png_chunks(data, chunk)


WRITERS = {
    "jpeg": lambda exif: save(SCENE, "jpeg", exif=exif, quality=95),
    "png": write_exif_chunk,
    "png at end": lambda exif: write_exif_chunk(exif, at_end=True),
    "webp": lambda exif: save(SCENE, "webp", lossless=True, exif=exif),
    # Pillow writes the first prefix into no WebP; old versions wrote one.
    "webp prefix": lambda exif: save(SCENE, "webp", lossless=True, exif=b"Exif\0\0" + exif),
    "tiff": lambda exif: save(SCENE, "tiff", exif=exif),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_photo_rotates_by_orientation(name, orientation):
    data = WRITERS[name](make_exif({0x112: orientation}))
    image = decode_photo(data, "a").image.astype(int)
    expected = Image.fromarray(SCENE)
    expected.getexif()[0x112] = orientation
    expected = np.array(ImageOps.exif_transpose(expected)).astype(int)
    assert image.shape == expected.shape
    assert np.abs(image - expected).mean() < 3
    with Image.open(io.BytesIO(data)) as pil_image:
        assert np.abs(load_photo(pil_image).image.astype(int) - expected).mean() < 3
    if name != "tiff":  # an image of a dataset stays as stored
        assert decode_image(data, "a").shape == SCENE.shape


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_invalid_orientation_is_ignored(orientation):
    np.testing.assert_array_equal(orient(SCENE, orientation), SCENE)


def test_damaged_exif_is_ignored():
    for exif in (b"Exif\0\0", b"Exif\0\0MM\0*\0\0\xff\xff", b"Exif\0\0" + b"\xff" * 40):
        data = save(SCENE, "jpeg", exif=exif)
        assert decode_photo(data, "a").image.shape == SCENE.shape


def encode_and_read(metadata, **options):
    """Return the EXIF data that a result stores."""
    exif = Image.Exif()
    exif.load(encode_exif(metadata, **options))
    return exif


@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
def test_metadata_keeps_date_artist_and_copyright(name):
    exif = make_exif({**TAGS, 0x112: 6, 0x10F: "camera"}, details=DATES, gps=GPS)
    kept = encode_and_read(decode_photo(WRITERS[name](exif), "a").metadata)
    tags = {tag: kept[tag] for tag in kept if tag not in (0x8769, 0x11A, 0x11B, 0x128)}
    assert tags == {**TAGS, 0x8298: TAGS[0x8298].decode("latin-1")}  # no orientation, no camera
    assert dict(kept.get_ifd(0x8769)) == DATES
    assert not kept.get_ifd(0x8825)


def test_gps_is_kept_on_request_only():
    data = save(SCENE, "jpeg", exif=make_exif(TAGS, gps=GPS))
    metadata = decode_photo(data, "a").metadata
    assert b"\x88\x25" not in encode_exif(metadata)
    gps = encode_and_read(metadata, keep_gps=True).get_ifd(0x8825)
    assert gps[1] == "N" and [float(value) for value in gps[2]] == [48, 8, 30.5]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(save(SCENE, "jpeg", dpi=(300, 150)), id="JFIF"),
        pytest.param(
            save(SCENE, "png", exif=make_exif({0x11A: 300.0, 0x11B: 150.0, 0x128: 2})), id="EXIF"
        ),
        pytest.param(save(SCENE, "png", dpi=(300, 150)), id="PNG"),
        pytest.param(save(SCENE, "tiff", dpi=(300, 150)), id="TIFF"),
        pytest.param(
            save(SCENE, "webp", exif=make_exif({0x11A: 118.1102, 0x11B: 59.0551, 0x128: 3})),
            id="WebP, per centimetre",
        ),
    ],
)
def test_metadata_keeps_dpi(data):
    metadata = decode_photo(data, "a").metadata
    assert metadata.dpi == pytest.approx((300, 150), abs=0.1)
    assert encode_and_read(metadata)[0x11A] == pytest.approx(300, abs=0.1)


def test_photo_without_metadata_has_none():
    metadata = read_exif(Image.fromarray(SCENE)).metadata
    assert metadata.dpi is None and encode_exif(metadata) == b""


def test_webp_prefix_is_in_the_file():
    exif = make_exif({0x112: 6})
    assert b"Exif\0\0" + exif[6:] not in WRITERS["webp"](exif)
    assert b"Exif\0\0" + exif[6:] in WRITERS["webp prefix"](exif)
