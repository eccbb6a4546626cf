"""What a graph computes, count_operations."""

from collections import Counter

import numpy as np

from mmnet.inference.predictor import Complexity
from mmnet.tf.compat import tf


def count_operations(operations):
    """Types of operations -> how often, the most frequent first."""
    return dict(Counter(operations).most_common())


def measure_complexity(graph_def):
    """The Complexity of a frozen graph."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    return graph_complexity(graph)


def graph_complexity(graph):
    """The Complexity of a tf.Graph whose weights are constants, whatever its batch.

    A convolution of weights [h,w,in,out] multiplies h x w x in times for each number of its output;
    a depthwise one h x w times. Everything else (batch norm, activations, resizing) is left out, as
    papers do.
    """
    parameters = multiply_adds = 0
    for operation in graph.get_operations():
        output = operation.outputs[0] if operation.outputs else None
        if operation.type == "Const" and output.dtype == tf.float32 and len(output.shape):
            parameters += output.shape.num_elements()
        elif operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            height, width, channels, _ = operation.inputs[1].shape.as_list()
            each = height * width * (channels if operation.type == "Conv2D" else 1)
            multiply_adds += each * int(np.prod(output.shape.as_list()[1:]))
    return Complexity(parameters, multiply_adds)
