"""Tests of mmnet.training.batch_norm_check, and of mmnet check-batch-norm."""

import json
import os
import shutil

import numpy as np
import pytest

from helpers import assert_message
from helpers.graphs import training_feed
from mmnet.cli import main
from mmnet.commands.check_batch_norm import format_report, furthest_means, furthest_variances
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.io.resize import resize_bilinear
from mmnet.networks.layers import BATCH_STATISTICS
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config
from mmnet.training.batch_norm_check import MAX_MAD_OFFSET, MAX_MAD_RATIO, check_batch_norm
from mmnet.training.graph import Recipe, build_training_graph
from mmnet.weights.values import Weights, read_weights

NETWORK = Network("tiny", shape=(32, 32))
FLAGS = ["--network", "tiny", "--size", "32", "--batch_size", "6"]
INIT_BATCH_NORM = "Tiny/init_block/conv/BatchNorm"
BIASES = "Tiny/final_block/pointwise_conv/biases"
VARIANCES = "/moving_variance"


@pytest.fixture(scope="module")
def trained_values(portrait_set):
    """Values of a network that was trained on the portraits, with their batch statistics."""
    samples = [
        [resize_bilinear(array, NETWORK.shape, align_corners=True) for array in read_pair(pair)]
        for pair in portrait_set.pairs
    ]
    images, truths = (np.stack(arrays) for arrays in zip(*samples))
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        tf.set_random_seed(1)
        recipe = Recipe(dict.fromkeys(("alpha", "cross_entropy", "auxiliary"), 1.0), 0.0)
        graph = build_training_graph(NETWORK, recipe, 6)
        session.run(graph.initializer)
        feed = training_feed(graph, images, truths, 3e-2)
        for _ in range(200):
            session.run(graph.step, feed)
        fetches = {v.op.name: v for v in graph.variables if v.op.name not in graph.slots}
        fetches.update(
            {moving.op.name: batch for moving, batch in tf.get_collection(BATCH_STATISTICS)}
        )
        return session.run(fetches, feed)


@pytest.fixture
def check(trained_values, portrait_set):
    """Check the weights after the variables whose names end like this were set to a value."""

    def check(ending=None, new_value=None):
        values = {name: np.array(value) for name, value in trained_values.items()}
        for name, value in values.items():
            if ending is not None and name.endswith(ending):
                value[...] = new_value
        weights = Weights(NETWORK, values, "MMNetModel-100", 100)
        return check_batch_norm(weights, portrait_set, len(portrait_set))

    return check


def test_fitting_statistics_have_no_problems(check):
    report = check()
    assert report.problems == []
    assert report.mad_training < 0.25
    assert report.mad_inference == pytest.approx(report.mad_training, abs=0.01)
    assert report.images == len(report.layers) == 6
    assert all(0.9 < layer.variance_ratio < 1.1 for layer in furthest_variances(report))
    assert all(layer.mean_shift < 0.01 for layer in furthest_means(report))
    assert_message(format_report(report), "MMNetModel-100", "fit")


@pytest.mark.parametrize("value", [1e-4, 1e6])
def test_wrong_variances_are_a_problem(check, value):
    report = check(VARIANCES, value)
    assert report.mad_inference > MAX_MAD_RATIO * report.mad_training + MAX_MAD_OFFSET
    assert_message(report.problems[0], f"{report.mad_inference:.4f}", f"{report.mad_training:.4f}")
    ratio = furthest_variances(report)[0].variance_ratio
    assert ratio > 10 or ratio < 0.1
    assert report.problems[0] in format_report(report).splitlines()[-1]


def test_value_that_is_not_finite_is_a_problem(check):
    mean = f"{INIT_BATCH_NORM}/moving_mean"
    assert_message(check(mean, np.nan).problems[0], "1 variables", mean)
    report = check(BIASES, np.nan)
    assert_message(report.problems[0], "1 variables", BIASES)
    # TensorFlow 2.x may compute finite alphas from NaN.
    assert len(report.problems) == (1 if report.mad_training is not None else 3)


def test_negative_variance_is_a_problem(check):
    report = check(INIT_BATCH_NORM + VARIANCES, -1e-6)
    assert_message(report.problems[0], "1 layers", INIT_BATCH_NORM)


@pytest.mark.parametrize("scale, exit_code", [(1, 0), (1e6, 1), (np.nan, 1)])
def test_exit_code_and_json_report_problems(
    trained_values, portraits, tmp_path, capfd, scale, exit_code
):
    prefix = str(tmp_path / "MMNetModel-100")
    values = {
        name: value * scale if name.endswith(VARIANCES) else value
        for name, value in trained_values.items()
    }
    checkpoint.write(prefix, values)
    flags = ["--checkpoint_path", prefix, "--dataset_path", portraits, "--json"]
    assert main(["check-batch-norm", *flags, *FLAGS]) == exit_code
    out, err = capfd.readouterr()
    report = json.loads(out, parse_constant=pytest.fail)  # all numbers are finite
    assert err == "" and bool(report["problems"]) == bool(exit_code)
    assert {"pictures", "mad_training", "furthest_variances", "furthest_means"} < set(report)


@pytest.mark.parametrize("change", ["image without mask", "mask without image", "one stem"])
def test_datasets_that_evaluate_refuses_are_refused(
    assert_refused, portraits, small_weights, tmp_path, change
):
    dataset = tmp_path / "data"
    shutil.copytree(portraits, str(dataset))
    image, mask = (dataset / "test" / kind / "portrait0_0005" for kind in ("image", "mask"))
    if change == "one stem":
        shutil.copy(f"{mask}.png", f"{image}.png")
    else:
        os.unlink(f"{mask}.png" if change == "image without mask" else f"{image}.jpg")
    flags = ["--checkpoint_path", small_weights.source, "--dataset_path", dataset]
    assert_refused(["check-batch-norm", *flags, *FLAGS[:2]], dataset, "portrait0_0005")


@pytest.mark.parametrize("step", [304500, 1898000])
def test_published_checkpoints_have_no_problems(test_data, step):
    dataset = find_dataset(os.path.join(test_data, "soft"), "test")
    prefix = os.path.join(test_data, "checkpoints", f"MMNetModel-{step}")
    report = check_batch_norm(read_weights(prefix, Network()), dataset, 8)
    assert not report.problems and len(report.layers) > 100
    assert report.mad_inference < 1.2 * report.mad_training < 0.03
