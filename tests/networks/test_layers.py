"""Tests of mmnet.networks.layers."""

import numpy as np
import pytest

from helpers.graphs import dilated_convolution
from mmnet.networks.layers import (
    BATCH_STATISTICS,
    INFERENCE,
    TRAINING,
    batch_norm,
    depthwise,
    downsample,
    mode_for_group,
    scale_channels,
)
from mmnet.networks.network import Network
from mmnet.networks.registry import build
from mmnet.tf.compat import tf


@pytest.mark.parametrize(
    "channels, width, scaled", [(32, 1.0, 32), (32, 0.5, 16), (40, 0.5, 24), (16, 0.25, 8)]
)
def test_scale_channels_rounds_to_multiples_of_8(channels, width, scaled):
    assert scale_channels(channels, width) == scaled


@pytest.mark.parametrize("dilation", [2, 4])
@pytest.mark.parametrize("shape", [(16, 16), (15, 13)])
def test_dilated_depthwise_equals_numpy(shape, dilation):
    random = np.random.RandomState(0)
    x = random.normal(size=(1, *shape, 3)).astype("f")
    with tf.Graph().as_default(), tf.Session() as session:
        y = depthwise(tf.constant(x), INFERENCE, dilation=dilation, activation=None)
        variables = {v.op.name.rpartition("/")[2]: v for v in tf.global_variables()}
        session.run(tf.global_variables_initializer())
        y, weights = session.run([y, variables["depthwise_weights"]])
    expected = dilated_convolution(x, weights, dilation)
    np.testing.assert_allclose(y, expected / np.sqrt(1 + 1e-3), atol=1e-5)  # new batch norm


def test_downsample_averages_the_centre_of_each_block():
    x = np.random.RandomState(0).normal(size=(1, 8, 8, 1)).astype("f")
    with tf.Graph().as_default(), tf.Session() as session:
        y = session.run(downsample(tf.constant(x), 4))
    assert y.shape == (1, 2, 2, 1)
    np.testing.assert_allclose(y[0, 1, 0, 0], x[0, 5:7, 1:3, 0].mean(), atol=1e-6)


def test_dropout_depends_on_the_step_only():
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.get_variable("global_step", [], tf.int32, tf.zeros_initializer())
        tf.set_random_seed(7)
        dropped = TRAINING.dropout(tf.ones([1000]), 0.9)
        session.run(step.initializer)
        first, second = session.run(dropped), session.run(dropped)
        session.run(step.assign_add(1))
        next_step = session.run(dropped)
    np.testing.assert_array_equal(first, second)
    assert (first != next_step).any()
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.9)}
    assert first.mean() == pytest.approx(1, abs=0.05)


def test_group_normalizes_and_drops_like_one_process():
    """Two processes with half of the batch each, whose mean over the group is computed here."""
    x = np.random.RandomState(0).normal(3, 2, size=(4, 5, 6, 2)).astype("f")
    halves = np.split(x, 2)
    with tf.Graph().as_default(), tf.Session() as session:
        whole = batch_norm(tf.constant(x), TRAINING)
        whole_statistics = [batch for _, batch in tf.get_collection(BATCH_STATISTICS)]
        dropped = TRAINING.dropout(tf.ones([4, 50]), 0.5)

        def mean_over_group(vector):
            moments = [tf.nn.moments(tf.constant(half), [0, 1, 2]) for half in halves]
            return tf.add_n([tf.concat([m, v + m**2], 0) for m, v in moments]) / 2

        parts, dropped_parts = [], []
        for rank, half in enumerate(halves):
            mode = mode_for_group(
                TRAINING, rank=rank, group_size=2, mean_over_group=mean_over_group
            )
            with tf.variable_scope(tf.get_variable_scope(), reuse=True):
                parts.append(batch_norm(tf.constant(half), mode))
            dropped_parts.append(mode.dropout(tf.ones([2, 50]), 0.5))
        statistics = [batch for _, batch in tf.get_collection(BATCH_STATISTICS)][2:4]
        session.run(tf.global_variables_initializer())
        values = session.run([whole, parts, whole_statistics, statistics, dropped, dropped_parts])
    whole, parts, whole_statistics, statistics, dropped, dropped_parts = values
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    np.testing.assert_allclose(statistics, whole_statistics, rtol=1e-5)
    np.testing.assert_array_equal(np.concatenate(dropped_parts), dropped)


def test_initial_weights_depend_on_seed_and_name_only():
    """The golden values are equal on TensorFlow 1.15.5 and 2.21, whatever else the graph holds."""
    weights = []
    for seed, other_operations in ((5, 0), (5, 3), (6, 0)):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(seed)
            for _ in range(other_operations):
                tf.constant(0)
            network = Network(shape=(32, 32))
            build(network, tf.zeros((1, 32, 32, 3)), INFERENCE)
            variables = [v for v in tf.trainable_variables() if v.op.name.endswith("weights")]
            session.run(tf.variables_initializer(variables))
            weights.append(session.run(variables))
    first, beside_others, other_seed = weights
    golden = [-0.12943375, 0.10449691, 0.03551082]
    np.testing.assert_allclose(first[0].ravel()[:3], golden, rtol=1e-6)  # other processors
    for value, same, different in zip(first, beside_others, other_seed):
        np.testing.assert_array_equal(value, same)
        assert not np.array_equal(value, different)
    assert len({value.tobytes() for value in first}) == len(first)
