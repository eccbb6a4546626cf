"""A small network that learned six portraits by heart, with moving statistics that fit it, and
spoilt ones.
"""

import json
import os

import numpy as np
import pytest

from mmnet.cli import main
from mmnet.commands.check_batch_norm import (
    LARGEST_EXCESS,
    LARGEST_RATIO,
    selfcheck,
    selfcheck_text,
    to_dict,
)
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.io.resize import resize_bilinear
from mmnet.networks.layers import BATCH_STATISTICS
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config
from mmnet.training.graph import Recipe, build_training_graph
from mmnet.weights.values import Weights, read_weights

SMALLEST = Network(width_multiplier=0.25, shape=(32, 32))
FLAGS = ["--size", "32", "--width_multiplier", "0.25", "--batch_size", "6"]


@pytest.fixture(scope="module")
def learned(portrait_set):
    """name -> array, the moving statistics being those of the portraits themselves."""
    samples = [
        [
            resize_bilinear(picture, SMALLEST.shape, align_corners=True)
            for picture in read_pair(pair)
        ]
        for pair in portrait_set.pairs
    ]
    images, truths = (np.stack(part) for part in zip(*samples))
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        tf.set_random_seed(1)
        weights = dict.fromkeys(("alpha", "cross_entropy", "auxiliary"), 1.0)
        graph = build_training_graph(SMALLEST, Recipe(weights, 0.0), 6)
        session.run(graph.initializer)
        feed = {
            graph.images: images,
            graph.truths: truths,
            graph.learning_rate: 1e-2,
            graph.batch_norm_decay: 0.9,
        }
        for _ in range(100):
            session.run(graph.step, feed)
        variables = [
            variable for variable in graph.variables if variable.op.name not in graph.slots
        ]
        values = session.run({variable.op.name: variable for variable in variables})
        collected = tf.get_collection(BATCH_STATISTICS)
        values.update(session.run({moving.op.name: batch for moving, batch in collected}, feed))
    return values


@pytest.fixture(scope="module")
def run(learned, portrait_set):
    """Spoil the weights, check them: (the JSON object, the text's last line)."""

    def check(spoil):
        values = {name: np.array(value) for name, value in learned.items()}
        for name in values:
            spoil(name, values[name])
        weights = Weights(SMALLEST, values, "MMNetModel-100", 100)
        checked = selfcheck(weights, portrait_set.pairs)
        out = json.dumps(to_dict(checked))
        last = selfcheck_text(checked).splitlines()[-1]
        return json.loads(out, parse_constant=pytest.fail), last

    return check


def test_the_command(learned, portraits, tmp_path, capfd):
    prefix = str(tmp_path / "MMNetModel-100")
    arguments = ["selfcheck", "--checkpoint_path", prefix, "--dataset_path", portraits, "--json"]
    for scale, expected in ((1, 0), (1e6, 1)):
        values = {
            name: value * scale if name.endswith("moving_variance") else value
            for name, value in learned.items()
        }
        checkpoint.write(prefix, values)
        capfd.readouterr()
        assert main(arguments + FLAGS) == expected
        out, err = capfd.readouterr()
        assert err == "" and len(json.loads(out)["problems"]) == expected


def variances(values):
    def spoil(name, value):
        if name.endswith("moving_variance"):
            value[...] = values

    return spoil


def test_moving_statistics_that_fit(run):
    checked, last = run(lambda name, value: None)
    assert (checked["problems"], last) == ([], "the moving statistics fit the weights")
    assert checked["mad_training"] < 0.15
    assert checked["mad_inference"] == pytest.approx(checked["mad_training"], abs=0.01)
    assert checked["pictures"] == 6 and checked["variances"] > 200
    assert checked["not_finite"] == checked["not_positive"] == 0
    assert all(0.9 < ratio < 1.1 for ratio in checked["furthest_variances"].values())
    assert all(shift < 0.01 for shift in checked["furthest_means"].values())


@pytest.mark.parametrize("value", [1.0, 1e6])
def test_moving_variances_that_do_not_fit(run, value):
    checked, last = run(variances(value))
    assert last.startswith("wrong: the moving statistics do not fit the weights: MAD ")
    limit = LARGEST_RATIO * checked["mad_training"] + LARGEST_EXCESS
    assert checked["mad_inference"] > limit
    assert checked["smallest_variance"] == checked["largest_variance"] == value
    assert max(checked["furthest_variances"].values()) > 10


def test_not_a_number(run):
    def spoil(name, value):
        if name == "MMNet/dec_block4/pointwise_conv/BatchNorm/moving_mean":
            value[3] = np.nan

    checked, last = run(spoil)
    # TensorFlow 2.x makes numbers of it on the way: look at the source.
    assert checked["not_finite"] == 1
    assert checked["problems"][0] == (
        "1 variables are not finite, first MMNet/dec_block4/pointwise_conv/BatchNorm/moving_mean"
    )
    checked, last = run(variances(np.nan))
    assert checked["smallest_variance"] is None

    def spoil_the_end(name, value):
        if name == "MMNet/final_block/pointwise_conv/biases":
            value[0] = np.nan

    checked, last = run(spoil_the_end)
    assert checked["not_finite"] == 0 and "MMNet/final_block/" in checked["problems"][0]
    not_finite = ["alphas are not finite in %s mode" % mode for mode in ("training", "inference")]
    has_alphas = checked["mad_training"] is not None
    assert checked["problems"][1:] == ([] if has_alphas else not_finite)


def test_not_positive(run):
    def spoil(name, value):
        if name == "MMNet/init_block/conv/BatchNorm/moving_variance":
            value[0] = -1e-6

    checked, last = run(spoil)
    assert checked["not_positive"] == 1
    says = "1 layers have moving variances that are not positive, first MMNet/init_block"
    assert says in checked["problems"][0]


def test_bad_input(capfd, portraits, write_checkpoints, tmp_path):
    arguments = ["selfcheck", "--dataset_path", portraits, "--checkpoint_path"]
    for path, says in (
        (str(tmp_path), "no checkpoint (*.index)"),
        (write_checkpoints(1), "not mmnet of width_multiplier 1"),
    ):
        assert main(arguments + [path]) == 2
        out, err = capfd.readouterr()
        assert out == "" and err.count("\n") == 1 and says in err


@pytest.mark.parametrize("step", [304500, 1898000])
def test_published_checkpoints(test_data, step):
    pairs = find_dataset(os.path.join(test_data, "soft"), "test").pairs[:8]
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step)
    checked = selfcheck(read_weights(prefix, Network()), pairs)
    assert not checked.problems and checked.variances == 4384
    assert checked.mad_inference < 1.2 * checked.mad_training < 0.03
