"""Tests of mmnet.training.batch_norm_check, and of mmnet check-batch-norm."""

import json
import os

import numpy as np
import pytest

from helpers import assert_message
from mmnet.cli import main
from mmnet.commands.check_batch_norm import format_batch_norm_report, to_json
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.io.resize import resize_bilinear
from mmnet.networks.layers import BATCH_STATISTICS
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config
from mmnet.training.batch_norm_check import (
    MAX_MAD_OFFSET,
    MAX_MAD_RATIO,
    check_batch_norm,
    largest_deviations,
)
from mmnet.training.graph import Recipe, build_training_graph
from mmnet.weights.values import Weights, read_weights

NETWORK = Network("tiny", shape=(32, 32))
FLAGS = ["--network", "tiny", "--size", "32", "--batch_size", "6"]
INIT_BATCH_NORM = "Tiny/init_block/conv/BatchNorm"


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
        feed = {
            graph.images: images,
            graph.truths: truths,
            graph.learning_rate: 3e-2,
            graph.batch_norm_decay: 0.9,
        }
        for _ in range(200):
            session.run(graph.step, feed)
        variables = {v.op.name: v for v in graph.variables if v.op.name not in graph.slots}
        values = session.run(variables)
        statistics = {
            moving.op.name: batch for moving, batch in tf.get_collection(BATCH_STATISTICS)
        }
        values.update(session.run(statistics, feed))
    return values


@pytest.fixture
def check(trained_values, portrait_set):
    """Check the weights after ``spoil(name, value)`` changed some values in place."""

    def check(spoil=lambda name, value: None):
        values = {name: np.array(value) for name, value in trained_values.items()}
        for name, value in values.items():
            spoil(name, value)
        weights = Weights(NETWORK, values, "MMNetModel-100", 100)
        return check_batch_norm(weights, portrait_set.pairs)

    return check


def set_variances(new_value):
    def spoil(name, value):
        if name.endswith("moving_variance"):
            value[...] = new_value

    return spoil


def set_value(variable, new_value):
    def spoil(name, value):
        if name == variable:
            value[0] = new_value

    return spoil


def test_fitting_statistics_have_no_problems(check):
    report = check()
    assert report.problems == []
    assert report.mad_training < 0.25
    assert report.mad_inference == pytest.approx(report.mad_training, abs=0.01)
    assert report.images == 6 and report.variances > 20
    assert report.not_finite == report.not_positive == 0
    variances, means = largest_deviations(report, 5)
    assert all(0.9 < layer.variance_ratio < 1.1 for layer in variances)
    assert all(layer.mean_shift < 0.01 for layer in means)


@pytest.mark.parametrize("value", [1e-4, 1e6])
def test_wrong_variances_are_a_problem(check, value):
    report = check(set_variances(value))
    assert report.mad_inference > MAX_MAD_RATIO * report.mad_training + MAX_MAD_OFFSET
    assert_message(report.problems[0], f"{report.mad_inference:.4f}", f"{report.mad_training:.4f}")
    assert report.smallest_variance == pytest.approx(value)
    assert report.largest_variance == pytest.approx(value)
    (layer, *_), _ = largest_deviations(report, 1)
    assert layer.variance_ratio > 10 or layer.variance_ratio < 0.1


def test_value_that_is_not_finite_is_a_problem(check):
    mean = f"{INIT_BATCH_NORM}/moving_mean"
    report = check(set_value(mean, np.nan))
    assert report.not_finite == 1
    assert_message(report.problems[0], "1 variables", mean)

    biases = "Tiny/final_block/pointwise_conv/biases"
    report = check(set_value(biases, np.nan))
    assert report.not_finite == 0
    assert_message(report.problems[0], biases)
    # TensorFlow 2.x may compute finite alphas from NaN.
    assert len(report.problems) == (1 if report.mad_training is not None else 3)


def test_negative_variance_is_a_problem(check):
    report = check(set_value(f"{INIT_BATCH_NORM}/moving_variance", -1e-6))
    assert report.not_positive == 1
    assert_message(report.problems[0], "1 layers", INIT_BATCH_NORM)


def test_to_json_has_only_finite_numbers(check):
    values = json.loads(
        json.dumps(to_json(check(set_variances(np.nan)))), parse_constant=pytest.fail
    )
    assert values["smallest_variance"] is None
    assert {"pictures", "mad_training", "furthest_variances", "furthest_means"} < set(values)


def test_format_report_ends_with_the_result(check):
    report = check(set_variances(1e6))
    assert report.problems[-1] in format_batch_norm_report(report).splitlines()[-1]
    assert_message(format_batch_norm_report(check()), "MMNetModel-100", "fit")


@pytest.mark.parametrize("scale, exit_code", [(1, 0), (1e6, 1)])
def test_exit_code_reports_problems(trained_values, portraits, tmp_path, capfd, scale, exit_code):
    prefix = str(tmp_path / "MMNetModel-100")
    values = {
        name: value * scale if name.endswith("moving_variance") else value
        for name, value in trained_values.items()
    }
    checkpoint.write(prefix, values)
    flags = ["--checkpoint_path", prefix, "--dataset_path", portraits, "--json"]
    assert main(["check-batch-norm", *flags, *FLAGS]) == exit_code
    out, err = capfd.readouterr()
    assert err == "" and len(json.loads(out)["problems"]) == exit_code


@pytest.mark.parametrize("step", [304500, 1898000])
def test_published_checkpoints_have_no_problems(test_data, step):
    pairs = find_dataset(os.path.join(test_data, "soft"), "test").pairs[:8]
    prefix = os.path.join(test_data, "checkpoints", f"MMNetModel-{step}")
    report = check_batch_norm(read_weights(prefix, Network()), pairs)
    assert not report.problems and report.variances == 4384
    assert report.mad_inference < 1.2 * report.mad_training < 0.03
