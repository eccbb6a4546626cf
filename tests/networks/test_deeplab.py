import csv
import os

import numpy as np
import pytest

from mmnet.networks.layers import INFERENCE, TRAINING
from mmnet.networks.network import Network
from mmnet.networks.registry import build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf


@pytest.mark.parametrize("name, stride", [("deeplab", 16), ("deeplab_os8", 8)])
def test_golden_forward_pass(test_data, name, stride):
    golden = np.load(os.path.join(test_data, "golden", "deeplab_0.5_os%d.npz" % stride))
    path = os.path.join(test_data, "golden", "variables_deeplab_0.5_os%d.csv" % stride)
    with open(path) as file:
        expected = sorted((row["name"], row["shape"]) for row in csv.DictReader(file))
    values = {
        key[len("variable.") :].replace(".", "/"): golden[key]
        for key in golden.files
        if key.startswith("variable.")
    }
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [1, 256, 256, 3])
        outputs = build(Network(name, 0.5), images, INFERENCE)
        variables = tf.global_variables()
        ours = [(v.op.name, "x".join(map(str, v.shape.as_list()))) for v in variables]
        assert sorted(ours) == expected
        report = checkpoint.restore(session, values, variables)
        assert not report.missing and not report.unused
        logits = session.run(outputs.logits, {images: golden["image_256"]})
        assert outputs.endpoints["features"].shape.as_list()[1:3] == [256 // stride] * 2
    # The same operations in another order of sums; logits reach 1.2.
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "width, total", [(0.35, 453730), (0.5, 712882), (0.75, 1327282), (1.0, 2141762)]
)
def test_parameter_counts(width, total):
    with tf.Graph().as_default():
        build(Network("deeplab", width), tf.placeholder(tf.float32, [1, 64, 64, 3]), INFERENCE)
        assert sum(v.shape.num_elements() for v in tf.global_variables()) == total


def test_dropout_follows_from_the_step_alone():
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.get_variable("global_step", [], tf.int32, tf.zeros_initializer())
        tf.set_random_seed(7)
        kept = TRAINING.dropout(tf.ones([1000]), 0.9)
        session.run(step.initializer)
        first, again = session.run(kept), session.run(kept)
        session.run(step.assign_add(1))
        other = session.run(kept)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.9)}
    assert first.mean() == pytest.approx(1, abs=0.05)
