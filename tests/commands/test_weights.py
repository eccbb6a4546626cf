"""The weights verb."""

import json
import os
import shutil

import numpy as np
import pytest

from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.export.representative import read_images
from mmnet.networks.layers import INFERENCE, batch_norm_training
from mmnet.networks.registry import alphas_from_logits, build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.weights import registry
from mmnet.weights.values import Weights, average


def test_list(capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("MMNET_HOME", str(tmp_path))
    assert main(["weights", "list"]) == 0
    out = capfd.readouterr().out
    for name, entry in registry.read_registry().items():
        assert name in out and entry.data in out and entry.licence in out and entry.weak in out
    assert out.count("(") >= 4 and ", here)" in out and "to be downloaded" in out
    assert main(["weights", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == list(registry.read_registry())
    in_the_box = {"mmnet-persons", "mmnet-fast", "mmnet-video"}
    assert {row["name"] for row in rows if row["here"]} == in_the_box


def test_get(capfd):
    assert main(["weights", "get", registry.DEFAULT]) == 0
    prefix = capfd.readouterr().out.strip()
    assert os.path.isfile(prefix + ".index")


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["get"], "mmnet weights list, get NAME ..., average"),
        (["list", "x"], "mmnet weights list, get NAME ..., average"),
        (["get", "mmnet-person"], "did you mean 'mmnet-persons'?"),
        (["average", "mmnet-persons", "mmnet-persons"], "--output goes with average"),
        (["average", "mmnet-persons", "untrained", "--output", "x"], "untrained is no checkpoint"),
        (["list", "--output", "x"], "--output goes with average"),
        (["get", "x", "--dataset_path", os.curdir], "--dataset_path goes with average"),
        (["convert", "a", "b", "--network", "modnet", "--output", "x"], "or convert FILE"),
        (["convert", "a.ckpt", "--output", "x"], "--network goes with convert, which needs it"),
        (
            ["average", "mmnet-persons", "mmnet-persons", "--output", "x", "--network", "modnet"],
            "--network goes with convert",
        ),
    ],
)
def test_bad_input(capfd, arguments, says):
    assert main(["weights"] + arguments) == 2
    error = capfd.readouterr().err
    assert says in error and error.count("\n") == 1


def test_average(lively_weights, tmp_path, capfd):
    other = {name: np.array(value) for name, value in lively_weights.values.items()}
    for name, value in other.items():
        if name.endswith("/gamma"):
            value += 2
    other["MMNet/final_block/pointwise_conv/biases/Adam"] = np.ones(2, np.float32)
    other["global_step"] = np.int64(9)
    (tmp_path / "run").mkdir()
    checkpoint.write(str(tmp_path / "run" / "MMNetModel-9"), other)
    prefix = str(tmp_path / "mean" / "MMNetModel-9")
    sources = [lively_weights.source, str(tmp_path / "run")]
    assert main(["weights", "average", *sources, "--use_ema", "--output", prefix]) == 0
    assert capfd.readouterr().out.strip() == prefix
    mean = checkpoint.read(prefix)
    assert set(mean) == set(lively_weights.values) | {"global_step"} and mean["global_step"] == 9
    for name, value in lively_weights.values.items():
        added = 1 if name.endswith("/gamma") else 0
        np.testing.assert_allclose(mean[name], value + added, atol=1e-6, err_msg=name)


def test_batch_norm_measured_anew(lively_weights, run_folder, portraits, tmp_path, capfd):
    """Then the network gives on those pictures what it gives by their own statistics."""
    data_set = str(tmp_path / "data")
    shutil.copytree(os.path.join(portraits, "test"), os.path.join(data_set, "train"))
    prefix = str(tmp_path / "measured" / "MMNetModel-1")
    command = ["weights", "average", run_folder, "--output", prefix]
    assert main(command) == 2 and "CHECKPOINT CHECKPOINT" in capfd.readouterr().err
    assert main(command + ["--dataset_path", data_set]) == 0
    measured = checkpoint.read(prefix)
    for name, value in lively_weights.values.items():
        assert np.array_equal(measured[name], value) == ("/moving_" not in name), name
    network = lively_weights.network
    images = read_images(find_dataset(data_set, "train").pairs, network)

    def alphas_by(mode, values):
        with tf.Graph().as_default(), tf.Session() as session:
            alphas = alphas_from_logits(build(network, tf.constant(images), mode).logits)
            checkpoint.restore(session, values, tf.global_variables())
            return session.run(alphas)

    expected = alphas_by(INFERENCE._replace(batch_norm=batch_norm_training), measured)
    far = np.abs(alphas_by(INFERENCE, lively_weights.values) - expected).mean()
    # Not 0: the variance that is kept is divided by one less than the values that it is of, which
    # shows where a layer has few.
    assert np.abs(alphas_by(INFERENCE, measured) - expected).mean() < min(2e-3, far / 10)


def test_another_network_has_no_mean_with_it(lively_weights):
    values = dict(lively_weights.values)
    values.pop("MMNet/final_block/pointwise_conv/biases")
    other = Weights(lively_weights.network, values, "MMNetModel-1")
    with pytest.raises(ValueError, match=r"are different networks: .*biases is \[2\] there"):
        average([lively_weights, other])
