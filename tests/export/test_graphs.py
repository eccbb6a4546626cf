"""What is done to inference graphs before they are converted."""

import numpy as np
import pytest

from helpers import SMALL
from helpers.graphs import run
from mmnet.export.graphs import fold_batch_norm, native_dilations
from mmnet.networks.inference_graph import inference_graph


def uneven(values):
    """Weights as Glorot draws them; statistics that a dropped or swapped batch norm would show."""
    random = np.random.RandomState(0)
    uneven = {}
    for name, value in values.items():
        if name.endswith("weights"):  # uniform in -1 .. 1
            height, width, channels, outputs = value.shape
            limit = np.sqrt(6 / (height * width * (channels + outputs)))
            uneven[name] = value * np.float32(limit)
        else:
            uneven[name] = random.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return uneven


@pytest.mark.parametrize(
    "kind, bound",
    [
        ("uneven", 1e-5),
        ("lively", 5e-5),  # its logits show every batch norm, and the rounding of the weights
    ],
)
def test_folded_batch_norm_is_gone_and_changes_nothing(mmnet_weights, lively_images, kind, bound):
    values = uneven(mmnet_weights.values) if kind == "uneven" else mmnet_weights.values
    graph_def = inference_graph(SMALL, values, output_type="logits")
    folded = fold_batch_norm(graph_def)
    ops = [node.op for node in folded.node]
    assert not any(op.startswith("FusedBatchNorm") for op in ops)
    norms = sum(node.op.startswith("FusedBatchNorm") for node in graph_def.node)
    assert ops.count("BiasAdd") == norms == 105
    assert not any("moving" in node.name or "gamma" in node.name for node in folded.node)
    before = run(graph_def, lively_images[:1])
    after = run(folded, lively_images[:1])
    # The weights are rounded again.
    np.testing.assert_allclose(after, before, atol=bound * np.abs(before).max())


def test_native_dilations_leave_one_operation_each(mmnet_weights):
    graph_def = inference_graph(SMALL, mmnet_weights.values, output_type="alpha")
    graph_def = fold_batch_norm(graph_def)
    native = native_dilations(graph_def)
    ops = [node.op for node in native.node]
    assert not set(ops) & {"SpaceToDepth", "DepthToSpace", "Tile"}
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
    # The graph given is left alone.
    assert [node.op for node in graph_def.node].count("DepthToSpace") == 26
