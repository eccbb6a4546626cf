import numpy as np
import pytest

from conftest import SMALL
from mmnet.compat import tf
from mmnet.delivery import graphs
from mmnet.delivery.complexity import Complexity, complexity_in, complexity_of
from mmnet.delivery.predictor import CheckpointPredictor


def test_by_hand():
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [1, 8, 8, 3])
        x = tf.nn.conv2d(x, tf.constant(np.ones([3, 3, 3, 5], "f")), strides=[1, 2, 2, 1], padding="SAME")
        x = tf.nn.depthwise_conv2d(x, tf.constant(np.ones([3, 3, 5, 1], "f")), [1, 1, 1, 1], "SAME")
        tf.nn.bias_add(x, tf.constant(np.ones(5, "f"))) * 2.0  # a factor is no parameter
    assert complexity_of(graph.as_graph_def()) == (3 * 3 * 3 * 5 + 3 * 3 * 5 + 5,
                                                   4 * 4 * 5 * 27 + 4 * 4 * 5 * 9)


def test_what_is_done_to_a_graph_does_not_change_what_it_computes():
    values = CheckpointPredictor(**SMALL).values()
    graph_def = graphs.inference_graph(values, output_type="alpha", **SMALL)
    folded = graphs.fold_batch_norm(graph_def)
    native = graphs.native_dilations(folded)
    before, after, last = map(complexity_of, (graph_def, folded, native))
    assert before.multiply_adds == after.multiply_adds == last.multiply_adds
    network = [name for name in values if "aux_block" not in name]
    assert before.parameters == sum(values[name].size for name in network)
    channels = sum(values[name].size for name in network if name.endswith("beta"))
    assert after.parameters == before.parameters - 3 * channels == last.parameters


@pytest.mark.parametrize("output_type, times", [("alpha", 1), ("logits", 2)])
def test_alpha_takes_one_classifier(output_type, times):
    values = CheckpointPredictor(**SMALL).values()
    graph_def = graphs.inference_graph(values, output_type=output_type, **SMALL)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    last = [operation for operation in graph.get_operations()
            if operation.type == "Conv2D" and "final_block" in operation.name]
    assert [operation.outputs[0].shape.as_list() for operation in last] == [[1, 16, 16, times]]


def test_cards():
    assert complexity_in({"parameters": "12", "multiply_adds": "34", "other": "x"}) == Complexity(12, 34)
    assert complexity_in({"parameters": 12}) is None
