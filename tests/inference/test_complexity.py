"""Tests of mmnet.inference.complexity."""

import numpy as np
import pytest

from mmnet.export.graphs import fold_batch_norm, native_dilations
from mmnet.inference.complexity import measure_complexity
from mmnet.tf.compat import tf


def test_measure_complexity_counts_convolutions():
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [1, 8, 8, 3])
        weights = tf.constant(np.ones([3, 3, 3, 5], "f"))
        x = tf.nn.conv2d(x, weights, strides=[1, 2, 2, 1], padding="SAME")
        weights = tf.constant(np.ones([3, 3, 5, 1], "f"))
        x = tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], "SAME")
        tf.nn.bias_add(x, tf.constant(np.ones(5, "f"))) * 2.0  # a scalar is no parameter
    assert measure_complexity(graph.as_graph_def()) == {
        "parameters": 3 * 3 * 3 * 5 + 3 * 3 * 5 + 5,
        "multiply_adds": 4 * 4 * 5 * 27 + 4 * 4 * 5 * 9,
    }


def test_measure_complexity_is_the_same_for_rewritten_graphs(graph_of, small_weights):
    values = small_weights.values
    graph_def = graph_of(output_type="alpha")
    folded = fold_batch_norm(graph_def)
    native = native_dilations(folded)
    before, after, last = map(measure_complexity, (graph_def, folded, native))
    assert before["multiply_adds"] == after["multiply_adds"] == last["multiply_adds"]
    inference_names = [name for name in values if "aux_block" not in name]
    assert before["parameters"] == sum(values[name].size for name in inference_names)
    channels = sum(values[name].size for name in inference_names if name.endswith("beta"))
    assert after["parameters"] == before["parameters"] - 3 * channels == last["parameters"]


@pytest.mark.parametrize("output_type, channels", [("alpha", 1), ("logits", 2)])
def test_alpha_needs_one_channel_of_the_classifier(graph_of, output_type, channels):
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_of(output_type=output_type), name="")
    classifiers = [
        operation.outputs[0].shape.as_list()[3]
        for operation in graph.get_operations()
        if operation.type == "Conv2D" and "final_block" in operation.name
    ]
    assert classifiers == [channels]
