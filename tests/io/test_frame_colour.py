"""Tests of mmnet.io.frame_colour with clips that were written for them."""

from fractions import Fraction

import numpy as np
import pytest

from helpers.clips import draw_frame, read_clip, set_display_matrix, write_clip, write_frames
from mmnet.io.clips import open_clip, read_frames
from mmnet.io.frame_colour import convert_frame

av = pytest.importorskip("av", reason="no PyAV for this Python")

BT709, BT470BG, SMPTE170M, SMPTE240M, BT2020, DISPLAY_P3 = 1, 5, 6, 7, 9, 12
GAMMA_28, PQ, HLG = 5, 16, 18
LIMITED, FULL = 1, 2
LUMA = {BT709: (0.2126, 0.0722), SMPTE240M: (0.212, 0.087), BT2020: (0.2627, 0.0593)}  # red, blue

# 10-bit RGB
PATCHES = [(0, 0, 0), (300, 300, 300), (520, 520, 520), (769, 769, 769), (1023, 1023, 1023)]
PATCHES += [(900, 850, 400), (520, 480, 450), (700, 400, 300), (300, 650, 350), (250, 300, 720)]
# Results of FFmpeg 5.1. HDR: zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,
# tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv; SDR: zscale=p=bt709:t=bt709.
GREYS = [[0] * 3, [75] * 3, [130] * 3, [192] * 3, [255] * 3]
OTHER_GREYS = {  # by transfer function
    GAMMA_28: [[0] * 3, [61] * 3, [116] * 3, [183] * 3, [255] * 3],
    PQ: [[0] * 3, [64] * 3, [157] * 3, [255] * 3, [255] * 3],
    HLG: [[0] * 3, [76] * 3, [126] * 3, [193] * 3, [255] * 3],
}
COLOURS = {  # (transfer function, primaries) -> 8-bit RGB
    (PQ, BT2020): [[255, 201, 0], [168, 127, 112], [235, 0, 0], [0, 206, 0], [0, 30, 245]],
    (HLG, BT2020): [[237, 188, 0], [132, 114, 107], [194, 64, 56], [0, 164, 64], [0, 64, 184]],
    (BT709, BT2020): [[237, 211, 66], [136, 118, 111], [206, 83, 67], [0, 169, 73], [0, 74, 187]],
    (BT709, DISPLAY_P3): [
        [227, 211, 73],
        [132, 119, 111],
        [186, 95, 68],
        [0, 164, 77],
        [59, 75, 186],
    ],
    (BT709, SMPTE170M): [
        [223, 211, 98],
        [129, 120, 112],
        [171, 101, 74],
        [83, 160, 87],
        [66, 78, 180],
    ],
    (GAMMA_28, BT470BG): [
        [220, 205, 88],
        [116, 105, 98],
        [166, 85, 61],
        [51, 150, 75],
        [49, 61, 169],
    ],
    (BT709, BT470BG): [
        [225, 212, 102],
        [130, 120, 112],
        [177, 100, 75],
        [67, 162, 89],
        [62, 75, 179],
    ],
}


def make_patches(colours, pixel_format, size=16):
    """Return a PyAV frame: one square per colour."""
    pixels = np.repeat(np.repeat(np.array([colours], np.uint16), size, 0), size, 1)
    if pixel_format == "yuv444p":
        return av.VideoFrame.from_ndarray(pixels.transpose(2, 0, 1).astype(np.uint8), pixel_format)
    return av.VideoFrame.from_ndarray(pixels, pixel_format)


def read_patches(path, size=16):
    return read_clip(path)[1][0][size // 2, size // 2 :: size].astype(int)


@pytest.mark.parametrize("transfer, primaries", COLOURS)
def test_read_frames_converts_to_bt709(tmp_path, transfer, primaries):
    path = str(tmp_path / "patches.mkv")
    frame = make_patches(PATCHES, "gbrp10le")
    write_frames(path, [frame], color_trc=transfer, color_primaries=primaries)
    expected = OTHER_GREYS.get(transfer, GREYS) + COLOURS[transfer, primaries]
    assert np.abs(read_patches(path) - expected).max() <= 2


class FrameWithMetadata:
    """A PyAV frame with side data, which PyAV cannot add."""

    def __init__(self, frame, **side_data):
        self._frame, self.side_data = frame, side_data

    def __getattr__(self, name):
        return getattr(self._frame, name)


def test_convert_frame_tone_maps_to_the_peak_of_the_metadata():
    """The largest luminance becomes white: MaxCLL, else that of the mastering display."""
    frame = make_patches([(520, 520, 520)], "gbrp10le")
    frame.color_trc, frame.color_primaries = PQ, BT2020
    light = np.array([400, 100], np.uint32)
    no_light = np.zeros(2, np.uint32)
    display = np.array(18 * [1] + [4000000, 10000, 1, 1], np.int32)
    for side_data, grey in (
        ({}, 157),
        ({"CONTENT_LIGHT_LEVEL": light, "MASTERING_DISPLAY_METADATA": 3 * display}, 179),
        ({"CONTENT_LIGHT_LEVEL": no_light, "MASTERING_DISPLAY_METADATA": display}, 179),
    ):
        image, _ = convert_frame(FrameWithMetadata(frame, **side_data))
        assert np.abs(image.astype(int) - grey).max() <= 1


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


@pytest.mark.parametrize("width", range(96, 101))
def test_convert_frame_sets_the_last_columns(width):
    frame = av.VideoFrame(width, 16, "yuva420p")
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 60
    image, opacity = convert_frame(frame)
    assert (image == image[0, 0]).all() and (opacity == 60).all()


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
