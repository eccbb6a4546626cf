"""Tests of mmnet.inference.complexity."""

import numpy as np
import pytest

from mmnet.export.graphs import fold_batch_norm, native_dilations
from mmnet.inference.complexity import (
    count_operations,
    measure_complexity,
    model_size,
    network_size,
    paper_sizes,
)
from mmnet.inference.tensorflow import open_frozen
from mmnet.networks.network import Network
from mmnet.tf.compat import tf
from mmnet.weights.source import source_bytes


def test_measure_complexity_counts_convolutions():
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [1, 8, 8, 3])
        weights = tf.constant(np.ones([3, 3, 3, 5], "f"))
        x = tf.nn.conv2d(x, weights, strides=[1, 2, 2, 1], padding="SAME")
        weights = tf.constant(np.ones([3, 3, 5, 1], "f"))
        x = tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], "SAME")
        tf.nn.bias_add(x, tf.constant(np.ones(5, "f"))) * 2.0  # a scalar is no parameter
    assert measure_complexity(graph.as_graph_def()) == (
        3 * 3 * 3 * 5 + 3 * 3 * 5 + 5,
        4 * 4 * 5 * 27 + 4 * 4 * 5 * 9,
    )


def test_measure_complexity_is_the_same_for_rewritten_graphs(graph_of, small_weights):
    values = small_weights.values
    graph_def = graph_of(output_type="alpha")
    folded = fold_batch_norm(graph_def)
    native = native_dilations(folded)
    before, after, last = map(measure_complexity, (graph_def, folded, native))
    assert before.multiply_adds == after.multiply_adds == last.multiply_adds
    inference_names = [name for name in values if "aux_block" not in name]
    assert before.parameters == sum(values[name].size for name in inference_names)
    channels = sum(values[name].size for name in inference_names if name.endswith("beta"))
    assert after.parameters == before.parameters - 3 * channels == last.parameters


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


def test_count_operations_sorts_by_count():
    assert list(count_operations(["a", "b", "b"]).items()) == [("b", 2), ("a", 1)]


def test_model_size_of_checkpoint_and_frozen_graph_agree(exported_models, small_predictor):
    card = exported_models("frozen.pb")[0]
    size = model_size(small_predictor)
    assert size[:2] == model_size(open_frozen(card.path))[:2]
    assert size.bytes == source_bytes(small_predictor.source) > 0


def test_paper_sizes_match_the_paper():
    sizes = paper_sizes("mmnet")
    assert [size.width_multiplier for size in sizes] == [0.5, 0.75, 1.0, 1.4]
    assert [size.trainable_parameters for size in sizes] == [64260, 120428, 190652, 356588]
    for size in sizes:  # the paper rounds to thousandths of a million
        assert size.parameters / 1e6 == pytest.approx(size.paper_parameters, abs=0.0006)
    assert sizes[2].checkpoint_bytes == 2322908  # size of the published files
    # The published graph has 327.5 M, because its classifier runs at the full size.
    assert [round(size.multiply_adds / 1e6, 1) for size in sizes] == [118.3, 211.3, 325.5, 618.8]


def test_network_size_is_independent_of_the_input_shape():
    small, large = (network_size(Network("tiny", shape=shape)) for shape in [(64, 64), (96, 32)])
    assert small == large and small.paper_parameters is None
