"""Inference graphs as GraphDefs with the weights inside, and what is done to them before they are handed over."""
import numpy as np

from mmnet.compat import tf
from mmnet.networks.layers import INFERENCE
from mmnet.networks.mmnet import mmnet
from mmnet.networks.quantization import QUANTIZED_INFERENCE

INPUT, OUTPUT = "input_x", "output"  # published names
PREPROCESS = "preprocess"  # the node that divides by 255: a graph without it takes pictures in 0..1
OUTPUT_TYPES = ("probabilities", "alpha", "logits")


def inference_graph(values, width_multiplier=1.0, size=256, preprocess="inside", output_type="probabilities",
                    int8=False, ranges=None):
    """The network for one picture as a frozen GraphDef that TensorFlow 1.15 and 2.x load, without training-only nodes.

    Args:
        values: variable name -> array, every variable of the network. None: the graph keeps its variables.
        preprocess: "inside": ``input_x`` is float32 [1,size,size,3] in 0..255; "outside": in 0..1.
        output_type: what ``output`` is: "probabilities" (float32 [1,size,size,2], channel 1 is alpha), "alpha"
            ([1,size,size,1]) or "logits" ([1,size,size,2]).
        int8: for a full-integer TFLite model, whose sigmoid ends at 255/256: alpha is multiplied by 256/255, so that
            the highest of its 256 values is 1.
        ranges: of an int8 graph, quantization's variables, name -> value: it rounds the picture and every activation to
            8 bits, which tells the TFLite converter how. "alpha" only.

    Raises:
        KeyError: a variable without a value. ValueError: ranges for another output_type.
    """
    if ranges and output_type != "alpha":
        raise ValueError("a model with ranges of its own gives alpha, not %s" % output_type)
    known = dict(values or {}, **(ranges or {}))

    def constant(getter, name, *_, **__):
        with tf.name_scope(None):
            return tf.constant(known[name], name=name)

    graph = tf.Graph()
    with graph.as_default():
        x = tf.placeholder(tf.float32, [1, size, size, 3], name=INPUT)
        if ranges:
            x = tf.quantization.fake_quant_with_min_max_args(x, 0, 255 if preprocess == "inside" else 1)
        if preprocess == "inside":
            x = tf.divide(x, 255.0, name=PREPROCESS)
            x = tf.quantization.fake_quant_with_min_max_args(x, 0, 1) if ranges else x
        with tf.variable_scope(tf.get_variable_scope(), custom_getter=values and constant):
            logits = mmnet(x, QUANTIZED_INFERENCE if ranges else INFERENCE, width_multiplier,
                           log_odds=output_type == "alpha").logits
        if output_type == "logits":
            tf.identity(logits, name=OUTPUT)
        elif output_type == "probabilities":
            tf.nn.softmax(logits, name=OUTPUT)
        else:  # softmax of two is the sigmoid of their difference, which every converter gets right
            alpha = tf.sigmoid(logits, name=None if int8 else OUTPUT)
            if ranges:
                tf.quantization.fake_quant_with_min_max_args(alpha * (256 / 255), 0, 1, name=OUTPUT)
            elif int8:  # -1 .. 1 is a limit that TFLite's multiplication has built in
                tf.maximum(tf.minimum(alpha * (256 / 255), 1), -1, name=OUTPUT)
    # TensorFlow 1.15 refuses a node with an attribute it does not know; those at their default value can go.
    stripped = tf.train.export_meta_graph(graph=graph, strip_default_attrs=True).graph_def
    return tf.graph_util.extract_sub_graph(stripped, [OUTPUT])


def fold_batch_norm(graph_def):
    """The same graph with each batch norm multiplied into the convolution before it; a BiasAdd remains.

    y = gamma (conv(x, w) - mean) / sqrt(variance + epsilon) + beta = conv(x, w scale) + (beta - mean scale).
    """
    folded = tf.GraphDef()
    folded.CopyFrom(graph_def)
    nodes = {node.name: node for node in folded.node}
    for node in folded.node:
        if not node.op.startswith("FusedBatchNorm"):
            continue
        x, names = node.input[0], node.input[1:]
        gamma, beta, mean, variance = (value_of(nodes[name]).astype(np.float64) for name in names)
        scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
        conv = source(nodes, nodes[x], "DepthToSpace")
        weights = source(nodes, nodes[conv.input[1]], "Tile")
        depthwise = conv.op == "DepthwiseConv2dNative"  # weights [h,w,channels,1], else [h,w,in,channels]
        set_value(weights, value_of(weights) * (scale[:, None] if depthwise else scale))
        set_value(nodes[names[1]], beta - mean * scale)
        node.op = "BiasAdd"
        for name in [name for name in node.attr if name not in ("T", "data_format")]:
            del node.attr[name]
        del node.input[:]
        node.input.extend([x, names[1]])
    return tf.graph_util.extract_sub_graph(folded, [OUTPUT])


def native_dilations(graph_def):
    """The same graph for a converter, each dilated convolution one DepthwiseConv2dNative with ``dilations``.

    In place of SpaceToDepth, DepthwiseConv2dNative with its weights through Tile, and DepthToSpace. Never run it in a
    session: TensorFlow's CPU kernel gets such a convolution wrong and does not say so.
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
            if not name.startswith("_"):  # _output_shapes are those between the two moves
                node.attr[name].CopyFrom(value)
        node.attr["dilations"].list.i[:] = [1, dilation, dilation, 1]
        del node.input[:]
        node.input.extend([x, weights])
    return tf.graph_util.extract_sub_graph(native, [OUTPUT])


def described(size, preprocess, output_type):
    """What goes in and what comes out, in words: (input, output), each behind its name and type."""
    channels = {"probabilities": "2]: probabilities, channel 1 is alpha", "alpha": "1]: alpha in 0..1",
                "logits": "2]: logits of background and person"}[output_type]
    side = "[1,%d,%d," % (size, size)
    return "%s3]: RGB in %s" % (side, "0..255" if preprocess == "inside" else "0..1"), side + channels


def source(nodes, node, passed_over):
    """The node that ``node`` gets its values from, over operations that only move them."""
    while node.op == passed_over:
        node = nodes[node.input[0]]
    return node


def value_of(node):
    return tf.make_ndarray(node.attr["value"].tensor)


def set_value(node, value):
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.astype(np.float32)))
