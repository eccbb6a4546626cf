import json
import os
import shutil
import sys

import numpy as np
import pytest

from conftest import SMALL
from mmnet import checkpoint, cli
from mmnet.delivery import benchmark as benchmark_module
from mmnet.delivery.benchmark import Network, benchmark
from mmnet.delivery.export import export
from mmnet.delivery.freeze import freeze, pictures_to_compare
from mmnet.delivery.models import open_model
from test_export import lively

FLAGS = ["--width_multiplier", str(SMALL["width_multiplier"]), "--size", str(SMALL["size"])]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(prefix, its .pb, .tflite and SavedModel)"""
    predictor, prefix = lively(str(tmp_path_factory.mktemp("a run")))
    folder = tmp_path_factory.mktemp("some models")
    images = pictures_to_compare(None, SMALL["size"])
    freeze(predictor, str(folder / "mmnet.pb"), images)
    exported = export(predictor, prefix, str(folder), ["tflite", "savedmodel"], images)
    return [prefix, str(folder / "mmnet.pb")] + [one.path for one in exported]


def test_rows(models):
    rows = list(benchmark(models, (1,), (1, 2), 0.5, Network(**SMALL)))
    assert [(row.model, row.threads, row.batch) for row in rows] == [(path, 1, batch) for batch in (1, 2) for path in models]
    for row in rows:
        assert 0 < row.median_ms <= row.p90_ms and row.runs >= 3
        assert row.images_per_second == pytest.approx(1e3 * row.batch / row.median_ms)
        assert 0 < row.ratio_low <= row.ratio <= row.ratio_high
        assert row.multiply_adds > 1e6 and row.parameters > 1e4
        if sys.platform == "linux":
            assert 1 << 16 < row.peak_memory_bytes < 1 << 30
    for first in rows[::len(models)]:
        assert first.ratio == first.ratio_low == first.ratio_high == 1
    assert rows[0].bytes == sum(map(os.path.getsize, checkpoint.files_of(models[0])))
    assert rows[1].bytes == os.path.getsize(models[1])
    for one, two in zip(rows, rows[len(models):]):
        assert (one.multiply_adds, one.parameters) == (two.multiply_adds, two.parameters)  # of one picture
    folded, unfolded = rows[2].parameters, rows[1].parameters
    assert folded < unfolded  # batch norm's four numbers a channel became one


def test_a_checkpoint_is_what_its_run_says(models, tmp_path):
    for path in checkpoint.files_of(models[0]):
        shutil.copy(path, str(tmp_path))
    (tmp_path / "config.yaml").write_text("width_multiplier: %(width_multiplier)s\nsize: %(size)s\n" % SMALL)
    assert benchmark_module.open_any(str(tmp_path))[2] == SMALL["size"]
    assert benchmark_module.open_any(str(tmp_path), network=Network(size=96))[2] == 96


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_a_batch_gives_what_single_pictures_give(models, kind):
    images = pictures_to_compare(None, SMALL["size"])
    expected = open_model(models[kind], as_written=True)(images)
    batched = open_model(models[kind], as_written=True, threads=1, batch=2)
    assert batched.batch == 2
    np.testing.assert_allclose(batched(images), expected, atol=1e-6)


def test_a_batch_of_onnx(models, tmp_path):
    pytest.importorskip("tf2onnx", reason="ONNX needs the extra `export`")
    from mmnet.delivery.predictor import CheckpointPredictor

    predictor, images = CheckpointPredictor.open(models[0], as_written=True, **SMALL), pictures_to_compare(None, 64)
    for output_type in ("alpha", "logits"):
        one, = export(predictor, models[0], str(tmp_path), ["onnx"], images, output_type=output_type)
        batched = open_model(one.path, threads=1, batch=4)
        assert batched.complexity.parameters == one.parameters
        np.testing.assert_allclose(batched(images), open_model(one.path)(images), atol=1e-6)


def test_an_onnx_of_another_batch_is_refused(models, tmp_path):
    """of_batch is asked for; a file that takes two pictures is not taken for one of one."""
    pytest.importorskip("tf2onnx", reason="ONNX needs the extra `export`")
    from mmnet.delivery.models import of_batch
    from mmnet.delivery.predictor import CheckpointPredictor

    predictor = CheckpointPredictor.open(models[0], as_written=True, **SMALL)
    one, = export(predictor, models[0], str(tmp_path), ["onnx"], pictures_to_compare(None, SMALL["size"]))
    other = tmp_path / "two.onnx"
    other.write_bytes(of_batch(one.path, 2))
    with pytest.raises(ValueError, match=r"two.onnx takes \[2, 64, 64, 3\], not \[1,size,size,3\]"):
        open_model(str(other))


def test_the_slower_one_is_told(models, monkeypatch):
    """measure() on stand-ins that take a known time, one of them twice as long from the middle on."""
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
    monkeypatch.setattr(benchmark_module, "WARM_UP_SECONDS", 0)
    first, second = benchmark_module.measure([Stand("a", 1), Stand("b", 3)], 1, 4, 10 * benchmark_module.TURN_SECONDS)
    assert (second.ratio, second.ratio_low, second.ratio_high) == pytest.approx((3, 3, 3))
    assert second.runs == 10 * 83 and first.runs == 10 * 250  # a turn lasts about as long for each
    assert first.p90_ms == pytest.approx(2) and first.parameters is None
    assert "3.000 (3.000 .. 3.000)" in benchmark_module.text([first, second])


def test_the_command(models, capfd):
    capfd.readouterr()
    assert cli.main(["benchmark", models[2], models[1], "--seconds", "0.5", "--json"]) == 0
    out, err = capfd.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["model"] for row in rows] == [models[2], models[1]] and err == ""
    assert all("cores" in row["machine"] and row["median_ms"] > 0 for row in rows)


@pytest.mark.parametrize("arguments, said", [
    (["none.tflite"], "no model none.tflite"),
    (["nowhere/MMNetModel-1"], "no checkpoint nowhere/MMNetModel-1"),
    ([], "name models to measure, or give --train or --input"),
    (["PB", "--threads", "1,0"], "whole numbers above 0 with commas between, such as 1,2, not '1,0'"),
    (["PB", "--dataset_path", "x"], "--dataset_path goes with --train and --input"),
    (["PB", "--device", "gpu"], "--device goes with --train"),
    (["PB", "--train", "--dataset_path", "x"], "--train and --input stand alone"),
    (["--train"], "--dataset_path is needed: pictures to train on"),
    (["--input", "--dataset_path", "x", "--batch", "1,2"], "--batch: one number with --train and --input"),
    (["PREFIX"], "give the --width_multiplier it was trained with")])
def test_bad_input(models, capfd, arguments, said):
    arguments = [{"PB": models[1], "PREFIX": models[0]}.get(argument, argument) for argument in arguments]
    capfd.readouterr()
    assert cli.main(["benchmark"] + arguments) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err


def test_a_process_that_dies_is_said(models, monkeypatch):
    monkeypatch.setattr(benchmark_module, "work", os.abort)  # takes no arguments: it ends with an error
    with pytest.raises(ValueError, match="the process that runs it ended with exit code"):
        list(benchmark([models[1]], seconds=0.1))
