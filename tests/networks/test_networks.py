"""The whole way of each network beside MMNet: train, go on, score, freeze, export, compare.

What is special to none of them is tested with MMNet, or with the throw-away of test_new_network.
"""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from helpers.brief import brief_encoder

from helpers import ROOT
from mmnet.cli import main
from mmnet.inference.open import open_predictor
from mmnet.io.checkpoint_files import files_of
from mmnet.networks.network import CLASSIFIERS
from mmnet.networks.registry import NETWORKS
from mmnet.tf import checkpoint
from mmnet.training.losses import RECIPES
from mmnet.weights.values import WeightOptions

sys.path.append(ROOT)
from offline_infer import datapre, evaluate, verify_pbmodel  # noqa: E402

NAMES = ("deeplab_os8", "modnet_easpp")  # with all that their other forms have, and dilations
OUTPUT_TYPES = dict(zip(NAMES, ("probabilities", "alpha")))
FLAGS = ["--width_multiplier", "0.25", "--shape", "64", "96"]


def test_each_has_its_row():
    assert NETWORKS.keys() == RECIPES.keys() == CLASSIFIERS.keys()


@pytest.fixture(scope="module", autouse=True)
def built_sooner():
    with brief_encoder():
        yield


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NAMES],
)
def trained(request, portraits, tmp_path_factory):
    """(name, folder of a run of 4 steps, folder of one that went on after 2)."""
    name = request.param
    whole, resumed = (str(tmp_path_factory.mktemp("%s %d" % (name, one))) for one in range(2))
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    command += ["--batch_size", "2", "--network", name, "--optimizer", "momentum"]
    command += ["--step_save_checkpoint", "2", "--max_step_from_restore", "4"] + FLAGS
    assert main(command + ["--train_dir", whole]) == 0
    for file in files_of(os.path.join(whole, "MMNetModel-2")):
        shutil.copy(file, resumed)
    shutil.copy(os.path.join(whole, "MMNetModel-2.json"), resumed)
    assert main(command + ["--train_dir", resumed]) == 0
    return name, whole, resumed


@pytest.fixture(scope="module")
def models(trained, portraits, tmp_path_factory):
    """Folder of its .pb and .tflite."""
    name, run, _ = trained
    folder = str(tmp_path_factory.mktemp("models of %s" % name))
    command = ["export", "--checkpoint_path", run, "--output", folder, "--dataset_path", portraits]
    assert main(command + ["--format", "pb", "tflite"]) == 0
    return folder


def test_a_run_that_goes_on_is_the_run_that_never_stopped(trained):
    _, whole, resumed = trained
    ours, theirs = (
        checkpoint.read(os.path.join(folder, "MMNetModel-4")) for folder in (whole, resumed)
    )
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    before = checkpoint.read(os.path.join(whole, "MMNetModel-2"))
    moved = [name for name in ours if not np.array_equal(ours[name], before[name])]
    assert len(moved) > 0.9 * len(ours)


def test_modnet_adapts_to_pictures_without_masks(trained, portraits, tmp_path, capfd):
    name, run, _ = trained
    pictures = os.path.join(portraits, "test", "image")
    command = ["train", "--adapt", "--pictures_path", pictures, "--checkpoint_path", run]
    command += ["--batch_size", "2", "--learning_rate", "1e-4", "--step_save_checkpoint", "2"]
    command += ["--augmentation_method", "resize_bilinear"]
    folder = str(tmp_path / "adapted")
    if "modnet" not in name:
        assert main(command + ["--train_dir", folder, "--max_step_from_restore", "2"]) == 2
        error = capfd.readouterr().err.splitlines()[-1]
        assert "soc_semantic term is about an output that this network does not have" in error
        return
    for steps in ("2", "4"):  # stops and goes on
        assert main(command + ["--train_dir", folder, "--max_step_from_restore", steps]) == 0
    start = checkpoint.read(os.path.join(run, "MMNetModel-4"))
    ours = checkpoint.read(os.path.join(folder, "MMNetModel-8"))
    for variable, value in ours.items():
        if variable.endswith("/copy"):
            np.testing.assert_array_equal(value, start[variable[: -len("/copy")]])
        if "/moving_" in variable:
            np.testing.assert_array_equal(value, start[variable.replace("/copy", "")])
    names = [variable for variable in start if variable.endswith("weights")]
    assert all(variable + "/copy" in ours for variable in names)
    moved = [variable for variable in names if not np.array_equal(ours[variable], start[variable])]
    assert len(moved) == len(names)
    command = ["evaluate", "--dataset_path", portraits, "--checkpoint_path", folder, "--json"]
    assert main(command + ["--output", str(tmp_path)]) == 0  # it is a modnet as any other


def test_its_models_are_equal(trained, models, portraits, capfd):
    name, run, _ = trained
    capfd.readouterr()
    files = [os.path.join(models, name + end) for end in (".pb", "_float32.tflite")]
    command = ["parity", *files, "--dataset_path", portraits, "--checkpoint_path", run, "--json"]
    assert main(command) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(rows) == 3
    network = open_predictor(run).network
    assert (network.name, network.shape) == (name, (64, 96))
    assert open_predictor(files[1]).network == network


def test_its_temperature_multiplies_the_log_odds(trained, capfd):
    _, run, _ = trained
    images = np.random.RandomState(0).uniform(0, 255, (1, 64, 96, 3)).astype("f")
    plain = open_predictor(run)(images)
    sharp = open_predictor(run, weight_options=WeightOptions(logit_scale=2.0))(images)
    expected = 1 / (1 + ((1 - plain) / plain) ** 2)
    np.testing.assert_allclose(sharp, expected, atol=1e-4)


def test_the_offline_path(trained, portraits, tmp_path, capfd):
    name, run, _ = trained
    output_type = OUTPUT_TYPES[name]
    model, data = str(tmp_path / "model.pb"), str(tmp_path / "Bin")
    command = ["freeze", "--checkpoint_path", run, "--output", model, "--output_type", output_type]
    assert main(command) == 0
    shape = ["--shape", "64", "96"]
    assert datapre.main(["--dataset_path", portraits, "--output", data] + shape) in (0, None)
    results = str(tmp_path / "results")
    command = ["--model", model, "--input", os.path.join(data, "test", "images")]
    assert verify_pbmodel.main(command + ["--output", results]) in (0, None)
    capfd.readouterr()
    command = ["--output_dir", results, "--json", "--output_type", output_type, "--all_metrics"]
    command += ["--manifest", os.path.join(data, "test", "manifest.json")]
    assert evaluate.main(command) in (0, None)
    replayed = json.loads(capfd.readouterr().out)
    command = ["evaluate", "--checkpoint_path", run, "--dataset_path", portraits, "--json"]
    assert main(command + ["--all_metrics", "--output", str(tmp_path)]) == 0
    scores = json.loads(capfd.readouterr().out)
    for tag in ("MAD/test", "MSE/test/800_600", "SAD/test/800_600"):
        assert replayed[tag] == pytest.approx(scores[tag], rel=1e-4, abs=1e-5)
