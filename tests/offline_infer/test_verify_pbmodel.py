"""Tests of offline_infer/verify_pbmodel.py: it behaves like msame."""

import json
import os
import re
import sys

import numpy as np
import pytest

from helpers import ROOT, SMALL, assert_message
from mmnet.inference.tensorflow import open_frozen

sys.path.append(ROOT)
from offline_infer import verify_pbmodel  # noqa: E402

SHAPE = (1, *SMALL.shape, 3)
INSIDE, OUTSIDE = "inside", "outside"


@pytest.fixture(scope="module")
def models(tmp_path_factory, graph_of):
    """Return preprocess -> path of a small frozen graph."""
    folder = tmp_path_factory.mktemp("models")
    paths = {preprocess: folder / (preprocess + ".pb") for preprocess in (INSIDE, OUTSIDE)}
    for preprocess, path in paths.items():
        path.write_bytes(graph_of(preprocess).SerializeToString())
    return {preprocess: str(path) for preprocess, path in paths.items()}


@pytest.fixture(scope="module")
def predictor(models):
    """The frozen graph that divides inside, as a Predictor."""
    return open_frozen(models[INSIDE])


@pytest.fixture
def images(tmp_path):
    """Return stem -> values of the two float32 files in images/."""
    folder, random = tmp_path / "images", np.random.RandomState(0)
    folder.mkdir()
    values = {stem: random.randint(0, 256, SHAPE).astype(np.float32) for stem in ("b", "a")}
    for stem, image in values.items():
        (folder / (stem + ".bin")).write_bytes(image.tobytes())
    return values


@pytest.fixture
def run(tmp_path, capsys):
    """Run the script on images/ or ``input``. Return the exit code and the lines of stdout."""

    def run(model, *flags, input=tmp_path / "images", output=tmp_path / "output"):
        capsys.readouterr()
        arguments = ["--model", model, "--output", output, *flags]
        if input is not None:
            arguments += ["--input", input]
        exit_code = verify_pbmodel.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert err == ""
        return exit_code, out.splitlines()

    return run


def result_folder(output):
    (timestamp,) = os.listdir(str(output))
    assert re.match(r"20\d\d\d{2,4}(_\d+){4}$", timestamp)
    return os.path.join(str(output), timestamp)


def read_result(output, stem):
    path = os.path.join(result_folder(output), stem + "_output_0.bin")
    return np.fromfile(path, np.float32).reshape(1, *SMALL.shape, 2)


def count_lines(lines, pattern):
    return sum(bool(re.match(pattern + "$", line)) for line in lines)


def test_folder_of_samples(run, models, predictor, images, tmp_path):
    exit_code, lines = run(models[INSIDE])
    assert exit_code == 0
    assert count_lines(lines, r"Inference time: \d+\.\d{3}ms") == 2
    assert count_lines(lines, r"Inference average time : \d+\.\d\d ms") == 1
    assert count_lines(lines, r"Inference average time without first time: \d+\.\d\d ms") == 1
    assert re.match(r"\[INFO\] pid: \d+ Execute sample success$", lines[-1])
    names = sorted(os.listdir(result_folder(tmp_path / "output")))
    assert names == ["a_output_0.bin", "b_output_0.bin"]
    for stem, image in images.items():
        expected = predictor.run(image)
        assert expected.std() > 0.01
        np.testing.assert_array_equal(read_result(tmp_path / "output", stem), expected)


def test_one_sample_as_text(run, models, predictor, images, tmp_path):
    path = tmp_path / "images" / "a.bin"
    exit_code, lines = run(models[INSIDE], "--outfmt", "TXT", input=path)
    assert exit_code == 0
    assert count_lines(lines, r"Inference average time: \d+\.\d{6} ms") == 1
    with open(os.path.join(result_folder(tmp_path / "output"), "a_output_0.txt")) as file:
        values = np.array(file.read().split(), np.float32)
    np.testing.assert_allclose(values, predictor.run(images["a"]).ravel(), rtol=1e-5)


def test_zeros_without_input(run, models, predictor, tmp_path):
    exit_code, lines = run(models[INSIDE], "--loop", "3", input=None)
    assert exit_code == 0 and count_lines(lines, "Inference time: .*") == 3
    assert os.listdir(result_folder(tmp_path / "output")) == ["inside_output_0.bin"]
    expected = predictor.run(np.zeros(SHAPE, np.float32))
    np.testing.assert_array_equal(read_result(tmp_path / "output", "inside"), expected)


def make_manifest(**values):
    """Return the manifest of one image as JSON values."""
    entry = {"stem": "a", "image": "a.jpg", "mask": "a.png", "height": 8, "width": 6, "sha256": ""}
    return dict(dataset_path="", split="", shape=[64, 64], pictures=[entry], **values)


@pytest.mark.parametrize("preprocess", [INSIDE, OUTSIDE])
def test_uint8_samples_are_converted_as_by_aipp(
    run, models, predictor, images, tmp_path, preprocess
):
    for stem, image in images.items():
        path = tmp_path / "images" / (stem + ".bin")
        path.write_bytes(image.astype(np.uint8).tobytes())
    manifest = make_manifest(dtype="uint8", preprocess="inside")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert run(models[preprocess])[0] == 0
    alphas = read_result(tmp_path / "output", "a")[..., 1]
    np.testing.assert_allclose(alphas, predictor(images["a"]), atol=1e-5)


def test_inputs_for_the_other_preprocess_are_refused(run, models, images, tmp_path):
    manifest = make_manifest(dtype="float32", preprocess="outside")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    exit_code, lines = run(models[INSIDE])
    assert exit_code == 1 and not (tmp_path / "output").exists()
    assert_message(lines[0], models[INSIDE], "inside", "manifest.json", "outside")
    for contents in ("{}", "[]", "[" * 100000):
        (tmp_path / "manifest.json").write_text(contents)
        exit_code, lines = run(models[INSIDE])
        assert exit_code == 1 and not (tmp_path / "output").exists()
        assert_message(lines[0], tmp_path / "manifest.json")


def test_wrong_samples_of_a_folder_are_skipped(run, models, images, tmp_path):
    (tmp_path / "images" / "b.bin").write_bytes(b"short")
    os.mkfifo(str(tmp_path / "images" / "c.bin"))
    exit_code, lines = run(models[INSIDE])
    assert exit_code == 0
    assert os.listdir(result_folder(tmp_path / "output")) == ["a_output_0.bin"]
    assert count_lines(lines, r".*b\.bin.* 5 bytes.* 49152 .* 12288 .*") == 1
    assert count_lines(lines, r".*c\.bin.*") == 1


def test_exit_codes_equal_those_of_msame(run, models, images, tmp_path):
    with pytest.raises(SystemExit) as stop:  # wrong usage
        verify_pbmodel.main(["--model", models[INSIDE]])
    assert stop.value.code == 0
    assert run(models[INSIDE], input=tmp_path / "none")[0] == 0
    assert run(tmp_path / "none.pb")[0] == 1
    path = tmp_path / "images" / "b.bin"
    path.write_bytes(b"short")
    exit_code, lines = run(models[INSIDE], input=path)
    assert exit_code == 1 and "success" not in lines[-1]
    exit_code, lines = run(models[INSIDE], output=tmp_path / "two" / "deep")
    assert exit_code == 1 and "one level deep only" in lines[-1]
