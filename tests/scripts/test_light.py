"""The light installation, in an environment of its own that has no TensorFlow."""

import json
import os
import shutil
import sys

import numpy as np
import pytest

from helpers import ROOT
from helpers.shell import run
from mmnet.io.images import load_mask


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """The mmnet command of a copy of the project with .venv-light."""
    copy = str(tmp_path_factory.mktemp("a light copy"))
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("mmnet", "configs", "scripts"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(copy, name), ignore=ignored)
    for name in ("requirements.txt", "requirements-light.txt", "setup.py", "pyproject.toml"):
        shutil.copy(os.path.join(ROOT, name), copy)
    shutil.copy(os.path.join(ROOT, "README.md"), copy)
    setup = ["sh", os.path.join(copy, "scripts", "setup.sh"), "--light"]
    environment = dict(os.environ, PYTHON=os.path.realpath(sys.executable))
    environment.pop("PYTHONPATH", None)
    environment["PIP_NO_COMPILE"] = "1"  # what is never imported need not be compiled
    result = run(*setup, env=environment)
    assert result.returncode == 0, result.stderr
    assert "no TensorFlow" in result.stderr and not os.path.exists(os.path.join(copy, ".venv"))
    assert run(*setup, env=environment).stderr == ""  # nothing has changed
    program = os.path.join(copy, ".venv-light", "bin", "mmnet")

    def mmnet(*arguments):
        return run(program, *arguments, cwd=copy, env=environment)

    return mmnet


def test_a_photo_is_cut_out_as_with_tensorflow(light, portrait_set, tmp_path):
    from mmnet.cli import main

    photo, alphas = portrait_set.pairs[0].image, []
    command = ["predict", photo, "--write", "alpha", "--output"]
    assert light(*command, tmp_path / "light").returncode == 0
    # A flag that only a checkpoint has makes the full installation run the checkpoint.
    assert main(command + [str(tmp_path / "full"), "--size", "256"]) == 0
    for folder in ("light", "full"):
        (name,) = os.listdir(str(tmp_path / folder))
        alphas.append(load_mask(str(tmp_path / folder / name)))
    assert np.abs(alphas[0] - alphas[1]).max() <= 1.01 / 255


def test_it_scores_and_measures(light, portraits):
    result = light("evaluate", "--dataset_path", portraits, "--json")
    assert result.returncode == 0, result.stderr
    scores = json.loads(result.stdout)
    assert scores["pictures"] == 6 and scores["MAD/test"] < 0.15
    result = light("benchmark", "--seconds", "0.5", "--json")
    assert result.returncode == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["parameters"] > 180000 and "TensorFlow" not in row["machine"]


def test_what_takes_tensorflow_says_so(light, portraits, tmp_path):
    flags = ["--dataset_path", portraits, "--dataset_split_name", "test", "--train_dir"]
    result = light("train", *flags, tmp_path, "--max_step_from_restore", "1")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "this needs TensorFlow" in result.stderr.splitlines()[-1]
