"""Tests of predict and evaluate on shards of many images."""

import json
import logging
import os
import subprocess
import sys
import tarfile
import time

import pytest

from helpers import ROOT, SMALL_FLAGS, assert_message
from mmnet.cli import main
from mmnet.io.tar_shards import Shard


@pytest.fixture(scope="module")
def source(small_weights):
    return ["--checkpoint_path", small_weights.source] + SMALL_FLAGS


def test_predict_resumes_tar_files_after_kill(portrait_set, source, tmp_path, capfd):
    photos, out = tmp_path / "photos", str(tmp_path / "out")
    photos.mkdir()
    for number in range(24):
        target = os.path.abspath(portrait_set.pairs[number % 6].image)
        os.symlink(target, str(photos / f"{number}.jpg"))
    command = ["predict", str(photos), "--output", out, "--write", "alpha", "--tar", "5", "--json"]
    command += ["--jobs", "2"] + source
    process = subprocess.Popen(
        [sys.executable, "-m", "mmnet"] + command, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not os.path.exists(os.path.join(out, "results-0of1-000000.tar")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert main(command + ["--resume"]) == 0
    assert capfd.readouterr().out.count('"photo"') <= 19
    names = []
    for name in sorted(os.listdir(out)):
        if name.endswith(".tar"):
            with tarfile.open(os.path.join(out, name)) as tar:
                names += tar.getnames()
    assert len(names) == len(set(names)) == 24 and "11_alpha.png" in names
    assert main(command) == 2
    assert_message(capfd.readouterr().err, "--output", "24 photos", "--resume")


def test_evaluate_merges_shards_to_the_scores_of_the_whole(
    portraits, source, tmp_path, capfd, caplog
):
    caplog.set_level(logging.INFO)
    out = ["--output", str(tmp_path / "shards")]
    command = ["evaluate", "--dataset_path", portraits, "--json"] + source
    assert main(command + ["--output", str(tmp_path / "whole")]) == 0
    whole = json.loads(capfd.readouterr().out)
    for index in range(2):
        assert main(command + out + ["--merge_shards", "2"]) == 2
        assert_message(capfd.readouterr().err, "--shard", f"{index}/2")
        assert main(command + out + ["--shard", f"{index}/2"]) == 0
    caplog.clear()
    assert main(command + out + ["--shard", "0/2"]) == 0
    assert_message(caplog.text, "scores read from")
    stems = [f"portrait0_{number:04d}" for number in range(1, 7)]
    empty = next(i for i in range(100) if not any(map(Shard(i, 100).contains, stems)))
    assert main(command + out + ["--shard", f"{empty}/100"]) == 0
    assert_message(caplog.text, "0 of 6")
    capfd.readouterr()
    assert main(command + out + ["--merge_shards", "2"]) == 0
    merged = json.loads(capfd.readouterr().out)
    assert merged["pictures"] == whole["pictures"] == 6
    for name, value in whole.items():
        if "/" in name:
            assert merged[name] == pytest.approx(value, abs=1e-6)
