"""The stand-in for msame: what it prints, writes and exits with, as the real one does."""

import json
import os
import re
import sys

import numpy as np
import pytest

from helpers import ROOT, SMALL
from mmnet.inference.tensorflow import open_frozen
from mmnet.networks.inference_graph import inference_graph

sys.path.append(ROOT)
from offline_infer import verify_pbmodel  # noqa: E402

SHAPE = (1,) + SMALL.shape + (3,)
INSIDE, OUTSIDE = "inside", "outside"


@pytest.fixture(scope="module")
def models(tmp_path_factory, lively_weights):
    """preprocess -> path of a small frozen graph."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for preprocess in (INSIDE, OUTSIDE):
        paths[preprocess] = str(folder / (preprocess + ".pb"))
        graph_def = inference_graph(SMALL, lively_weights.values, preprocess=preprocess)
        with open(paths[preprocess], "wb") as file:
            file.write(graph_def.SerializeToString())
    return paths


@pytest.fixture(scope="module")
def predictor(models):
    """The frozen graph that divides inside, as a Predictor."""
    return open_frozen(models[INSIDE])


@pytest.fixture
def pictures(tmp_path):
    """images/ with two float32 pictures, and their values."""
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.RandomState(0)
    values = {}
    for stem in ("b", "a"):
        values[stem] = random.randint(0, 256, SHAPE).astype(np.float32)
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


def has_line(lines, pattern):
    return any(re.match(pattern + "$", line) for line in lines)


def test_a_folder(models, predictor, pictures, tmp_path, capsys):
    folder, values = pictures
    output = tmp_path / "output"
    code, lines = run(capsys, "--model", models[INSIDE], "--input", folder, "--output", output)
    assert code == 0
    assert sum(bool(re.match(r"Inference time: \d+\.\d{3}ms$", line)) for line in lines) == 2
    assert has_line(lines, r"Inference average time : \d+\.\d\d ms")
    assert has_line(lines, r"Inference average time without first time: \d+\.\d\d ms")
    assert re.match(r"\[INFO\] pid: \d+ Execute sample success$", lines[-1])
    written = results(output)
    assert sorted(os.listdir(written)) == ["a_output_0.bin", "b_output_0.bin"]
    for stem, picture in values.items():
        given = np.fromfile(os.path.join(written, stem + "_output_0.bin"), np.float32)
        expected = predictor.run(picture)
        assert expected.std() > 0.01  # of a picture, not of nothing
        np.testing.assert_array_equal(given.reshape((1,) + SMALL.shape + (2,)), expected)


def test_a_file_as_text(models, predictor, pictures, tmp_path, capsys):
    folder, values = pictures
    flags = ["--model", models[INSIDE], "--input", folder / "a.bin"]
    code, lines = run(capsys, *flags, "--output", tmp_path / "output", "--outfmt", "TXT")
    assert code == 0 and has_line(lines, r"Inference average time: \d+\.\d{6} ms")
    with open(os.path.join(results(tmp_path / "output"), "a_output_0.txt")) as file:
        output = np.array(file.read().split(), np.float32)
    np.testing.assert_allclose(output, predictor.run(values["a"]).ravel(), rtol=1e-5)


def test_no_input_is_zeros(models, predictor, tmp_path, capsys):
    output = tmp_path / "output"
    code, lines = run(capsys, "--model", models[INSIDE], "--output", output, "--loop", 3)
    assert code == 0 and sum(line.startswith("Inference time:") for line in lines) == 3
    assert os.listdir(results(output)) == ["inside_output_0.bin"]
    given = np.fromfile(os.path.join(results(output), "inside_output_0.bin"), np.float32)
    expected = predictor.run(np.zeros(SHAPE, np.float32))
    np.testing.assert_array_equal(given.reshape(expected.shape), expected)


@pytest.mark.parametrize("preprocess", [INSIDE, OUTSIDE])
def test_bytes_go_in_as_aipp_takes_them(models, predictor, pictures, tmp_path, capsys, preprocess):
    folder, values = pictures
    for stem, picture in values.items():
        (folder / (stem + ".bin")).write_bytes(picture.astype(np.uint8).tobytes())
    manifest = {"dtype": "uint8", "preprocess": "inside"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    flags = ["--model", models[preprocess], "--input", folder, "--output", tmp_path / "output"]
    assert run(capsys, *flags)[0] == 0
    path = os.path.join(results(tmp_path / "output"), "a_output_0.bin")
    output = np.fromfile(path, np.float32).reshape((1,) + SMALL.shape + (2,))
    np.testing.assert_allclose(output[..., 1], predictor(values["a"]), atol=1e-5)


def test_dividing_twice_is_refused(models, pictures, tmp_path, capsys):
    manifest = {"dtype": "float32", "preprocess": "outside"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    output = tmp_path / "output"
    flags = ["--model", models[INSIDE], "--input", pictures[0], "--output", output]
    code, lines = run(capsys, *flags)
    assert code == 1 and "divides by 255 inside the graph" in lines[0] and not output.exists()


def test_a_wrong_sample_is_passed_over_in_a_folder_only(models, pictures, tmp_path, capsys):
    (pictures[0] / "b.bin").write_bytes(b"short")
    model = ["--model", models[INSIDE]]
    output = tmp_path / "output"
    code, lines = run(capsys, *model, "--input", pictures[0], "--output", output)
    assert code == 0 and os.listdir(results(output)) == ["a_output_0.bin"]
    said = "b.bin holds 5 bytes; the model takes 49152 (float32) or 12288 (uint8, AIPP)"
    assert any(said in line for line in lines)
    sample = pictures[0] / "b.bin"
    code, lines = run(capsys, *model, "--input", sample, "--output", tmp_path / "two")
    assert code == 1 and "success" not in lines[-1]


def test_a_pipe_among_the_samples_is_passed_over(models, pictures, tmp_path, capsys):
    os.mkfifo(str(pictures[0] / "c.bin"))
    output = tmp_path / "output"
    flags = ["--model", models[INSIDE], "--input", pictures[0], "--output", output]
    code, lines = run(capsys, *flags)
    assert code == 0 and any("c.bin: not a regular file" in line for line in lines)
    assert sorted(os.listdir(results(output))) == ["a_output_0.bin", "b_output_0.bin"]


def test_exit_codes(models, pictures, tmp_path, capsys):
    model, folder = ["--model", models[INSIDE]], ["--input", pictures[0]]
    output = ["--output", tmp_path / "output"]
    assert run(capsys, *model)[0] == 0  # wrong usage
    assert run(capsys, *model, "--input", tmp_path / "none", *output)[0] == 0
    assert run(capsys, *folder, "--model", tmp_path / "none.pb", *output)[0] == 1
    code, lines = run(capsys, *model, *folder, "--output", tmp_path / "two" / "deep")
    assert code == 1 and "one level deep only" in lines[-1]
