"""The commands with networks other than MMNet: train, resume, evaluate, export, freeze, predict.

"tiny" stands for a new network: one function and one record in NETWORKS. The other two cover the
layers of all networks.
"""

import json
import os
import shutil

import numpy as np
import pytest

import mmnet
from mmnet.cli import main
from mmnet.inference.open import open_predictor
from mmnet.io.checkpoint_files import files_of
from mmnet.networks.network import Network
from mmnet.networks.registry import NETWORKS
from mmnet.tf import checkpoint
from mmnet.training.losses import TERMS
from mmnet.weights.values import WeightOptions

OUTPUT_TYPES = {"deeplab_os8": "probabilities", "modnet_easpp": "alpha", "tiny": "logits"}
SHAPE = (64, 96)
FLAGS = ["--width_multiplier", "0.25", "--shape", "64", "96"]


@pytest.mark.parametrize("name", NETWORKS)
def test_definition_is_complete(name):
    definition = NETWORKS[name]
    assert definition.loss_weights.keys() <= TERMS.keys()
    assert definition.classifier and callable(definition.build)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in OUTPUT_TYPES],
)
def trained(request, portraits, tmp_path_factory):
    """(name, folder of a training of 4 steps, folder of the same training, resumed at step 2)."""
    name = request.param
    whole, resumed = (str(tmp_path_factory.mktemp(f"{name} {part}")) for part in "ab")
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    command += ["--batch_size", "2", "--network", name, "--optimizer", "momentum"]
    command += ["--step_save_checkpoint", "2", "--max_step_from_restore", "4", *FLAGS]
    assert main([*command, "--train_dir", whole]) == 0
    for file in files_of(os.path.join(whole, "MMNetModel-2")):
        shutil.copy(file, resumed)
    shutil.copy(os.path.join(whole, "MMNetModel-2.json"), resumed)
    assert main([*command, "--train_dir", resumed]) == 0
    return name, whole, resumed


@pytest.fixture(scope="module")
def models(trained, portraits, tmp_path_factory):
    """Paths of the exported .pb and .tflite."""
    name, run, _ = trained
    folder = str(tmp_path_factory.mktemp(f"models of {name}"))
    command = ["export", "--checkpoint_path", run, "--output", folder, "--dataset_path", portraits]
    assert main([*command, "--format", "pb", "tflite"]) == 0
    return [os.path.join(folder, f"{name}{end}") for end in (".pb", "_float32.tflite")]


def test_resume_is_bit_equal(trained):
    _, whole, resumed = trained
    values, resumed_values = (
        checkpoint.read(os.path.join(folder, "MMNetModel-4")) for folder in (whole, resumed)
    )
    assert values.keys() == resumed_values.keys()
    for name in values:
        np.testing.assert_array_equal(values[name], resumed_values[name], err_msg=name)
    before = checkpoint.read(os.path.join(whole, "MMNetModel-2"))
    moved = [name for name in values if not np.array_equal(values[name], before[name])]
    assert len(moved) > 0.9 * len(values)


def test_models_equal_the_checkpoint(trained, models, portraits, run_json):
    name, run, _ = trained
    options = ["--dataset_path", portraits, "--checkpoint_path", run]
    assert len(run_json("parity", *models, *options)) == 3
    frozen, tflite = models
    network = Network(name, 0.25, SHAPE)
    assert open_predictor(run).network == open_predictor(tflite).network == network
    assert open_predictor(frozen).network.shape == SHAPE
    for path in models:
        with open(path + ".json") as file:
            card = json.load(file)
        assert card["network"]["shape"] == list(SHAPE)
        assert card["input"].startswith("input_x float32 [1,64,96,3]: RGB in 0..255")


def test_evaluate_needs_no_flags_for_a_run_or_a_model(trained, models, portraits, run_json):
    _, run, _ = trained
    options = ["--dataset_path", portraits, "--target_eval_shape", 40, 30]
    (scores,) = run_json("evaluate", "--checkpoint_path", run, *options)
    assert (scores["pictures"], scores["global_step"]) == (6, 4)
    for path in models:
        (model_scores,) = run_json("evaluate", "--model", path, *options)
        assert model_scores["MAD/test/40_30"] == pytest.approx(scores["MAD/test/40_30"], abs=1e-5)


