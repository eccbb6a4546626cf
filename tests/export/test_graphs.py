"""Tests of mmnet.export.graphs."""

import numpy as np
import pytest

from helpers.graphs import run
from mmnet.export.graphs import fold_batch_norm, native_dilations
from mmnet.networks.inference_graph import inference_graph


def glorot_values(values):
    """Scale random weights as Glorot does, and draw parameters of batch norm that all matter."""
    random = np.random.RandomState(0)
    result = {}
    for name, value in values.items():
        if name.endswith("weights"):  # uniform in -1..1
            height, width, channels, outputs = value.shape
            limit = np.sqrt(6 / (height * width * (channels + outputs)))
            result[name] = value * np.float32(limit)
        else:
            result[name] = random.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return result


@pytest.mark.parametrize("kind, bound", [("glorot", 1e-5), ("random", 5e-5)])
def test_folded_batch_norm_keeps_the_output(mmnet_weights, small_images, kind, bound):
    values = mmnet_weights.values
    if kind == "glorot":
        values = glorot_values(values)
    graph_def = inference_graph(mmnet_weights.network, values, output_type="logits")
    folded = fold_batch_norm(graph_def)
    operations = [node.op for node in folded.node]
    assert not any(op.startswith("FusedBatchNorm") for op in operations)
    batch_norms = sum(node.op.startswith("FusedBatchNorm") for node in graph_def.node)
    assert operations.count("BiasAdd") == batch_norms == 105
    assert not any("moving" in node.name or "gamma" in node.name for node in folded.node)
    before = run(graph_def, small_images[:1])
    after = run(folded, small_images[:1])
    # Folding rounds the weights once more.
    np.testing.assert_allclose(after, before, atol=bound * np.abs(before).max())


def test_native_dilations_are_single_operations(mmnet_weights):
    graph_def = inference_graph(mmnet_weights.network, mmnet_weights.values, output_type="alpha")
    graph_def = fold_batch_norm(graph_def)
    native = native_dilations(graph_def)
    operations = {node.op for node in native.node}
    assert not operations & {"SpaceToDepth", "DepthToSpace", "Tile"}
    dilations = [
        list(node.attr["dilations"].list.i)
        for node in native.node
        if node.op == "DepthwiseConv2dNative"
    ]
    assert len(dilations) == 49
    expected = [2, 4, 8] * 4 + [2, 4] * 4 + [2] * 2 + [2, 4] * 2
    assert sorted(values[1] for values in dilations if values) == sorted(expected)
    for values in filter(None, dilations):
        assert values[0] == values[3] == 1 and values[1] == values[2]
    # The argument is not changed.
    assert [node.op for node in graph_def.node].count("DepthToSpace") == 26
