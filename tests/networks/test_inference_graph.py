"""Networks for inference as GraphDefs."""

import numpy as np
import pytest

from helpers import SMALL
from helpers.graphs import run
from mmnet.networks.inference_graph import OUTPUT, inference_graph

SHAPE = SMALL.shape


def test_names_shapes_and_nothing_of_training(mmnet_weights):
    graph_def = inference_graph(SMALL, mmnet_weights.values)
    nodes = {node.name: node for node in graph_def.node}
    ops = {node.op for node in graph_def.node}
    sides = [dim.size for dim in nodes["input_x"].attr["shape"].shape.dim]
    assert sides == [1, SHAPE[0], SHAPE[1], 3]
    assert nodes["output"].op == "Softmax"
    assert not ops & {
        "VariableV2",
        "Variable",
        "VarHandleOp",
        "Assign",
        "SpaceToBatchND",
        "BatchToSpaceND",
        "Identity",
    }
    # The auxiliary classifier is for training only.
    assert not any("aux_block" in name for name in nodes)
    with_variables = inference_graph(SMALL)
    variables = sum(node.op == "VariableV2" for node in with_variables.node)
    assert len(mmnet_weights.values) - 2 == variables  # but aux_block's two


def test_output_types_and_preprocess(graph_of, lively_images):
    image = lively_images[:1]
    probabilities = run(graph_of(), image)
    assert probabilities.shape == (1,) + SHAPE + (2,)
    np.testing.assert_allclose(probabilities.sum(axis=3), 1, atol=1e-6)
    alpha = run(graph_of(output_type="alpha"), image)
    assert alpha.shape == (1,) + SHAPE + (1,)
    # Rounding, twice.
    np.testing.assert_allclose(alpha[..., 0], probabilities[..., 1], atol=1e-5)
    logits = run(graph_of("outside", "logits"), image / 255)
    by_hand = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
    np.testing.assert_allclose(by_hand, probabilities[..., 1], atol=1e-5)


def test_a_value_that_is_missing(lively_weights):
    values = lively_weights.values
    with pytest.raises(KeyError, match="init_block/conv/weights"):
        inference_graph(SMALL, {name: values[name] for name in values if "init_block" not in name})


@pytest.mark.parametrize("output_type", ["probabilities", "alpha", "logits"])
def test_one_resize_after_the_classifier(graph_of, output_type):
    """Logits are resized once, by 4; the decoder's two blocks resize once each."""
    graph_def = graph_of(output_type=output_type)
    assert [node.op for node in graph_def.node].count("ResizeBilinear") == 3
    nodes = {node.name: node for node in graph_def.node}
    ops, node = [], nodes[OUTPUT]
    while node.op != "Conv2D":  # back to the classifier, along the first inputs
        ops.append(node.op)
        node = nodes[node.input[0].partition(":")[0]]
    assert node.name.startswith("MMNet/final_block/")
    assert ops.count("ResizeBilinear") == 1
    final = [node.op for node in graph_def.node if node.name.startswith("MMNet/final_block/")]
    assert final.count("ResizeBilinear") == final.count("Conv2D") == 1
