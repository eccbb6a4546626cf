"""Tests of mmnet.benchmark.models and of `mmnet benchmark`."""

import os
import sys

import pytest

from helpers import SMALL, assert_raises
from mmnet.benchmark import models as models_module
from mmnet.benchmark.models import TURN_SECONDS, Load, benchmark, measure
from mmnet.commands.benchmark import format_row
from mmnet.inference.sizes import ModelSize, model_size
from mmnet.io.errors import MmnetError
from mmnet.weights.source import Source, find_source, source_bytes
from mmnet.weights.values import WeightOptions

FIELDS = {"name": "tiny", "shape": SMALL.shape}


@pytest.fixture(scope="module")
def sources(exported_models, small_weights):
    """The sources of a checkpoint, its .pb, .tflite and SavedModel."""
    cards = exported_models("frozen.pb", "mmnet.tflite", "savedmodel")
    return [find_source(path) for path in [small_weights.source] + [card.path for card in cards]]


@pytest.fixture
def short_turns(monkeypatch):
    monkeypatch.setattr(models_module, "WARM_UP_SECONDS", 0.1)
    monkeypatch.setattr(models_module, "TURN_SECONDS", 0.05)


def test_benchmark_measures_every_kind_of_source(sources, short_turns):
    rows = list(benchmark(sources, Load(1, 1, 0.15), FIELDS))
    assert [row.model for row in rows] == [source.path for source in sources]
    for row, source in zip(rows, sources):
        assert (row.threads, row.batch) == (1, 1)
        assert 0 < row.median_ms <= row.p90_ms and row.runs >= 3
        assert row.images_per_second == pytest.approx(1e3 / row.median_ms)
        assert 0 < row.ratio_low <= row.ratio <= row.ratio_high
        assert row.multiply_adds > 5e5 and row.parameters > 500
        assert row.bytes == source_bytes(source.path)
        if sys.platform == "linux":
            assert 1 << 16 < row.peak_memory_bytes < 1 << 30
    assert rows[0].ratio == rows[0].ratio_low == rows[0].ratio_high == 1
    # The checkpoint and the .pb are not folded: batch norm has four values per channel.
    assert rows[0].parameters == rows[1].parameters > rows[2].parameters


def test_benchmark_applies_network_fields_to_checkpoints_only(
    sources, short_turns, small_predictor
):
    load, fields = Load(1, 2, 0.15), dict(FIELDS, shape=(96, 96))
    checkpoint, model = benchmark([sources[0], sources[2]], load, fields)
    assert (checkpoint.batch, model.batch) == (2, 2)
    assert model.images_per_second == pytest.approx(2e3 / model.median_ms)
    multiply_adds = model_size(small_predictor).multiply_adds
    assert checkpoint.multiply_adds == multiply_adds * 9 // 4
    assert model.multiply_adds < multiply_adds * 9 // 4


def test_benchmark_reports_errors_of_a_process(sources):
    with assert_raises(MmnetError, sources[0].path, "use_ema"):
        list(benchmark(sources[:1], Load(), FIELDS, WeightOptions(use_ema=True)))


class FakeWorker:
    """A model that takes a known time per run, and twice as long from its ninth call on."""

    size, peak_memory = ModelSize(None, None, 10), 1 << 20

    def __init__(self, name, factor):
        self.name, self.factor, self.calls = name, factor, 0

    def run(self, runs):
        self.calls += 1
        slowdown = 2 if self.calls > 8 else 1
        return [1e-3 * slowdown * self.factor] * runs


def test_measure_compares_models_on_a_machine_that_slows_down(monkeypatch):
    monkeypatch.setattr(models_module, "WARM_UP_SECONDS", 0)
    load = Load(1, 4, 10 * TURN_SECONDS)
    first, second = measure([FakeWorker("a", 1), FakeWorker("b", 3)], load)
    assert (second.ratio, second.ratio_low, second.ratio_high) == pytest.approx((3, 3, 3))
    assert (first.runs, second.runs) == (10 * 250, 10 * 83)  # turns take equally long
    assert first.p90_ms == pytest.approx(2) and first.parameters is None
    assert (first.threads, first.batch) == (1, 4)
    cells = format_row("a name", second)
    assert cells[0] == "a name" and "3.000 (3.000 .. 3.000)" in cells and "" in cells


def test_benchmark_reports_a_process_that_dies(monkeypatch):
    monkeypatch.setattr(models_module, "serve", os.abort)  # takes no arguments, so it fails
    with assert_raises(MmnetError, "x.pb", "exit code"):
        list(benchmark([Source("pb", "x.pb")], Load()))


def test_missing_package_is_reported_before_the_measurement(assert_refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr("mmnet.commands.benchmark.benchmark", None)  # is not called
    (tmp_path / "x.onnx").write_bytes(b"")
    assert_refused(["benchmark", tmp_path / "x.onnx", "--batch_size", "1,2"], "onnx", "pip install")


def test_command_prints_one_object_per_model(sources, short_turns, run_json):
    models = [sources[2].path, sources[1].path]
    rows = run_json("benchmark", *models, "--seconds", "0.15")
    assert [row["model"] for row in rows] == models
    assert all("cores" in row["machine"] and row["median_ms"] > 0 for row in rows)


@pytest.mark.parametrize(
    "arguments, tokens",
    [
        (["none.tflite"], ["none.tflite"]),
        (["nowhere/MMNetModel-1"], ["nowhere/MMNetModel-1"]),
        (["PB", "--threads", "1,0"], ["--threads", "1,0", "1,2"]),
        (["PB", "--train"], ["--train", "benchmarks/training.py"]),
        (["PREFIX"], ["width_multiplier", "mmnet"]),
        (["PB", "--use_ema"], ["--use_ema", "checkpoints"]),
        (["PB", "--network", "deeplab"], ["--network", "checkpoints"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_bad_options_are_refused(sources, assert_refused, arguments, tokens):
    paths = {"PB": sources[1].path, "PREFIX": sources[0].path}
    assert_refused(["benchmark"] + [paths.get(word, word) for word in arguments], *tokens)
