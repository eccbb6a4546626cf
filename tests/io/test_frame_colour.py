"""Tests of mmnet.io.frame_colour with clips that were written for them."""

from fractions import Fraction

import numpy as np
import pytest

from helpers.clips import draw_frame, read_clip, set_display_matrix, write_clip, write_frames
from mmnet.io.clips import open_clip, read_frames

av = pytest.importorskip("av", reason="no PyAV for this Python")

BT709, BT470BG, SMPTE170M, SMPTE240M, BT2020, DISPLAY_P3 = 1, 5, 6, 7, 9, 12
PQ, HLG = 16, 18
LIMITED, FULL = 1, 2
LUMA = {BT709: (0.2126, 0.0722), SMPTE240M: (0.212, 0.087), BT2020: (0.2627, 0.0593)}  # red, blue

# 10-bit RGB
PATCHES = [(0, 0, 0), (300, 300, 300), (520, 520, 520), (769, 769, 769), (1023, 1023, 1023)]
PATCHES += [(900, 850, 400), (520, 480, 450)]
# Results of FFmpeg 5.1. HDR: zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,
# tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv; SDR: zscale=p=bt709:t=bt709.
GREYS = [[0] * 3, [75] * 3, [130] * 3, [192] * 3, [255] * 3]
CONVERTED = {  # (transfer function, primaries) -> 8-bit RGB
    (PQ, BT2020): [
        [0] * 3,
        [64] * 3,
        [157] * 3,
        [255] * 3,
        [255] * 3,
        [255, 201, 0],
        [168, 127, 112],
    ],
    (HLG, BT2020): [
        [0] * 3,
        [76] * 3,
        [126] * 3,
        [193] * 3,
        [255] * 3,
        [237, 188, 0],
        [132, 114, 107],
    ],
    (BT709, BT2020): [*GREYS, [237, 211, 66], [136, 118, 111]],
    (BT709, DISPLAY_P3): [*GREYS, [227, 211, 73], [132, 119, 111]],
    (BT709, SMPTE170M): [*GREYS, [223, 211, 98], [129, 120, 112]],
    (BT709, BT470BG): [*GREYS, [225, 212, 102], [130, 120, 112]],
}


def make_patches(colours, pixel_format, size=16):
    """Return a PyAV frame: one square per colour."""
    pixels = np.repeat(np.repeat(np.array([colours], np.uint16), size, 0), size, 1)
    if pixel_format == "yuv444p":
        return av.VideoFrame.from_ndarray(pixels.transpose(2, 0, 1).astype(np.uint8), pixel_format)
    return av.VideoFrame.from_ndarray(pixels, pixel_format)


def read_patches(path, size=16):
    return read_clip(path)[1][0][size // 2, size // 2 :: size].astype(int)


@pytest.mark.parametrize("transfer, primaries", CONVERTED)
def test_read_frames_converts_to_bt709(tmp_path, transfer, primaries):
    path = str(tmp_path / "patches.mkv")
    frame = make_patches(PATCHES, "gbrp10le")
    write_frames(path, [frame], color_trc=transfer, color_primaries=primaries)
    assert np.abs(read_patches(path) - CONVERTED[transfer, primaries]).max() <= 2


def test_read_frames_tone_maps_to_the_peak_of_the_metadata(tmp_path):
    """FFmpeg's tonemap divides by hable(peak): the largest luminance becomes white."""
    greys = {}
    for peak in (400, 1000):
        path = str(tmp_path / f"{peak}.mp4")

        frame = make_patches([(520, 520, 520)], "gbrp10le", 32).reformat(
            format="yuv420p10le", dst_colorspace=BT2020
        )
        options = {"x265-params": f"log-level=none:hdr10=1:max-cll={peak},100"}
        colours = {"colorspace": BT2020, "color_primaries": BT2020, "color_trc": PQ}
        write_frames(path, [frame], "libx265", options=options, **colours)
        greys[peak] = read_patches(path, 32)[0, 0]
    assert greys[1000] == pytest.approx(157, abs=2) and greys[400] > greys[1000] + 20


@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [*LUMA, SMPTE170M, BT470BG])
def test_read_frames_applies_matrix_and_range(tmp_path, matrix, colour_range):
    colours = np.array([(30, 200, 90), (220, 60, 40), (50, 70, 210), (128, 128, 128)])
    red, blue = LUMA.get(matrix, (0.299, 0.114))
    luma = colours @ [red, 1 - red - blue, blue]
    chroma = [(colours[:, 2] - luma) / 2 / (1 - blue), (colours[:, 0] - luma) / 2 / (1 - red)]
    if colour_range == LIMITED:
        luma, chroma = 16 + luma * 219 / 255, np.multiply(chroma, 224 / 255)
    frame = make_patches(np.rint([luma, *np.add(chroma, 128)]).T, "yuv444p")
    path = str(tmp_path / "patches.mkv")
    write_frames(path, [frame], colorspace=matrix, color_range=colour_range)
    assert np.abs(read_patches(path) - colours).max() <= 3


