"""Tests of mmnet.networks.deeplab: equality with the published network."""

import csv
import os

import numpy as np
import pytest

from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import Network
from mmnet.networks.registry import build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf


@pytest.mark.parametrize("name, stride", [("deeplab", 16), ("deeplab_os8", 8)])
def test_forward_pass_equals_golden_values(test_data, name, stride):
    golden = np.load(os.path.join(test_data, "golden", f"deeplab_0.5_os{stride}.npz"))
    path = os.path.join(test_data, "golden", f"variables_deeplab_0.5_os{stride}.csv")
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
        names = [(v.op.name, "x".join(map(str, v.shape.as_list()))) for v in variables]
        assert sorted(names) == expected
        report = checkpoint.restore(session, values, variables)
        assert not report.missing and not report.unused
        logits = session.run(outputs.logits, {images: golden["image_256"]})
        assert outputs.endpoints["features"].shape.as_list()[1:3] == [256 // stride] * 2
    # Sums are computed in another order. Logits reach 1.2.
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "width, total", [(0.35, 453730), (0.5, 712882), (0.75, 1327282), (1.0, 2141762)]
)
def test_parameter_counts(width, total):
    with tf.Graph().as_default():
        build(Network("deeplab", width), tf.placeholder(tf.float32, [1, 64, 64, 3]), INFERENCE)
        assert sum(v.shape.num_elements() for v in tf.global_variables()) == total
