"""Clips cut out, by the function and by the verb."""

import json
import os
import sys

import numpy as np
import pytest

from helpers import SMALL_FLAGS
from helpers.clips import TIME_STAMPS, read_clip, read_first_alpha, rotate_in_header, write_clip
from helpers.matting import brightness
from mmnet.cli import main
from mmnet.commands import predict
from mmnet.io.images import load_mask
from mmnet.matting.clip import cut_clip
from mmnet.matting.compose import OutputOptions
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.weights.registry import DEFAULT, VIDEO

ALONE = MattingOptions(second_pass=False, refinement=False, foreground_colours=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(str(tmp_path_factory.mktemp("clips") / "walk.mp4"))


@pytest.fixture
def flags(lively_weights):
    return ["--checkpoint_path", lively_weights.source] + SMALL_FLAGS


def test_frames_become_their_alphas_in_order(clip, tmp_path):
    outputs = {"alpha": str(tmp_path / "f/%02d.png"), "cutout": str(tmp_path / "o.webm")}
    predictor = brightness((64, 64))
    cut = cut_clip(predictor, clip, outputs, OutputOptions(tuple(outputs), None, ALONE), "none")
    assert (cut.frames, cut.problems) == (12, []) and cut.seconds > 0
    alphas = [matte_photo(image, predictor, ALONE) for image in read_clip(clip)[1]]
    assert cut.person_share == pytest.approx(np.mean(alphas), abs=1e-5)
    for number, alpha in enumerate(alphas):
        written = load_mask(str(tmp_path / ("f/%02d.png" % (number + 1))))
        assert np.abs(written - alpha).max() <= 0.51 / 255
    assert np.abs(read_first_alpha(outputs["cutout"]) / 255 - alphas[0]).mean() < 0.02


def test_a_filter_makes_them_steady(clip, tmp_path):
    shares = {}
    for name in ("none", "exponential"):
        outputs = {"alpha": str(tmp_path / name / "%02d.png")}
        cut_clip(brightness((64, 64)), clip, outputs, OutputOptions(("alpha",), None, ALONE), name)
        shares[name] = [load_mask(outputs["alpha"] % number) for number in range(1, 13)]
    for before, given, kept in zip(
        shares["exponential"], shares["none"][1:], shares["exponential"][1:]
    ):
        assert np.abs(kept - (0.3 * before + 0.7 * given)).max() < 2.1 / 255


def test_photos_and_clips_in_one_call(clip, portraits, flags, tmp_path, capfd):
    photo = os.path.join(portraits, "test", "image")
    out = str(tmp_path / "out")
    assert main(["predict", photo, clip, "--output", out, "--json"] + flags) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(lines) == 7 and "photo" in lines[0]
    last = lines[-1]
    assert last["clip"] == clip and last["frames"] == 12 and last["problems"] == []
    assert last["cutout"] == os.path.join(out, "walk_cutout.webm")
    assert read_clip(last["cutout"])[0][-1] * 1000 == TIME_STAMPS[-1]


def test_photos_over_a_clip(clip, portraits, flags, tmp_path):
    """They stand before its first picture, while clips stand before all of it."""
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    path = str(tmp_path / "o.png")
    assert main(["predict", photo, "--output", path, "--background", clip] + flags) == 0
    command = ["predict", photo, clip, "--output", str(tmp_path / "out"), "--background", clip]
    assert main(command + flags) == 0
    assert {"walk_composition.mp4", "portrait0_0001_composition.png"} <= set(
        os.listdir(str(tmp_path / "out"))
    )


def test_over_a_colour_and_over_another_clip(clip, flags, tmp_path, capfd):
    """The person is before what was asked for, upright."""
    turned = rotate_in_header(write_clip(str(tmp_path / "turned.mp4"), sound=None))
    for background in ("#0000ff", clip):
        path = str(tmp_path / "o.mp4")
        command = ["predict", turned, "--output", path, "--background", background]
        assert main(command + flags) == 0
        assert read_clip(path)[1][0].shape == (98, 64, 3)
    text = capfd.readouterr().out
    assert "o.mp4 (person: " in text and "12 frames, " in text and " frames/s)" in text


def test_the_weights_in_the_box_for_clips(clip, tmp_path, monkeypatch):
    """Where no source is named a clip's network is the one that sees the frame before."""
    opened = []

    def noted(source, *arguments, **more):
        opened.append(source)
        return brightness((64, 64))

    monkeypatch.setattr(predict, "open_predictor", noted)
    for flags in ([], ["--size", "64"], ["--checkpoint_path", DEFAULT]):
        assert main(["predict", clip, "--output", str(tmp_path / "o.webm")] + flags) == 0
    assert opened == [VIDEO, DEFAULT, DEFAULT]


def test_a_clip_in_part(tmp_path, flags, caplog):
    path = write_clip(str(tmp_path / "long.mkv"), list(range(0, 4000, 40)), None)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)
    assert main(["predict", path, "--output", str(tmp_path / "o.webm")] + flags) == 1
    assert "truncated, contains" in caplog.text
    assert read_clip(str(tmp_path / "o.webm"))[0]


def test_what_cannot_be_done(clip, tmp_path, flags, capfd, caplog):
    text = tmp_path / "text.mp4"
    text.write_text("no clip")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    out = str(tmp_path / "o")
    for command, says in (
        ([clip, "--output", out + ".mp4"], ".mp4 has no alpha channel; use .webm or .mov"),
        ([clip, "--output", out + ".avi"], "clips are written as .mov, .webm or frames/%05d.png"),
        ([clip, str(text), "--output", out + ".webm"], "would be written to the same files"),
        (
            [clip, "--write", "alpha", "cutout", "--output", out + ".mov"],
            "one photo or clip and one kind",
        ),
        ([clip, "--output", "-"], "--output - writes one picture"),
        ([clip, "--output", clip, "--background", "red"], "is a result of another photo"),
        ([clip, "--output", str(locked / "o.webm")], "locked is not writable"),
        ([clip, "--output", out, "--background", str(text)], "text.mp4 is not a clip that can be"),
        ([str(text), "--output", out], "%s: not a readable clip" % text),
    ):
        assert main(["predict"] + command + flags) == 2
        assert says in capfd.readouterr().err + caplog.text
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith("o.")]


def test_without_pyav(clip, flags, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["predict", clip, "--output", str(tmp_path)] + flags) == 2
    assert "clips need PyAV: pip install 'mmnet[video]'" in caplog.text
