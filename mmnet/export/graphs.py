"""What is done to inference graphs before they are converted or handed over."""

import numpy as np

from mmnet.networks.inference_graph import OUTPUT
from mmnet.tf.compat import tf


def fold_batch_norm(graph_def):
    """The same graph with each batch norm multiplied into the convolution right before it.

    A BiasAdd remains: y = gamma (conv(x, w) - mean) / sqrt(variance + epsilon) + beta
    = conv(x, w scale) + (beta - mean scale).
    """
    folded = tf.GraphDef()
    folded.CopyFrom(graph_def)
    nodes = {node.name: node for node in folded.node}
    for node in folded.node:
        if not node.op.startswith("FusedBatchNorm"):
            continue
        x, names = node.input[0], node.input[1:]
        conv = source(nodes, nodes[x], "DepthToSpace")
        if conv.op not in ("Conv2D", "DepthwiseConv2dNative"):
            continue  # of a part of the channels, or behind a bias
        gamma, beta, mean, variance = (value_of(nodes[name]).astype(np.float64) for name in names)
        scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
        weights = source(nodes, nodes[conv.input[1]], "Tile")
        # Weights are [h,w,channels,1] then, else [h,w,in,channels].
        depthwise = conv.op == "DepthwiseConv2dNative"
        set_value(weights, value_of(weights) * (scale[:, None] if depthwise else scale))
        set_value(nodes[names[1]], beta - mean * scale)
        node.op = "BiasAdd"
        for name in [name for name in node.attr if name not in ("T", "data_format")]:
            del node.attr[name]
        del node.input[:]
        node.input.extend([x, names[1]])
    return tf.graph_util.extract_sub_graph(folded, [OUTPUT])


def native_dilations(graph_def):
    """The same graph for a converter: a dilated convolution is one operation with ``dilations``.

    That is a DepthwiseConv2dNative in place of SpaceToDepth, DepthwiseConv2dNative with its weights
    through Tile, and DepthToSpace. Never run it in a session: TensorFlow's CPU kernel gets such a
    convolution wrong and does not say so.
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
            if not name.startswith("_"):  # _output_shapes holds those between the two moves
                node.attr[name].CopyFrom(value)
        node.attr["dilations"].list.i[:] = [1, dilation, dilation, 1]
        del node.input[:]
        node.input.extend([x, weights])
    return tf.graph_util.extract_sub_graph(native, [OUTPUT])


def source(nodes, node, passed_over):
    """The node that ``node`` gets its values from, past operations that only move them."""
    while node.op == passed_over:
        node = nodes[node.input[0]]
    return node


def value_of(node):
    return tf.make_ndarray(node.attr["value"].tensor)


def set_value(node, value):
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.astype(np.float32)))