@pytest.mark.parametrize(
    "matrix, operation",
    [
        ((1, 0, 0, 1), lambda image: image),
        ((-1, 0, 0, 1), np.fliplr),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, -1, -1, 0), lambda image: np.rot90(image, 2).swapaxes(0, 1)),
        ((0, -1, 1, 0), np.rot90),
    ],
    ids=range(1, 9),  # EXIF
)
def test_read_frames_rotates_and_mirrors_upright(tmp_path, matrix, operation):
    path = set_display_matrix(write_clip(str(tmp_path / "clip.mp4"), [0], None), matrix)
    expected = operation(draw_frame(0)).astype(int)
    image = read_clip(path)[1][0]
    assert image.shape == expected.shape and np.abs(image - expected).max() <= 4


@pytest.mark.parametrize(
    "name, codec, pixel_format",
    [
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.mov", "png", "rgba"),
        ("a.mov", "png", "rgba64be"),
        ("a.mov", "qtrle", "argb"),
        ("a.webm", "libvpx", "yuva420p"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.mkv", "libvpx-vp9", "yuva420p"),
        ("a.mkv", "ffv1", "yuva420p"),
    ],
)
def test_read_frames_returns_opacity(tmp_path, name, codec, pixel_format):
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, 48:], alpha[:32, 48:] = 255, 100
    rgba = np.dstack([draw_frame(0)[:, :96], alpha])
    frame = av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format=pixel_format)
    path, options = str(tmp_path / name), {}
    if codec.startswith("libvpx"):
        options = {"auto-alt-ref": "0", "crf": "4", "b": "4M"}
    write_frames(path, [frame], codec, options=options)
    with open_clip(path) as clip:
        result = next(read_frames(clip))
    assert np.abs(result.opacity.astype(int) - alpha).mean() < 2
    assert result.image.shape == (64, 96, 3)


def test_read_frames_converts_hdr_with_opacity(tmp_path):
    alpha = np.arange(64, dtype=np.uint16)[None].repeat(32, 0) * 1023 // 63
    planes = [np.full_like(alpha, 520)] * 3
    frame = av.VideoFrame.from_ndarray(np.dstack([*planes, alpha]), "gbrap10le")
    path = str(tmp_path / "a.mkv")
    write_frames(path, [frame], color_trc=PQ, color_primaries=BT2020)
    with open_clip(path) as clip:
        result = next(read_frames(clip))
    assert np.abs(result.image.astype(int) - 157).max() <= 1
    assert np.abs(result.opacity - alpha / 1023 * 255).max() <= 1


def test_opaque_alpha_channel_is_no_opacity(tmp_path):
    rgba = np.dstack([draw_frame(0)[:, :96], np.full((64, 96), 255, np.uint8)])
    path = write_frames(str(tmp_path / "a.mov"), [av.VideoFrame.from_ndarray(rgba, "rgba")], "png")
    with open_clip(path) as clip:
        assert next(read_frames(clip)).opacity is None
        assert clip.time_base > Fraction(0)
