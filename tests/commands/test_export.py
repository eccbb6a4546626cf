"""Tests of mmnet.commands.export."""

import json
import os
from functools import partial

import numpy as np
import pytest

from helpers import SMALL_FLAGS, assert_message
from helpers.models import swapped_channels
from mmnet.commands.export import make_specs
from mmnet.commands.presets import resolve
from mmnet.datasets.synthetic import synthesize
from mmnet.export import export as export_module
from mmnet.inference.tflite import open_tflite


@pytest.fixture
def run_export(small_weights, tmp_path, run):
    """Export small_weights to the folder ``out``: flags -> (exit code, stdout, stderr)."""
    command = ["export", "--checkpoint_path", small_weights.source, *SMALL_FLAGS]
    return partial(run, *command, "--output", tmp_path / "out")


def test_export_replaces_earlier_models(run_export, portraits, tmp_path):
    for _ in range(2):
        flags = ["--format", "savedmodel", "tflite", "--dataset_path", portraits]
        code, out, err = run_export(*flags)
        assert code == 0 and err == ""
        assert_message(out, "savedmodel", "tiny_float32.tflite", "pictures: 4", "sha256: ")
    names = ["savedmodel", "savedmodel.json", "tiny_float32.tflite", "tiny_float32.tflite.json"]
    assert sorted(os.listdir(str(tmp_path / "out"))) == names


@pytest.mark.parametrize(
    "format, precision, name",
    [
        ("savedmodel", "float32", "savedmodel"),
        ("onnx", "float32", "tiny.onnx"),
        ("pb", "float32", "tiny.pb"),
        ("web", "float32", os.path.join("web", "network.onnx")),
        ("tflite", "float32", "tiny_float32.tflite"),
        ("tflite", "int8", "tiny_int8.tflite"),
    ],
)
def test_file_names(small_weights, tmp_path, format, precision, name):
    values = {"format": [format], "output": str(tmp_path), "precision": precision}
    options = resolve("export", dict(values, checkpoint_path=small_weights.source))
    (spec,) = make_specs(options, small_weights.network)
    assert spec.path == os.path.join(str(tmp_path), name)
    assert spec.format == ("onnx" if format == "web" else format) and spec.fold


def test_export_writes_every_precision_of_tflite(run_export, tmp_path):
    synthesize(str(tmp_path / "data"), "train", 2, shape=(80, 60))
    flags = ["--format", "tflite", "onnx", "web", "--precision", "float16", "float32", "int8"]
    flags += ["--calibration_dataset", tmp_path / "data", "--io", "uint8", "--json"]
    code, out, err = run_export(*flags)
    assert code == 0, err
    cards = {card["path"]: card for card in map(json.loads, out.splitlines())}
    names = ["tiny_float16.tflite", "tiny_float32.tflite", "tiny_int8.tflite", "tiny.onnx"]
    names += [os.path.join("web", "network.onnx")]
    assert sorted(cards) == sorted(str(tmp_path / "out" / name) for name in names)
    for path, card in cards.items():
        assert os.path.isfile(path) and card["mean_difference"] <= 1e-2
        assert ("uint8" in card["input"]) == (card["precision"] == "int8")


def test_export_prints_json(run_export, tmp_path):
    code, out, err = run_export("--format", "pb", "--json")
    card = json.loads(out)
    assert (code, err, card["format"]) == (0, "", "pb")
    assert card["path"] == str(tmp_path / "out" / "tiny.pb")
    assert card["largest_difference"] <= 1e-4


def test_int8_is_calibrated_on_training_images(run_export, tmp_path):
    for split in ("train", "val"):
        synthesize(str(tmp_path / "data"), split, 4, shape=(80, 60))
    flags = ["--format", "tflite", "--precision", "int8", "--json"]
    flags += ["--calibration_dataset", tmp_path / "data"]
    code, out, _ = run_export(*flags, "--calibration_pictures", 3)
    calibration = json.loads(out)["calibration"]
    assert (code, calibration["split"], calibration["pictures"]) == (0, "train", 3)
    assert len(calibration["pictures_sha256"]) == 64
    for split in ("val", "test", "Validation"):
        code, _, err = run_export(*flags, "--calibration_split", split)
        assert code == 2
        assert_message(err, "--calibration_split", split)


def test_mismatch_is_reported_and_nothing_is_written(run_export, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "inference_graph", swapped_channels)
    code, out, err = run_export("--format", "tflite")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert_message(err, "tiny_float32.tflite", "not written")
    assert not os.listdir(str(tmp_path / "out"))


