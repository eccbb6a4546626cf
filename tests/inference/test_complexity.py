import numpy as np
import pytest

from mmnet.export.graphs import fold_batch_norm, native_dilations
from mmnet.inference.complexity import count_operations, measure_complexity
from mmnet.tf.compat import tf


def test_by_hand():
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [1, 8, 8, 3])
        weights = tf.constant(np.ones([3, 3, 3, 5], "f"))
        x = tf.nn.conv2d(x, weights, strides=[1, 2, 2, 1], padding="SAME")
        weights = tf.constant(np.ones([3, 3, 5, 1], "f"))
        x = tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], "SAME")
        tf.nn.bias_add(x, tf.constant(np.ones(5, "f"))) * 2.0  # a factor is no parameter
    assert measure_complexity(graph.as_graph_def()) == (
        3 * 3 * 3 * 5 + 3 * 3 * 5 + 5,
        4 * 4 * 5 * 27 + 4 * 4 * 5 * 9,
    )


def test_what_is_done_to_a_graph_does_not_change_what_it_computes(graph_of, lively_weights):
    values = lively_weights.values
    graph_def = graph_of(output_type="alpha")
    folded = fold_batch_norm(graph_def)
    native = native_dilations(folded)
    before, after, last = map(measure_complexity, (graph_def, folded, native))
    assert before.multiply_adds == after.multiply_adds == last.multiply_adds
    network = [name for name in values if "aux_block" not in name]
    assert before.parameters == sum(values[name].size for name in network)
    channels = sum(values[name].size for name in network if name.endswith("beta"))
    assert after.parameters == before.parameters - 3 * channels == last.parameters


@pytest.mark.parametrize("output_type, times", [("alpha", 1), ("logits", 2)])
def test_alpha_takes_one_classifier(graph_of, output_type, times):
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_of(output_type=output_type), name="")
    last = [
        operation.outputs[0].shape.as_list()
        for operation in graph.get_operations()
        if operation.type == "Conv2D" and "final_block" in operation.name
    ]
    assert last == [[1, 16, 16, times]]


def test_counted():
    assert list(count_operations(["a", "b", "b"]).items()) == [("b", 2), ("a", 1)]
