"""The export verb."""

import json
import os

import numpy as np
import pytest

from helpers import SMALL_FLAGS
from helpers.lively import swapped_channels
from mmnet import cli
from mmnet.commands.export import form_of
from mmnet.commands.presets import resolve
from mmnet.export import export as export_module
from mmnet.inference.tflite import open_tflite


def test_the_command(lively_weights, portraits, tmp_path, capfd):
    output = str(tmp_path / "models")
    arguments = ["export", "--checkpoint_path", lively_weights.source, "--format", "savedmodel"]
    arguments += ["tflite", "--output", output, "--dataset_path", portraits] + SMALL_FLAGS
    capfd.readouterr()
    for _ in range(2):  # the second time in place of the first
        assert cli.main(arguments) == 0
        out, err = capfd.readouterr()
        assert out.count("over 4 pictures: largest") == 2 and err == ""
    assert sorted(os.listdir(output)) == [
        "mmnet_float32.tflite",
        "mmnet_float32.tflite.json",
        "savedmodel",
        "savedmodel.json",
    ]


def test_the_name_of_every_file(tmp_path, lively_weights):
    def names(*formats, **flags):
        flags.update(format=list(formats), output=str(tmp_path))
        settings = resolve("export", dict(flags, checkpoint_path=lively_weights.source))
        forms = [form_of(settings, lively_weights.network, name) for name in formats]
        assert [form.format for form in forms] == list(formats)
        assert all(form.fold for form in forms)
        assert {os.path.dirname(form.path) for form in forms} == {str(tmp_path)}
        return [os.path.basename(form.path) for form in forms]

    assert names("savedmodel", "onnx", "pb") == ["savedmodel", "mmnet.onnx", "mmnet.pb"]
    for precision in ("float32", "float16", "dynamic", "int8"):
        assert names("tflite", precision=precision) == ["mmnet_%s.tflite" % precision]


def test_one_file_as_json(lively_weights, tmp_path, capfd):
    capfd.readouterr()
    arguments = ["export", "--checkpoint_path", lively_weights.source, "--format", "pb", "--json"]
    assert cli.main(arguments + ["--output", str(tmp_path)] + SMALL_FLAGS) == 0
    out, err = capfd.readouterr()
    card = json.loads(out)
    assert (card["path"], card["format"], err) == (str(tmp_path / "mmnet.pb"), "pb", "")
    assert card["largest_difference"] <= 1e-4


def test_int8_is_calibrated_on_training_pictures(lively_weights, tmp_path, capfd):
    from mmnet.datasets.synthetic import synthesize

    for split in ("train", "val"):
        synthesize(str(tmp_path / "data"), split, 4, shape=(80, 60))
    capfd.readouterr()
    arguments = ["export", "--checkpoint_path", lively_weights.source, "--format", "tflite"]
    arguments += ["--precision", "int8", "--output", str(tmp_path / "out"), "--json"]
    arguments += ["--calibration_dataset", str(tmp_path / "data")] + SMALL_FLAGS
    assert cli.main(arguments + ["--calibration_pictures", "3"]) == 0
    out, err = capfd.readouterr()
    about = json.loads(out)["calibration"]  # nothing else is on stdout
    assert (about["split"], about["pictures"]) == ("train", 3)
    assert len(about["pictures_sha256"]) == 64
    for split in ("val", "test", "Validation"):
        assert cli.main(arguments + ["--calibration_split", split]) == 2
        assert "calibrate on training pictures" in capfd.readouterr().err


def test_the_command_says_what_differs(lively_weights, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(export_module, "inference_graph", swapped_channels)
    capfd.readouterr()
    arguments = ["export", "--checkpoint_path", lively_weights.source, "--format", "tflite"]
    assert cli.main(arguments + ["--output", str(tmp_path)] + SMALL_FLAGS) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "is not written" in err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            ["--format", "onnx", "--precision", "float16"],
            "--precision float16 is TFLite's only: onnx is float32",
        ),
        (
            ["--format", "tflite", "--precision", "int8"],
            "--precision int8 needs --calibration_dataset",
        ),
        (
            ["--format", "tflite", "--calibration_dataset", "PORTRAITS"],
            "--calibration_dataset goes with --precision int8",
        ),
        (["--format", "tflite", "--io", "uint8"], "--io uint8 goes with --precision int8"),
        (["--format", "coreml"], "one of savedmodel, tflite, onnx, pb, web, not 'coreml'"),
        (["--format", "tflite", "--calibration_dataset", "x"], "no dataset folder x"),
        ([], "--format is needed"),
    ],
)
def test_bad_input(lively_weights, portraits, tmp_path, capfd, arguments, said):
    arguments = [portraits if argument == "PORTRAITS" else argument for argument in arguments]
    arguments += ["--checkpoint_path", lively_weights.source, "--output", str(tmp_path)]
    capfd.readouterr()
    assert cli.main(["export"] + arguments + SMALL_FLAGS) == 2
    out, err = capfd.readouterr()
    assert err.count("\n") == 1 and said in err and not os.listdir(str(tmp_path))


def test_255_of_an_int8_model_is_opaque(test_data, tmp_path, capfd):
    """TFLite's 8-bit sigmoid alone ends at 255/256."""
    capfd.readouterr()
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-304500")
    arguments = ["export", "--checkpoint_path", prefix, "--format", "tflite"]
    arguments += ["--precision", "int8", "--io", "uint8", "--output", str(tmp_path)]
    arguments += ["--calibration_dataset", os.path.join(test_data, "portraits")]
    assert cli.main(arguments + ["--calibration_pictures", "5"]) == 0
    interpreter = open_tflite(str(tmp_path / "mmnet_int8.tflite")).run.args[0]
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert taken["dtype"] == given["dtype"] == np.uint8
    (scale_in, zero_in), (scale, zero) = taken["quantization"], given["quantization"]
    assert (zero_in, zero) == (0, 0)
    assert scale_in == pytest.approx(1) and scale == pytest.approx(1 / 255, rel=1e-4)


def test_a_page_for_the_browser(lively_weights, tmp_path, capfd):
    output = tmp_path / "models"
    command = ["export", "--checkpoint_path", lively_weights.source, "--output", str(output)]
    command += ["--format", "web"] + SMALL_FLAGS
    assert cli.main(command) == 0
    names = ["index.html", "mmnet.js", "network.onnx", "network.onnx.json", "package.json"]
    assert sorted(os.listdir(str(output / "web"))) == names + ["serve.js"]
    card = json.loads((output / "web" / "network.onnx.json").read_text())
    assert card["network"]["shape"] == [64, 64] and card["output_type"] == "alpha"
    page = (output / "web" / "index.html").read_text()
    assert "./mmnet.js" in page and "https:" not in page
    assert (
        "onnxruntime-web"
        in json.loads((output / "web" / "package.json").read_text())["dependencies"]
    )
    capfd.readouterr()
    assert cli.main(command + ["--output_type", "logits"]) == 2
    assert "--format web takes pictures of three channels" in capfd.readouterr().err