@pytest.mark.parametrize(
    "flags, tokens",
    [
        (["--format", "onnx", "--precision", "float16"], ["--precision", "float16", "onnx"]),
        (["--format", "tflite", "--precision", "int8"], ["--calibration_dataset", "int8"]),
        (
            ["--format", "tflite", "--calibration_dataset", "PORTRAITS"],
            ["--calibration_dataset", "--precision int8"],
        ),
        (["--format", "tflite", "--io", "uint8"], ["--io", "uint8", "int8"]),
        (
            ["--format", "onnx", "tflite", "--precision", "float16", "dynamic"],
            ["--precision", "float16", "onnx"],
        ),
        (["--format", "coreml"], ["--format", "coreml", "tflite"]),
        (["--format", "tflite", "--calibration_dataset", "missing"], ["missing"]),
        (["--format", "web", "--output_type", "logits"], ["--format web", "--output_type"]),
        (["--format", "web", "--preprocess", "outside"], ["--format web", "--preprocess"]),
        ([], ["--format"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_input(run_export, portraits, tmp_path, flags, tokens):
    flags = [portraits if flag == "PORTRAITS" else flag for flag in flags]
    code, out, err = run_export(*flags)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert_message(err, *tokens)
    assert not (tmp_path / "out").exists()


def test_255_of_an_int8_model_is_opaque(run, test_data, tmp_path):
    """TFLite's 8-bit sigmoid ends at 255/256, so export rescales it."""
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-304500")
    command = ["export", "--checkpoint_path", prefix, "--format", "tflite"]
    command += ["--precision", "int8", "--io", "uint8", "--output", str(tmp_path)]
    command += ["--calibration_dataset", os.path.join(test_data, "portraits")]
    assert run(*command, "--calibration_pictures", 5)[0] == 0
    interpreter = open_tflite(str(tmp_path / "mmnet_int8.tflite")).run.args[0]
    (model_input,) = interpreter.get_input_details()
    (model_output,) = interpreter.get_output_details()
    assert model_input["dtype"] == model_output["dtype"] == np.uint8
    input_scale, input_zero = model_input["quantization"]
    scale, zero = model_output["quantization"]
    assert (input_zero, zero) == (0, 0)
    assert input_scale == pytest.approx(1) and scale == pytest.approx(1 / 255, rel=1e-4)


def test_web_page_is_complete(run_export, tmp_path):
    code, _, err = run_export("--format", "web")
    assert code == 0, err
    folder = tmp_path / "out" / "web"
    names = ["index.html", "mmnet.js", "network.onnx", "network.onnx.json", "package.json"]
    assert sorted(os.listdir(str(folder))) == names + ["refine.js", "serve.js"]
    card = json.loads((folder / "network.onnx.json").read_text())
    assert card["network"]["shape"] == [64, 64] and card["output_type"] == "alpha"
    page = (folder / "index.html").read_text()
    assert "./mmnet.js" in page and "https:" not in page
    package = json.loads((folder / "package.json").read_text())
    assert "onnxruntime-web" in package["dependencies"]

    (folder / "notes.txt").write_text("mine")
    (folder / "index.html").write_text("older")
    assert run_export("--format", "web")[0] == 0
    assert (folder / "index.html").read_text() == page
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "serve.js").unlink()
    (folder / "serve.js").symlink_to("index.html")
    code, _, err = run_export("--format", "web")
    assert code == 2 and (folder / "index.html").read_text() == page


@pytest.mark.parametrize(
    "names", [["index.html"], ["serve.js"], [".git"], ["network.onnx"], ["network.onnx.json"]]
)
@pytest.mark.parametrize("is_link", [False, True])
def test_web_page_replaces_no_foreign_folder(run_export, tmp_path, names, is_link):
    folder = tmp_path / "site" if is_link else tmp_path / "out" / "web"
    (tmp_path / "out").mkdir()
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}")
    if is_link:
        (tmp_path / "out" / "web").symlink_to(folder)
    code, _, err = run_export("--format", "tflite", "web")
    assert code == 2 and err.count("\n") == 1
    assert_message(err, "--output", tmp_path / "out" / "web")
    assert sorted(os.listdir(str(folder))) == names and os.listdir(str(tmp_path / "out")) == ["web"]
    assert all((folder / name).read_text() == "{}" for name in names)
