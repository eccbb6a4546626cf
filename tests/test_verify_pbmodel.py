"""The stand-in for msame: what it prints, writes and exits with, as the real one does."""
import json
import os
import re

import numpy as np
import pytest

from conftest import SMALL
from mmnet.delivery import graphs
from mmnet.delivery.models import FrozenPredictor
from mmnet.delivery.predictor import CheckpointPredictor
from offline_infer import verify_pbmodel

SIZE = SMALL["size"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """preprocess -> path of a small frozen graph."""
    folder = tmp_path_factory.mktemp("models")
    values = CheckpointPredictor(**SMALL).values()
    paths = {}
    for preprocess in ("inside", "outside"):
        paths[preprocess] = str(folder / (preprocess + ".pb"))
        with open(paths[preprocess], "wb") as file:
            file.write(graphs.inference_graph(values, SMALL["width_multiplier"], SIZE, preprocess).SerializeToString())
    return paths


@pytest.fixture
def pictures(tmp_path):
    """images/ with two float32 pictures, and their values."""
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.RandomState(0)
    values = {}
    for stem in ("b", "a"):
        values[stem] = random.randint(0, 256, (1, SIZE, SIZE, 3)).astype(np.float32)
        (folder / (stem + ".bin")).write_bytes(values[stem].tobytes())
    return folder, values


def run(capsys, *arguments):
    """(exit code, lines of stdout); stderr stays empty, as msame's does."""
    capsys.readouterr()
    try:
        code = verify_pbmodel.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert err == ""
    return code, out.splitlines()


def results(folder):
    (timestamp,) = os.listdir(str(folder))
    assert re.match(r"20\d\d\d{2,4}(_\d+){4}$", timestamp)
    return os.path.join(str(folder), timestamp)


def test_a_folder(models, pictures, tmp_path, capsys):
    folder, values = pictures
    code, lines = run(capsys, "--model", models["inside"], "--input", folder, "--output", tmp_path / "output")
    assert code == 0
    assert sum(bool(re.match(r"Inference time: \d+\.\d{3}ms$", line)) for line in lines) == 2
    assert any(re.match(r"Inference average time : \d+\.\d\d ms$", line) for line in lines)
    assert any(re.match(r"Inference average time without first time: \d+\.\d\d ms$", line) for line in lines)
    assert re.match(r"\[INFO\] pid: \d+ Execute sample success$", lines[-1])
    written = results(tmp_path / "output")
    assert sorted(os.listdir(written)) == ["a_output_0.bin", "b_output_0.bin"]
    model = FrozenPredictor(models["inside"])
    for stem, picture in values.items():
        output = np.fromfile(os.path.join(written, stem + "_output_0.bin"), np.float32)
        np.testing.assert_array_equal(output.reshape(1, SIZE, SIZE, 2), model.run(picture))


def test_a_file_as_text(models, pictures, tmp_path, capsys):
    folder, values = pictures
    code, lines = run(capsys, "--model", models["inside"], "--input", folder / "a.bin", "--output", tmp_path / "output",
                      "--outfmt", "TXT")
    assert code == 0 and any(re.match(r"Inference average time: \d+\.\d{6} ms$", line) for line in lines)
    with open(os.path.join(results(tmp_path / "output"), "a_output_0.txt")) as file:
        output = np.array(file.read().split(), np.float32)
    np.testing.assert_allclose(output, FrozenPredictor(models["inside"]).run(values["a"]).ravel(), rtol=1e-5)


def test_no_input_is_zeros(models, tmp_path, capsys):
    code, lines = run(capsys, "--model", models["inside"], "--output", tmp_path / "output", "--loop", 3)
    assert code == 0 and sum(line.startswith("Inference time:") for line in lines) == 3
    assert os.listdir(results(tmp_path / "output")) == ["inside_output_0.bin"]


@pytest.mark.parametrize("preprocess", ["inside", "outside"])
def test_bytes_go_in_as_aipp_takes_them(models, pictures, tmp_path, capsys, preprocess):
    folder, values = pictures
    for stem, picture in values.items():
        (folder / (stem + ".bin")).write_bytes(picture.astype(np.uint8).tobytes())
    (tmp_path / "manifest.json").write_text(json.dumps({"dtype": "uint8", "preprocess": "inside"}))
    assert run(capsys, "--model", models[preprocess], "--input", folder, "--output", tmp_path / "output")[0] == 0
    output = np.fromfile(os.path.join(results(tmp_path / "output"), "a_output_0.bin"), np.float32)
    np.testing.assert_allclose(output.reshape(1, SIZE, SIZE, 2)[..., 1], FrozenPredictor(models["inside"])(values["a"]),
                               atol=1e-5)


def test_dividing_twice_is_refused(models, pictures, tmp_path, capsys):
    (tmp_path / "manifest.json").write_text(json.dumps({"dtype": "float32", "preprocess": "outside"}))
    code, lines = run(capsys, "--model", models["inside"], "--input", pictures[0], "--output", tmp_path / "output")
    assert code == 1 and "divides by 255 inside the graph" in lines[0] and not (tmp_path / "output").exists()


def test_a_wrong_sample_is_passed_over_in_a_folder_only(models, pictures, tmp_path, capsys):
    (pictures[0] / "b.bin").write_bytes(b"short")
    code, lines = run(capsys, "--model", models["inside"], "--input", pictures[0], "--output", tmp_path / "output")
    assert code == 0 and os.listdir(results(tmp_path / "output")) == ["a_output_0.bin"]
    assert any("b.bin holds 5 bytes; the model takes 49152 (float32) or 12288 (uint8, AIPP)" in line for line in lines)
    code, lines = run(capsys, "--model", models["inside"], "--input", pictures[0] / "b.bin", "--output", tmp_path / "two")
    assert code == 1 and "success" not in lines[-1]


def test_exit_codes(models, pictures, tmp_path, capsys):
    model, folder = ("--model", models["inside"]), ("--input", pictures[0])
    assert run(capsys, *model)[0] == 0  # wrong usage
    assert run(capsys, *(model + ("--input", tmp_path / "none", "--output", tmp_path / "output")))[0] == 0
    assert run(capsys, *(folder + ("--model", tmp_path / "none.pb", "--output", tmp_path / "output")))[0] == 1
    code, lines = run(capsys, *(model + folder + ("--output", tmp_path / "two" / "deep")))
    assert code == 1 and "one level deep only" in lines[-1]
