"""Tests of mmnet.benchmark.steps, clip_steps, and of `mmnet benchmark` with a photo or clip."""

import json
import time

import numpy as np
import pytest

from helpers import assert_message
from helpers.clips import write_clip
from mmnet.benchmark.clip_steps import CLIP_STEPS
from mmnet.benchmark.steps import PHOTO_STEPS, time_steps
from mmnet.cli import main
from mmnet.io import exif
from mmnet.io.images import save_png


def test_time_steps_separates_nested_steps(monkeypatch):
    clock = [0]

    def inside():
        clock[0] += 4

    def outside():
        exif.inside()
        clock[0] += 1

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(exif, "inside", inside, raising=False)
    monkeypatch.setattr(exif, "outside", outside, raising=False)

    def run():
        exif.outside()
        exif.inside()
        clock[0] += 2

    steps = {"outside": outside, "inside": inside, "never": never_called}
    assert time_steps(run, steps) == {"outside": 1, "inside": 8, "never": 0, "rest": 2}
    assert (exif.inside, exif.outside) == (inside, outside)


def never_called():
    pass


def test_benchmark_of_a_photo_prints_every_step(tmp_path, capsys):
    path = str(tmp_path / "photo.png")
    save_png(path, np.random.RandomState(0).randint(0, 256, (60, 40, 3)).astype(np.uint8))
    assert main(["benchmark", path, "--seconds", "0.01", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["path"] == path
    milliseconds = record["milliseconds"]
    assert list(milliseconds) == ["open", *PHOTO_STEPS, "rest", "total"]
    assert milliseconds["network"] > 0 and milliseconds["decode"] > 0
    assert milliseconds.pop("total") == pytest.approx(sum(milliseconds.values()))


def test_benchmark_of_a_clip_prints_every_step(tmp_path, capsys):
    path = write_clip(str(tmp_path / "walk.mp4"))
    assert main(["benchmark", path, "--json"]) == 0
    milliseconds = json.loads(capsys.readouterr().out)["milliseconds"]
    assert list(milliseconds) == [*CLIP_STEPS, "rest", "total"]
    assert all(milliseconds[step] > 0 for step in CLIP_STEPS)


def test_benchmark_of_a_damaged_photo_is_bad_input(tmp_path, capsys):
    path = tmp_path / "photo.png"
    path.write_bytes(b"damaged")
    assert main(["benchmark", str(path), "--seconds", "0.01"]) == 2
    assert_message(capsys.readouterr().err, "photo.png")
