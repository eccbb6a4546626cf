"""Tests of mmnet.matting.clip and of clips as backgrounds."""

import os

import cv2
import numpy as np
import pytest

from helpers.clips import TIME_STAMPS, read_clip, read_first_alpha, write_clip, write_rgba_clip
from helpers.matting import NETWORK_ONLY, brightness_predictor, colour_image
from mmnet.io.clips import Frame
from mmnet.io.images import Photo
from mmnet.io.masks import load_mask
from mmnet.matting.background import ClipBackground
from mmnet.matting.clip import EDGE_SIZE, matte_clip, matte_next_frame, render_frame
from mmnet.matting.compose import KINDS, OutputOptions
from mmnet.matting.photo import matte_photo

OPTIONS = OutputOptions(matting=NETWORK_ONLY, temporal_filter="none")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(str(tmp_path_factory.mktemp("clips") / "walk.mp4"))


def test_matte_clip_writes_all_frames_in_order(clip, tmp_path):
    outputs = {"alpha": str(tmp_path / "f/%02d.png"), "cutout": str(tmp_path / "o.webm")}
    predictor = brightness_predictor()
    result = matte_clip(clip, predictor, outputs, OPTIONS)
    assert (result.frames, list(result.warnings)) == (12, []) and result.seconds > 0
    alphas = [matte_photo(Photo(image), predictor, NETWORK_ONLY) for image in read_clip(clip)[1]]
    assert result.person_fraction == pytest.approx(np.mean(alphas), abs=1e-5)
    for number, alpha in enumerate(alphas, start=1):
        written = load_mask(outputs["alpha"] % number)
        assert np.abs(written - alpha).max() <= 0.51 / 255
    assert np.abs(read_first_alpha(outputs["cutout"]) / 255 - alphas[0]).mean() < 0.02


@pytest.mark.parametrize(
    "kind, name",
    [
        (kind, name)
        for kind in KINDS
        for name in ("o.mp4", "o.mov", "o.webm", "%02d.png")
        if (kind, name) != ("cutout", "o.mp4")  # MPEG-4 has no alpha channel
    ],
)
def test_matte_clip_writes_each_kind_in_each_format(clip, tmp_path, kind, name):
    path = str(tmp_path / name)
    result = matte_clip(clip, brightness_predictor(), {kind: path}, OPTIONS)
    assert (result.frames, list(result.warnings)) == (12, [])
    height, width = (64, 3 * 97) if kind == "side-by-side" else (64, 97)
    if name == "%02d.png":
        images = [cv2.imread(path % number, cv2.IMREAD_UNCHANGED) for number in range(1, 13)]
        assert {image.shape[:2] for image in images} == {(height, width)}
        return
    seconds, images, warnings = read_clip(path)
    assert len(images) == 12 and not warnings
    assert float(seconds[-1]) == pytest.approx(TIME_STAMPS[-1] / 1000, abs=1e-3)
    assert images[0].shape[0] == height and images[0].shape[1] - width in (0, 1)


def test_matte_clip_multiplies_the_opacity_of_the_source(tmp_path):
    source, pattern = str(tmp_path / "a.mov"), str(tmp_path / "%d.png")
    image = colour_image(64, 96, 255)
    opacity = np.full((64, 96), 255, np.uint8)
    opacity[:, 48:] = 0
    write_rgba_clip(source, np.dstack([image, opacity]))
    inputs = []
    predictor = brightness_predictor(inputs=inputs)
    result = matte_clip(source, predictor, {"alpha": pattern}, OPTIONS)
    alpha = load_mask(pattern % 1)
    assert alpha[:, :40].min() > 0.98 and alpha[:, 56:].max() < 0.02
    assert result.person_fraction == pytest.approx(0.5, abs=0.02)
    assert abs(inputs[0][0, :, 50:].mean() - 128) < 3  # mid-grey


def test_matte_clip_applies_the_temporal_filter(clip, tmp_path):
    alphas = {}
    for name in ("none", "exponential"):
        pattern = str(tmp_path / name / "%02d.png")
        options = OPTIONS._replace(temporal_filter=name)
        matte_clip(clip, brightness_predictor(), {"alpha": pattern}, options)
        alphas[name] = [load_mask(pattern % number) for number in range(1, 13)]
    smooth = alphas["exponential"]
    for previous, alpha, filtered in zip(smooth, alphas["none"][1:], smooth[1:]):
        assert np.abs(filtered - (0.3 * previous + 0.7 * alpha)).max() < 2.1 / 255


def test_matte_next_frame_smooths_frames_of_one_shape():
    predictor, options = brightness_predictor(), OPTIONS._replace(temporal_filter="exponential")
    dark, bright = colour_image(60, 80, 0), colour_image(60, 80, 255)
    previous = matte_next_frame(dark, predictor, options)
    for image, alpha in ((bright, 0.7), (bright[:40], 1)):
        frame = matte_next_frame(image, predictor, options, previous)
        assert frame.alpha.mean() == pytest.approx(alpha)


def test_clip_background_follows_time_and_repeats(clip):
    images = read_clip(clip)[1]  # frames at 0, 40, 80, 200, ... 490 ms
    background = ClipBackground(clip)
    image, alpha = np.zeros_like(images[0]), np.zeros(images[0].shape[:2], np.float32)
    stills = [background.still(seconds) for seconds in (0, 0.1, 0.5, 0.54, 0.6, 0, 0.2)]
    for still, index in zip(stills, (0, 2, 11, 0, 1, 0, 3)):
        np.testing.assert_array_equal(still.at(image, alpha), images[index])
    np.testing.assert_array_equal(background.at(image, alpha), images[0])


def test_matte_clip_reads_the_background_in_step(clip, tmp_path):
    options = OutputOptions(background=ClipBackground(clip), matting=NETWORK_ONLY)
    pattern = str(tmp_path / "%02d.png")
    result = matte_clip(clip, brightness_predictor(), {"composition": pattern}, options)
    assert result.frames == 12 and len(os.listdir(str(tmp_path))) == 12
    for number, image in enumerate(read_clip(clip)[1], start=1):  # each frame over itself
        composition = np.round(255 * load_mask(pattern % number))
        grey = image @ [0.299, 0.587, 0.114]
        assert np.abs(composition - grey).max() < 2


def test_render_frame_limits_the_size_at_which_edges_are_fitted():
    image = colour_image(100, 2 * EDGE_SIZE, 0)
    image[:, EDGE_SIZE:] = 255
    options = OutputOptions(("alpha",))
    matted = matte_next_frame(image, brightness_predictor(), options)
    person_fraction, frames = render_frame(Frame(image, 0), matted, options)
    alpha = frames["alpha"].image
    assert alpha.shape == image.shape[:2] and person_fraction == pytest.approx(0.5, abs=0.01)
    assert alpha[:, : EDGE_SIZE - 50].max() == 0 and alpha[:, EDGE_SIZE + 50 :].min() == 255
