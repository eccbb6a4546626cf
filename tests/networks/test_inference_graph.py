"""Tests of mmnet.networks.inference_graph."""

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from helpers.graphs import run
from mmnet.io.errors import MmnetError
from mmnet.networks.inference_graph import OUTPUT, describe_tensors, inference_graph
from mmnet.networks.network import Network

HEIGHT, WIDTH = SMALL.shape
TRAINING_OPERATIONS = {"VariableV2", "Variable", "VarHandleOp", "Assign", "Identity"}
SLOW_OPERATIONS = {"SpaceToBatchND", "BatchToSpaceND"}


def test_graph_contains_only_inference(mmnet_weights):
    graph_def = inference_graph(mmnet_weights.network, mmnet_weights.values)
    nodes = {node.name: node for node in graph_def.node}
    sides = [dim.size for dim in nodes["input_x"].attr["shape"].shape.dim]
    assert sides == [1, HEIGHT, WIDTH, 3]
    assert nodes["output"].op == "Softmax"
    operations = {node.op for node in graph_def.node}
    assert not operations & (TRAINING_OPERATIONS | SLOW_OPERATIONS)
    assert not any("aux_block" in name for name in nodes)  # only training uses this classifier


def test_graph_without_values_keeps_its_variables(small_weights):
    graph_def = inference_graph(SMALL)
    variables = sum(node.op == "VariableV2" for node in graph_def.node)
    assert variables == len(small_weights.values) - 2  # without weights and biases of aux_block


def test_output_types_and_preprocess_agree(graph_of, small_images):
    image = small_images[:1]
    probabilities = run(graph_of(), image)
    assert probabilities.shape == (1, HEIGHT, WIDTH, 2)
    np.testing.assert_allclose(probabilities.sum(axis=3), 1, atol=1e-6)
    alpha = run(graph_of(output_type="alpha"), image)
    assert alpha.shape == (1, HEIGHT, WIDTH, 1)
    np.testing.assert_allclose(alpha[..., 0], probabilities[..., 1], atol=1e-5)
    logits = run(graph_of("outside", "logits"), image / 255)
    expected = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
    np.testing.assert_allclose(expected, probabilities[..., 1], atol=1e-5)


def test_missing_value_is_reported(small_weights):
    values = small_weights.values
    values = {name: value for name, value in values.items() if "init_block" not in name}
    with pytest.raises(KeyError, match="init_block/conv/weights"):
        inference_graph(SMALL, values)


def test_ranges_need_alpha(small_weights):
    ranges = {"Tiny/init_block/conv/quantization/lowest": 0.0}
    with assert_raises(MmnetError, "output_type", "logits"):
        inference_graph(SMALL, small_weights.values, ranges=ranges, output_type="logits")


@pytest.mark.parametrize("output_type", ["probabilities", "alpha", "logits"])
def test_logits_are_resized_once_after_the_classifier(mmnet_weights, output_type):
    graph_def = inference_graph(
        mmnet_weights.network, mmnet_weights.values, output_type=output_type
    )
    # The decoder's two blocks resize once each.
    assert [node.op for node in graph_def.node].count("ResizeBilinear") == 3
    nodes = {node.name: node for node in graph_def.node}
    operations, node = [], nodes[OUTPUT]
    while node.op != "Conv2D":  # from the output back to the classifier, along the first inputs
        operations.append(node.op)
        node = nodes[node.input[0].partition(":")[0]]
    assert node.name.startswith("MMNet/final_block/")
    assert operations.count("ResizeBilinear") == 1
    final = [node.op for node in graph_def.node if node.name.startswith("MMNet/final_block/")]
    assert final.count("ResizeBilinear") == final.count("Conv2D") == 1


def test_describe_tensors():
    input_text, output_text = describe_tensors(
        Network(shape=(64, 96), channels=4), "outside", "alpha"
    )
    assert input_text.startswith("[1,64,96,4]:") and "0..1" in input_text
    assert output_text.startswith("[1,64,96,1]:") and "alpha" in output_text
