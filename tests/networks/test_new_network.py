"""A new network is one function and one row of NETWORKS: every verb then takes it, in any shape.

This one is a throw-away: a single convolution.
"""

import json
import os

import numpy as np
import pytest
from helpers.tiny import one_convolution

import mmnet
from mmnet.cli import main
from mmnet.commands import info
from mmnet.inference.open import open_predictor
from mmnet.networks.network import Network
from mmnet.networks.registry import NETWORKS
from mmnet.tf import checkpoint
from mmnet.tf.compat import converts_fake_quantization

FLAGS = ["--network", "tiny", "--shape", "64", "96"]
TINY = Network("tiny", 1.0, (64, 96))


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """All that it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", one_convolution)
        yield


@pytest.fixture(scope="module")
def trained(portraits, tmp_path_factory):
    """Folder of its run."""
    folder = str(tmp_path_factory.mktemp("a new network"))
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    command += ["--train_dir", folder, "--batch_size", "4", "--learning_rate", "0.05"]
    command += ["--max_step_from_restore", "30", "--step_save_checkpoint", "15", "--use_ema"]
    assert main(command + FLAGS) == 0
    return folder


def run(capfd, *arguments):
    """(exit code, what was printed as JSON: one object a line)."""
    capfd.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert err == ""
    return code, [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def models(trained, tmp_path_factory):
    """Folder of its .pb and .tflite."""
    folder = str(tmp_path_factory.mktemp("models of it"))
    command = ["export", "--checkpoint_path", trained, "--output", folder]
    assert main(command + ["--format", "pb", "tflite"] + FLAGS) == 0
    return folder


def test_it_trains(trained):
    values = checkpoint.read(os.path.join(trained, "MMNetModel-30"))
    names = {name for name in values if name.endswith(("weights", "biases"))}
    assert names == {"Tiny/pointwise_conv/weights", "Tiny/pointwise_conv/biases"}
    fresh = checkpoint.read(os.path.join(trained, "MMNetModel-15"))
    for name in names:
        assert not np.array_equal(values[name], fresh[name])
    with open(os.path.join(trained, "MMNetModel-30.json")) as file:
        record = json.load(file)
    configuration = record["configuration"]
    assert (configuration["network"], configuration["shape"]) == ("tiny", [64, 96])


@pytest.mark.parametrize("flags", [FLAGS, []], ids=["flags", "its run says"])
def test_it_is_evaluated(trained, portraits, tmp_path, capfd, flags):
    command = ["evaluate", "--dataset_path", portraits, "--checkpoint_path", trained, "--json"]
    command += ["--output", tmp_path, "--target_eval_shape", 40, 30] + flags
    code, (scores,) = run(capfd, *command)
    assert (code, scores["pictures"], scores["global_step"]) == (0, 6, 30)
    assert 0 < scores["MAD/test"] < 0.5 and 0 < scores["MAD/test/40_30"] < 0.5
    columns = (tmp_path / "eval").glob("*-test-40x30/MMNetModel-30.csv")
    assert "mad_64x96" in next(columns).read_text().splitlines()[0]
    code, both = run(capfd, *(command + ["--valid_type", "loop", "--watch_timeout", "0s"]))
    assert code == 0 and [one["global_step"] for one in both] == [15, 30]
    assert both[1] == scores
    code, (average,) = run(capfd, *(command + ["--use_ema"]))
    assert code == 0 and average["MAD/test"] != scores["MAD/test"]


@pytest.mark.parametrize("flags", [FLAGS, []], ids=["flags", "its run says"])
@pytest.mark.parametrize("options", [[], ["--fold_batch_norm", "--output_type", "alpha"]])
def test_it_is_frozen(trained, tmp_path, capfd, flags, options):
    path = tmp_path / "tiny.pb"
    command = ["freeze", "--checkpoint_path", trained, "--output", path, "--json"]
    code, (card,) = run(capfd, *(command + options + flags))
    assert code == 0 and card["network"]["name"] == "tiny"
    predictor = open_predictor(str(path))
    assert predictor.network.shape == (64, 96)
    # A 1x1 convolution from 3 channels to 2, or to the logit of alpha alone.
    assert predictor.complexity.multiply_adds == 64 * 96 * 3 * (1 if options else 2)
    images = np.random.RandomState(0).uniform(0, 255, (2, 64, 96, 3)).astype("f")
    alphas = mmnet.load(trained)(images)
    assert alphas.shape == (2, 64, 96) and alphas.std() > 0.001
    np.testing.assert_allclose(predictor(images), alphas, atol=1e-5)


def test_it_is_exported(trained, models, portraits, capfd):
    for name in ("tiny.pb", "tiny_float32.tflite"):
        path = os.path.join(models, name)
        with open(path + ".json") as file:
            card = json.load(file)
        assert card["network"] == json.loads(json.dumps(TINY._asdict()))
        assert card["input"] == "input_x float32 [1,64,96,3]: RGB in 0..255"
        assert card["largest_difference"] <= 1e-4
        assert open_predictor(path).network.shape == (64, 96)
    assert open_predictor(path).network == TINY
    command = ["parity", os.path.join(models, "tiny.pb"), path, "--json"]
    command += ["--dataset_path", portraits, "--checkpoint_path", trained]
    code, rows = run(capfd, *command)
    assert code == 0 and len(rows) >= 2


def test_a_model_of_it_is_scored_as_it_is(trained, models, portraits, capfd):
    data = ["--dataset_path", portraits, "--json", "--target_eval_shape", 40, 30]
    _, (scores,) = run(capfd, "evaluate", "--checkpoint_path", trained, *data)
    for name in ("tiny.pb", "tiny_float32.tflite"):
        path = os.path.join(models, name)
        code, (same,) = run(capfd, "evaluate", "--model", path, *(data + FLAGS))
        assert code == 0
        assert same["MAD/test/40_30"] == pytest.approx(scores["MAD/test/40_30"], abs=1e-5)


def test_photos_are_cut_out_with_it(trained, portraits, tmp_path, capfd):
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    command = ["predict", photo, "--checkpoint_path", trained, "--output", tmp_path, "--json"]
    code, (result,) = run(capfd, *command)
    assert code == 0 and result["error"] is None and os.path.isfile(result["cutout"])
    assert mmnet.cutout(photo, mmnet.load(trained)).shape == (200, 150, 4)


def test_info_and_selfcheck_know_it(trained, portraits, capfd):
    code, (card,) = run(capfd, "info", trained, "--json")
    assert code == 0 and card["network"] == "tiny"
    assert "tiny 1, 0.2 M multiply-adds for a picture of 256\n" in info.info_text(card)
    assert card["trainable_parameters"] == 8 and card["paper_parity"] == []
    command = ["selfcheck", "--checkpoint_path", trained, "--dataset_path", portraits]
    assert main(command) == 2
    out, err = capfd.readouterr()
    assert out == "" and err == "mmnet selfcheck: error: tiny has no batch norm to check\n"


def test_it_learns_8_bits(trained, portraits, tmp_path, capfd):
    folder = tmp_path / "run8"
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    command += ["--train_dir", folder, "--batch_size", "4", "--max_step_from_restore", "2"]
    assert run(capfd, *(command + ["--checkpoint_path", trained, "--quantize"])) == (0, [])
    if converts_fake_quantization():
        command = ["export", "--checkpoint_path", folder, "--output", tmp_path, "--json"]
        command += ["--format", "tflite", "--precision", "int8"]
        code, (card,) = run(capfd, *command)
        assert (code, card["calibration"]) == (0, {"method": "quantised training"})


def test_another_networks_checkpoint_is_refused(trained, portraits, capfd):
    command = ["evaluate", "--dataset_path", portraits, "--checkpoint_path", trained]
    assert main(command + ["--network", "mmnet"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "is not mmnet of width_multiplier 1: 529 variables are not in it" in err
