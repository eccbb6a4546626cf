"""Tests of mmnet.networks.mmnet: equality with the published network."""

import csv
import glob
import os

import numpy as np
import pytest

from mmnet.networks.layers import INFERENCE
from mmnet.networks.mmnet import mmnet
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf

VERSION_1 = tf.__version__.startswith("1.")


@pytest.fixture(scope="module")
def network():
    """Width 1.0 at 256x256: (session, variables, placeholder of the images, outputs)."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.float32, [None, 256, 256, 3])
        outputs = mmnet(images / 255.0, Network(), INFERENCE)
        variables = tf.global_variables()
    with tf.Session(graph=graph) as session:
        yield session, variables, images, outputs


def test_variables_equal_the_published_variables(network, test_data):
    with open(os.path.join(test_data, "golden", "variables_mmnet_1.0.csv")) as file:
        expected = [(row["name"], row["shape"]) for row in csv.DictReader(file)]
    variables = [(v.op.name, "x".join(map(str, v.shape.as_list()))) for v in network[1]]
    assert len(variables) == 529
    assert sorted(variables) == sorted(expected)


@pytest.mark.parametrize("step", [304500, 1898000])
def test_forward_pass_equals_golden_values(network, test_data, step):
    session, variables, images, outputs = network
    values = checkpoint.read(os.path.join(test_data, "checkpoints", f"MMNetModel-{step}"))
    report = checkpoint.restore(session, values, variables)
    assert len(report.loaded) == 529 and not report.missing and not report.reshaped
    # Adam's slots of 190,652 parameters, its two powers and the global step.
    assert len(report.unused) == 641
    files = glob.glob(os.path.join(test_data, "golden", f"forward_{step}_*.npz"))
    assert len(files) == 2
    fetches = [outputs.logits, outputs.heads["coarse_logits"], outputs.endpoints]
    # The published graph does not use fused batch norm, which rounds differently. Logits reach 20.
    logits_bound, coarse_bound = (1e-5, 2e-5) if VERSION_1 else (5e-5, 5e-5)
    for path in files:
        golden = np.load(path)
        logits, coarse_logits, endpoints = session.run(fetches, {images: golden["image_256"]})
        np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=logits_bound)
        coarse_golden = golden["coarse_logits"]
        np.testing.assert_allclose(coarse_logits, coarse_golden, rtol=0, atol=coarse_bound)
        for name, value in endpoints.items():
            if name != "dec_block4":  # the published graph resizes it before it is measured
                expected = golden["endpoint_mean_abs." + name]
                assert np.abs(value).mean() == pytest.approx(expected, rel=1e-5), name


@pytest.mark.parametrize(
    "width, trainable, total",
    [(0.5, 64260, 68996), (0.75, 120428, 127244), (1.0, 190652, 199420), (1.4, 356588, 368876)],
)
def test_parameter_counts(width, trainable, total):
    with tf.Graph().as_default():
        images = tf.placeholder(tf.float32, [1, 32, 32, 3])
        mmnet(images, Network(width_multiplier=width), INFERENCE)
        for variables, count in (
            (tf.trainable_variables(), trainable),
            (tf.global_variables(), total),
        ):
            assert sum(int(np.prod(variable.shape.as_list())) for variable in variables) == count


def test_shapes_of_a_wide_network():
    with tf.Graph().as_default():
        images = tf.placeholder(tf.float32, [None, 64, 96, 3])
        outputs = mmnet(images, Network(width_multiplier=0.25), INFERENCE)
    assert outputs.logits.shape.as_list() == [None, 64, 96, 2]
    assert outputs.heads["coarse_logits"].shape.as_list() == [None, 4, 6, 2]


@pytest.mark.parametrize(
    "shape", [[1, 250, 250, 3], [1, 256, 100, 3], [1, 256, 256, 1], [1, None, None, 3]]
)
def test_wrong_shapes_are_rejected(shape):
    with tf.Graph().as_default(), pytest.raises(ValueError, match="32"):
        mmnet(tf.placeholder(tf.float32, shape), Network(), INFERENCE)
