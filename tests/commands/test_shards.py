"""Tests of predict and evaluate on shards of many images."""

import logging
import os
import subprocess
import sys
import tarfile
import time

import pytest

from helpers import ROOT, SMALL_FLAGS, assert_message
from mmnet.io.tar_shards import Shard


@pytest.fixture(scope="module")
def source(small_weights):
    return ["--checkpoint_path", small_weights.source] + SMALL_FLAGS


def test_predict_resumes_tar_files_after_kill(
    portrait_set, source, tmp_path, run_json, assert_refused
):
    photos, out = tmp_path / "photos", str(tmp_path / "out")
    photos.mkdir()
    for number in range(24):
        target = os.path.abspath(portrait_set.pairs[number % 6].image)
        os.symlink(target, str(photos / f"{number}.jpg"))
    command = ["predict", str(photos), "--output", out, "--write", "alpha", "--tar", "5"]
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
    assert sum("photo" in record for record in run_json(*command, "--resume")) <= 19
    names = []
    for name in sorted(os.listdir(out)):
        if name.endswith(".tar"):
            with tarfile.open(os.path.join(out, name)) as tar:
                names += tar.getnames()
    assert len(names) == len(set(names)) == 24 and "11_alpha.png" in names
    assert_refused(command, "--output", "24 photos", "--resume")


def test_evaluate_merges_shards_to_the_scores_of_the_whole(
    portraits, source, tmp_path, run, run_json, caplog
):
    caplog.set_level(logging.INFO)
    command = ["evaluate", "--dataset_path", portraits, *source, "--output"]
    (whole,) = run_json(*command, tmp_path / "whole")
    command.append(tmp_path / "shards")
    for index in range(2):
        code, _, err = run(*command, "--merge_shards", "2")
        assert code == 2
        assert_message(err, "--shard", f"{index}/2")
        run_json(*command, "--shard", f"{index}/2")
    caplog.clear()
    run_json(*command, "--shard", "0/2")
    assert_message(caplog.text, "scores read from")
    stems = [f"portrait0_{number:04d}" for number in range(1, 7)]
    empty = next(i for i in range(100) if not any(map(Shard(i, 100).contains, stems)))
    assert run_json(*command, "--shard", f"{empty}/100") == []
    assert_message(caplog.text, "0 of 6")
    (merged,) = run_json(*command, "--merge_shards", "2")
    assert merged["pictures"] == whole["pictures"] == 6
    for name, value in whole.items():
        if "/" in name:
            assert merged[name] == pytest.approx(value, abs=1e-6)
