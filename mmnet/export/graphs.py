"""Transform inference graphs before they are converted or written."""

from typing import Dict

import numpy as np

from mmnet.networks.inference_graph import OUTPUT
from mmnet.tf.compat import tf

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
BIAS_ADD_ATTRIBUTES = ("T", "data_format")


def fold_batch_norm(graph_def: "tf.GraphDef") -> "tf.GraphDef":
    """Multiply each batch norm into the convolution before it. Only a BiasAdd remains.

    gamma (conv(x, w) - mean) / sqrt(variance + epsilon) + beta
    = conv(x, w scale) + (beta - mean scale), with scale = gamma / sqrt(variance + epsilon).

    A batch norm after another operation, for example of half of the channels, is not changed.
    """
    folded = tf.GraphDef()
    folded.CopyFrom(graph_def)
    nodes = {node.name: node for node in folded.node}
    constants = [node for node in graph_def.node if node.op == "Const"]
    values = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in constants}
    for node in folded.node:
        if node.op.startswith("FusedBatchNorm"):
            conv = _skip(nodes, nodes[node.input[0]], "DepthToSpace")
            if conv.op in CONVOLUTIONS:
                _fold(nodes, values, node, conv)
    return tf.graph_util.extract_sub_graph(folded, [OUTPUT])


def _fold(nodes, values, batch_norm, conv):
    """Change the weights of ``conv`` and the node ``batch_norm``.

    Several views share the weights, so the result depends on ``values``, which do not change.
    """
    x, *parameter_names = batch_norm.input
    parameters = [values[name].astype(np.float64) for name in parameter_names]
    gamma, beta, mean, variance = parameters
    scale = gamma / np.sqrt(variance + batch_norm.attr["epsilon"].f)
    weights = _skip(nodes, nodes[conv.input[1]], "Tile")
    if conv.op == "DepthwiseConv2dNative":  # [h,w,channels,1] instead of [h,w,in,channels]
        _set_value(weights, values[weights.name] * scale[:, np.newaxis])
    else:
        _set_value(weights, values[weights.name] * scale)
    beta_name = parameter_names[1]
    _set_value(nodes[beta_name], beta - mean * scale)

    batch_norm.op = "BiasAdd"
    for name in list(batch_norm.attr):
        if name not in BIAS_ADD_ATTRIBUTES:
            del batch_norm.attr[name]
    del batch_norm.input[:]
    batch_norm.input.extend([x, beta_name])


def native_dilations(graph_def: "tf.GraphDef") -> "tf.GraphDef":
    """Express each dilated convolution as one operation with ``dilations``, for converters.

    A DepthwiseConv2dNative with dilations replaces SpaceToDepth, DepthwiseConv2dNative with tiled
    weights, and DepthToSpace. Never run the result in a session: TensorFlow's CPU kernel computes
    wrong values for it without an error.
    """
    native = tf.GraphDef()
    native.CopyFrom(graph_def)
    nodes = {node.name: node for node in native.node}
    for node in native.node:
        if node.op != "DepthToSpace":
            continue
        dilation, conv = node.attr["block_size"].i, nodes[node.input[0]]
        x, weights = nodes[conv.input[0]].input[0], nodes[conv.input[1]].input[0]
        node.op = conv.op
        node.attr.clear()
        for name, value in conv.attr.items():
            if not name.startswith("_"):  # _output_shapes contains the shapes in space-to-depth
                node.attr[name].CopyFrom(value)
        node.attr["dilations"].list.i[:] = [1, dilation, dilation, 1]
        del node.input[:]
        node.input.extend([x, weights])
    return tf.graph_util.extract_sub_graph(native, [OUTPUT])


def _skip(nodes: Dict[str, "tf.NodeDef"], node: "tf.NodeDef", op: str) -> "tf.NodeDef":
    """Follow the first input of operations of this type, which only move values."""
    while node.op == op:
        node = nodes[node.input[0]]
    return node


def _set_value(node, value):
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.astype(np.float32)))
