"""Tests of the light installation in its own environment, which has no TensorFlow."""

import json
import os
import shutil
import sys

import numpy as np
import pytest

from helpers import ROOT, assert_message
from helpers.shell import run
from mmnet.cli import main
from mmnet.io.masks import load_mask
from mmnet.weights.registry import DEFAULT


@pytest.fixture(scope="module")
def run_light(tmp_path_factory):
    """Run the command mmnet of a copy of the project with .venv-light."""
    copy = str(tmp_path_factory.mktemp("a light copy"))
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("mmnet", "configs", "scripts", "requirements"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(copy, name), ignore=ignored)
    files = ["requirements.txt", "requirements-light.txt", "setup.py", "pyproject.toml"]
    for name in [*files, "README.md"]:
        shutil.copy(os.path.join(ROOT, name), copy)
    setup = ["sh", os.path.join(copy, "scripts", "setup.sh"), "--light"]
    environment = dict(os.environ, PYTHON=os.path.realpath(sys.executable))
    environment.pop("PYTHONPATH", None)
    environment["PIP_NO_COMPILE"] = "1"  # faster: most modules are never imported
    result = run(*setup, env=environment)
    assert result.returncode == 0, result.stderr
    assert_message(result.stderr, "no TensorFlow")
    assert not os.path.exists(os.path.join(copy, ".venv"))
    assert run(*setup, env=environment).stderr == ""  # nothing has changed
    program = os.path.join(copy, ".venv-light", "bin", "mmnet")
    return lambda *arguments: run(program, *arguments, cwd=copy, env=environment)


def test_predict_gives_the_alpha_of_the_full_installation(run_light, portrait_set, tmp_path):
    command = ["predict", portrait_set.pairs[0].image, "--write", "alpha", "--output"]
    assert run_light(*command, tmp_path / "light").returncode == 0
    # --size applies to checkpoints only, so TensorFlow runs the checkpoint.
    assert main([*command, str(tmp_path / "full"), "--size", "256"]) == 0
    light, full = (
        load_mask(str(tmp_path / folder / name))
        for folder in ("light", "full")
        for name in os.listdir(str(tmp_path / folder))
    )
    assert np.abs(light - full).max() <= 1.01 / 255


def test_evaluate_and_benchmark_run(run_light, portraits, tmp_path):
    page, output = tmp_path / "page.html", tmp_path / "scores"
    flags = ["--dataset_path", portraits, "--output", output, "--report", page, "--json"]
    result = run_light("evaluate", *flags)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("tensorboard") == 1 and page.exists()
    (folder,) = (output / "eval").iterdir()
    assert sorted(os.listdir(str(folder))) == [f"{DEFAULT}.csv", f"{DEFAULT}.json"]
    scores = json.loads(result.stdout)
    assert scores["pictures"] == 6 and scores["MAD/test"] < 0.15
    result = run_light("benchmark", "--seconds", "0.5", "--json")
    assert result.returncode == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["parameters"] > 180000 and "TensorFlow" not in row["machine"]


def test_train_reports_that_tensorflow_is_missing(run_light, portraits, tmp_path):
    flags = ["--dataset_path", portraits, "--dataset_split_name", "test", "--train_dir"]
    result = run_light("train", *flags, tmp_path, "--max_step_from_restore", "1")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert_message(result.stderr.splitlines()[-1], "TensorFlow", "pip install", "[train]")


def test_doctor_prints_commands_that_install(run_light):
    lines = run_light("doctor").stdout.splitlines()
    command = next(line for line in lines if "aiohttp:" in line).rpartition("; ")[2]
    result = run("sh", "-c", command)
    assert result.returncode == 0, result.stderr
    assert json.loads(run_light("doctor", "--json").stdout)["parts"]["aiohttp"]
