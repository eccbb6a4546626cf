"""Tests of mmnet.matting.background: pixel aspect ratios and transparency."""

from fractions import Fraction

import numpy as np
import pytest

from helpers.clips import draw_frame, video_frames, write_frames, write_rgba_clip
from mmnet.io.images import save_png
from mmnet.matting.background import Background, load_background

av = pytest.importorskip("av", reason="no PyAV for this Python")


def show(background, shape):
    """Return the background of a photo of this shape."""
    return background.at(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.float32))


def test_still_is_undistorted_if_the_pixels_of_the_clip_are_not_square():
    """A square of 40 pixels covers 20 pixels that are twice as wide as high."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[30:70, 80:120] = 255
    still = Background(image).still(Fraction(0), Fraction(2))
    square = show(still, (100, 100))[..., 0] > 128
    assert square.any(axis=1).sum() == pytest.approx(40, abs=1)
    assert square.any(axis=0).sum() == pytest.approx(20, abs=1)
    assert Background((1, 2, 3)).still(Fraction(0), Fraction(2)).image.tolist() == [1, 2, 3]


def test_clip_background_has_square_pixels(tmp_path):
    path = str(tmp_path / "a.mp4")
    write_frames(path, video_frames(3), "libx264", sample_aspect_ratio=Fraction(2))
    assert load_background(path).image.shape == (64, 192, 3)


@pytest.mark.parametrize("name", ["a.mov", "a.png"])
def test_transparent_background_is_shown_over_grey(tmp_path, name):
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, 48:] = 255
    rgba = np.dstack([draw_frame(0)[:, :96], alpha])
    path = str(tmp_path / name)
    save = save_png if name == "a.png" else write_rgba_clip
    save(path, rgba)
    image = show(load_background(path), (64, 96)).astype(int)
    assert np.abs(image[:, :46] - 128).max() <= 2
    assert np.abs(image[:, 50:] - draw_frame(0)[:, 50:96]).max() <= 6


def test_clip_background_repeats_after_the_last_frame(tmp_path):
    """The last of three frames lasts 1 s."""
    packets = []

    def change(packet):
        packets.append(packet)
        if len(packets) == 3:
            packet.duration = int(1 / packet.time_base)

    path = str(tmp_path / "a.mp4")
    write_frames(path, video_frames(3), "libx264", change=change, options={"tune": "zerolatency"})
    background = load_background(path)
    first, last = background.still(Fraction(0)).image, background.still(Fraction(1)).image
    assert np.abs(first.astype(int) - last).max() > 50
    np.testing.assert_array_equal(background.still(Fraction(11, 10)).image, first)
    np.testing.assert_array_equal(background.still(Fraction(10**15) + Fraction(1, 2)).image, last)