def test_predict_cuts_out_photos(trained, portrait_set, tmp_path, run_json):
    _, run, _ = trained
    photo = portrait_set.pairs[0].image
    options = ["--checkpoint_path", run, "--output", tmp_path]
    (result,) = run_json("predict", photo, *options)
    assert result["error"] is None and os.path.isfile(result["cutout"])
    assert mmnet.cutout(photo, mmnet.load(run)).shape == (200, 150, 4)


def test_logit_scale_multiplies_log_odds(trained):
    _, run, _ = trained
    images = np.random.RandomState(0).uniform(0, 255, (1, *SHAPE, 3)).astype("f")
    alphas = open_predictor(run)(images)
    scaled = open_predictor(run, weight_options=WeightOptions(logit_scale=2.0))(images)
    expected = 1 / (1 + ((1 - alphas) / alphas) ** 2)
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_checkpoint_of_another_network_is_rejected(trained, portraits, assert_refused):
    _, run, _ = trained
    command = ["evaluate", "--dataset_path", portraits, "--checkpoint_path", run]
    assert_refused([*command, "--network", "mmnet"], "mmnet", run, "529")


def test_modnet_adapts_to_images_without_masks(
    trained, portraits, tmp_path, run_json, assert_refused
):
    name, run, _ = trained
    images = os.path.join(portraits, "test", "image")
    folder = str(tmp_path / "adapted")
    command = ["train", "--mode", "adapt", "--dataset_path", images, "--checkpoint_path", run]
    command += ["--batch_size", "2", "--learning_rate", "1e-4", "--step_save_checkpoint", "2"]
    command += ["--augmentation_method", "resize_bilinear", "--train_dir", folder]
    if "modnet" not in name:
        assert_refused([*command, "--max_step_from_restore", "2"], "soc_semantic")
        return
    for steps in ("2", "4"):  # the second command resumes
        assert main([*command, "--max_step_from_restore", steps]) == 0
    start = checkpoint.read(os.path.join(run, "MMNetModel-4"))
    adapted = checkpoint.read(os.path.join(folder, "MMNetModel-8"))
    for variable, value in adapted.items():
        if variable.endswith("/copy"):
            np.testing.assert_array_equal(value, start[variable[: -len("/copy")]])
        if "/moving_" in variable:
            np.testing.assert_array_equal(value, start[variable.replace("/copy", "")])
    weights = [variable for variable in start if variable.endswith("weights")]
    for variable in weights:
        assert variable + "/copy" in adapted
        assert not np.array_equal(adapted[variable], start[variable])
    options = ["--dataset_path", portraits, "--checkpoint_path", folder, "--output", tmp_path]
    assert len(run_json("evaluate", *options)) == 1


def test_offline_scripts_give_equal_scores(trained, portraits, tmp_path, run_json, capfd):
    from offline_infer import datapre, evaluate, verify_pbmodel

    name, run, _ = trained
    model, data, results = (str(tmp_path / part) for part in ("model.pb", "Bin", "results"))
    freeze = ["freeze", "--checkpoint_path", run, "--output", model]
    assert main([*freeze, "--output_type", OUTPUT_TYPES[name]]) == 0
    options = ["--dataset_path", portraits, "--output", data, "--shape", "64", "96"]
    assert datapre.main(options) in (0, None)
    options = ["--model", model, "--input", os.path.join(data, "test", "images")]
    assert verify_pbmodel.main([*options, "--output", results]) in (0, None)
    capfd.readouterr()
    options = ["--output_dir", results, "--json", "--output_type", OUTPUT_TYPES[name]]
    options += ["--manifest", os.path.join(data, "test", "manifest.json"), "--all_metrics"]
    assert evaluate.main(options) in (0, None)
    offline = json.loads(capfd.readouterr().out)
    options = ["--dataset_path", portraits, "--all_metrics", "--output", tmp_path]
    (scores,) = run_json("evaluate", "--checkpoint_path", run, *options)
    for tag in ("MAD/test", "MSE/test/800_600", "SAD/test/800_600"):
        assert offline[tag] == pytest.approx(scores[tag], rel=1e-4, abs=1e-5)
