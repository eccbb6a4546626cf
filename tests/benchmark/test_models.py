import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers import SMALL
from mmnet import cli
from mmnet.benchmark import models as models_module
from mmnet.benchmark.models import (
    TURN_SECONDS,
    Load,
    benchmark,
    benchmark_lines,
    measure,
    open_measured,
)
from mmnet.inference.predictor import Complexity
from mmnet.io import checkpoint_files
from mmnet.weights.values import WeightOptions

WANTED = {"width_multiplier": SMALL.width_multiplier, "shape": SMALL.shape}


@pytest.fixture(scope="module")
def models(delivered, lively_weights):
    """[prefix, its .pb, .tflite and SavedModel]"""
    cards = delivered("frozen.pb", "mmnet.tflite", "savedmodel")
    return [lively_weights.source] + [card.path for card in cards]


@pytest.fixture
def hurry(monkeypatch):
    """Measure for a moment only."""
    monkeypatch.setattr(models_module, "WARM_UP_SECONDS", 0.1)
    monkeypatch.setattr(models_module, "TURN_SECONDS", 0.05)


def test_rows(models, hurry):
    some = [models, models[2:3]]  # at one picture a run, and at two

    def rows_at(batch):
        return list(benchmark(some[batch - 1], Load(1, batch, 0.15), WANTED))

    with ThreadPoolExecutor() as pool:  # it is no time that is looked at here
        rows = sum(pool.map(rows_at, (1, 2)), [])
    assert [(row.model, row.threads, row.batch) for row in rows] == [
        (path, 1, batch) for batch in (1, 2) for path in some[batch - 1]
    ]
    for row in rows:
        assert 0 < row.median_ms <= row.p90_ms and row.runs >= 3
        assert row.images_per_second == pytest.approx(1e3 * row.batch / row.median_ms)
        assert 0 < row.ratio_low <= row.ratio <= row.ratio_high
        assert row.multiply_adds > 5e5 and row.parameters > 4e3
        if sys.platform == "linux":
            assert 1 << 16 < row.peak_memory_bytes < 1 << 30
    for first in rows[0], rows[4]:
        assert first.ratio == first.ratio_low == first.ratio_high == 1
    assert rows[0].bytes == sum(map(os.path.getsize, checkpoint_files.files_of(models[0])))
    assert rows[1].bytes == os.path.getsize(models[1])
    for one, two in zip(rows[2:3], rows[4:]):  # of one picture
        assert (one.multiply_adds, one.parameters) == (two.multiply_adds, two.parameters)
    folded, unfolded = rows[2].parameters, rows[1].parameters
    assert folded < unfolded  # batch norm's four numbers a channel became one


def test_a_checkpoint_is_what_its_run_says(models, tmp_path):
    for path in checkpoint_files.files_of(models[0]):
        shutil.copy(path, str(tmp_path))
    said = "width_multiplier: %g\nsize: %d\n" % (SMALL.width_multiplier, SMALL.shape[0])
    (tmp_path / "config.yaml").write_text(said)
    predictor, complexity = open_measured(str(tmp_path), Load(), {}, WeightOptions())
    assert predictor.network == SMALL
    larger, more = open_measured(str(tmp_path), Load(), {"shape": (96, 96)}, WeightOptions())
    assert larger.network.shape == (96, 96)
    assert more == Complexity(complexity.parameters, complexity.multiply_adds * 9 // 4)


def test_a_model_file_is_what_it_says(models):
    """What is wanted is for the checkpoints beside it."""
    for path in models[1:]:
        predictor, complexity = open_measured(
            path, Load(), {"shape": (96, 96)}, WeightOptions(True)
        )
        assert predictor.network.shape == SMALL.shape
        assert complexity == predictor.complexity and complexity.multiply_adds > 5e5


def test_the_slower_one_is_told(monkeypatch):
    """measure() on stand-ins that take a known time, twice as long from the middle on."""

    class Stand:
        complexity, bytes = None, 10

        def __init__(self, path, factor):
            self.path, self.factor, self.calls = path, factor, 0

        def run(self, runs):
            self.calls += 1
            slow = 2 if self.calls > 8 else 1  # the machine slows down for all alike
            return [1e-3 * slow * self.factor] * runs

        def memory(self):
            return 1 << 20

    monkeypatch.setattr(models_module, "WARM_UP_SECONDS", 0)
    load = Load(1, 4, 10 * TURN_SECONDS)
    first, second = measure([Stand("a", 1), Stand("b", 3)], load)
    ratios = (second.ratio, second.ratio_low, second.ratio_high)
    assert ratios == pytest.approx((3, 3, 3))
    # A turn lasts about as long for each.
    assert second.runs == 10 * 83 and first.runs == 10 * 250
    assert first.p90_ms == pytest.approx(2) and first.parameters is None
    assert (first.threads, first.batch) == (1, 4)
    assert "3.000 (3.000 .. 3.000)" in "\n".join(benchmark_lines([first, second], ["a", "b"]))


def test_the_command(models, hurry, capfd):
    capfd.readouterr()
    assert cli.main(["benchmark", models[2], models[1], "--seconds", "0.15", "--json"]) == 0
    out, err = capfd.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["model"] for row in rows] == [models[2], models[1]] and err == ""
    assert all("cores" in row["machine"] and row["median_ms"] > 0 for row in rows)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["none.tflite"], "no model none.tflite"),
        (["nowhere/MMNetModel-1"], "nowhere/MMNetModel-1: no checkpoint"),
        (
            ["PB", "--threads", "1,0"],
            "whole numbers above 0 with commas between, such as 1,2, not '1,0'",
        ),
        (["PB", "--dataset_path", "DATA"], "--dataset_path goes with --train and --input"),
        (["PB", "--dataset_path", "x"], "no dataset folder x"),
        (["PB", "--device", "gpu"], "--device goes with --train"),
        (["PB", "--train", "--dataset_path", "DATA"], "--train and --input stand alone"),
        (["--train"], "--dataset_path is needed: pictures to train on"),
        (
            ["--input", "--dataset_path", "DATA", "--batch", "1,2"],
            "--batch: one number with --train and --input",
        ),
        (["PREFIX"], "give the --width_multiplier it was trained with"),
    ],
)
def test_bad_input(models, portraits, capfd, arguments, said):
    known = {"PB": models[1], "PREFIX": models[0], "DATA": portraits}
    capfd.readouterr()
    assert cli.main(["benchmark"] + [known.get(argument, argument) for argument in arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err


def test_a_process_that_dies_is_said(models, monkeypatch):
    # It takes no arguments: it ends with an error.
    monkeypatch.setattr(models_module, "work", os.abort)
    with pytest.raises(ValueError, match="the process that runs it ended with exit code"):
        list(benchmark([models[1]], load=None))  # a Load takes TensorFlow to unpickle
