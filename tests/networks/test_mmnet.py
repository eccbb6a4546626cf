import csv
import glob
import os

import numpy as np
import pytest
from helpers.brief import WHOLE, using

from mmnet.networks.layers import INFERENCE
from mmnet.networks.mmnet import mmnet
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf

VERSION_1 = tf.__version__.startswith("1.")


@pytest.fixture(scope="module")
def network():
    """Width 1.0 at 256: (session, variables, images placeholder, outputs)."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.float32, [None, 256, 256, 3])
        with using(WHOLE):
            outputs = mmnet(images / 255.0, Network(), INFERENCE)
        variables = tf.global_variables()
    with tf.Session(graph=graph) as session:
        yield session, variables, images, outputs


def test_variables_are_the_published_ones(network, test_data):
    with open(os.path.join(test_data, "golden", "variables_mmnet_1.0.csv")) as file:
        expected = [(row["name"], row["shape"]) for row in csv.DictReader(file)]
    ours = [(v.op.name, "x".join(map(str, v.shape.as_list()))) for v in network[1]]
    assert len(ours) == 529
    assert sorted(ours) == sorted(expected)


@pytest.mark.parametrize("steps", [304500, 1898000])
def test_golden_forward_pass(network, test_data, steps):
    session, variables, images, outputs = network
    values = checkpoint.read(os.path.join(test_data, "checkpoints", "MMNetModel-%d" % steps))
    report = checkpoint.restore(session, values, variables)
    assert len(report.loaded) == 529 and not report.missing and not report.reshaped
    # Adam's slots of 190,652 parameters, its two powers, the global step.
    assert len(report.unused) == 641
    files = glob.glob(os.path.join(test_data, "golden", "forward_%d_*.npz" % steps))
    assert len(files) == 2
    fetches = [outputs.logits, outputs.heads["coarse_logits"], outputs.endpoints]
    # The published graph normalizes unfused; fused batch norm rounds elsewhere. Logits reach 20.
    logits_bound, coarse_bound = (1e-5, 2e-5) if VERSION_1 else (5e-5, 5e-5)
    for path in files:
        golden = np.load(path)
        logits, coarse_logits, endpoints = session.run(fetches, {images: golden["image_256"]})
        np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=logits_bound)
        coarse_golden = golden["coarse_logits"]
        np.testing.assert_allclose(coarse_logits, coarse_golden, rtol=0, atol=coarse_bound)
        for name, value in endpoints.items():
            if name != "dec_block4":  # published after two resizes, ours before them
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


@pytest.mark.parametrize("height, width", [(96, 96), (64, 96)])
def test_other_shapes(height, width):
    with tf.Graph().as_default():
        images = tf.placeholder(tf.float32, [None, height, width, 3])
        outputs = mmnet(images, Network(width_multiplier=0.25), INFERENCE)
    assert outputs.logits.shape.as_list() == [None, height, width, 2]
    coarse_shape = outputs.heads["coarse_logits"].shape.as_list()
    assert coarse_shape == [None, height // 16, width // 16, 2]


@pytest.mark.parametrize(
    "shape", [[1, 250, 250, 3], [1, 256, 100, 3], [1, 256, 256, 1], [1, None, None, 3]]
)
def test_wrong_shapes_are_refused(shape):
    with tf.Graph().as_default(), pytest.raises(ValueError, match="multiple of 32"):
        mmnet(tf.placeholder(tf.float32, shape), Network(), INFERENCE)


def test_first_weights_follow_from_seed_and_name():
    """Whatever else is in the graph, and on both TensorFlows: the golden values are those of 2.21
    and of 1.15.5, which give the same bits; the tolerance is for other processors.
    """
    drawn = []
    for seed, others in ((5, 0), (5, 3), (6, 0)):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(seed)
            for _ in range(others):
                tf.constant(0)
            mmnet(tf.zeros((1, 32, 32, 3)), Network(), INFERENCE)
            variables = [v for v in tf.trainable_variables() if v.op.name.endswith("weights")]
            session.run(tf.variables_initializer(variables))
            drawn.append(session.run(variables))
    first, beside_others, other_seed = drawn
    golden = [-0.12943375, 0.10449691, 0.03551082]
    np.testing.assert_allclose(first[0].ravel()[:3], golden, rtol=1e-6)
    for one, two, three in zip(first, beside_others, other_seed):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)
    assert len({one.tobytes() for one in first}) == len(first)
