"""How much a network holds and how much it computes."""
from typing import NamedTuple

import numpy as np

from mmnet.compat import tf


class Complexity(NamedTuple):
    parameters: int  # numbers in weights, biases and batch norm
    multiply_adds: int  # of the convolutions, for one picture


def complexity_of(graph_def):
    """The Complexity of a frozen graph."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    return complexity_of_graph(graph)


def complexity_of_graph(graph):
    """The Complexity of a tf.Graph whose weights are constants, whatever its batch.

    A convolution of weights [h,w,in,out] multiplies h x w x in times for each number of its output; a depthwise one h x w
    times. Everything else (batch norm, activations, resizing) is left out, as papers do.
    """
    parameters = multiply_adds = 0
    for operation in graph.get_operations():
        shape = operation.outputs[0].shape if operation.outputs else None
        if operation.type == "Const" and operation.outputs[0].dtype == tf.float32 and len(shape):
            parameters += shape.num_elements()
        elif operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            height, width, channels, _ = operation.inputs[1].shape.as_list()
            each = height * width * (channels if operation.type == "Conv2D" else 1)
            multiply_adds += each * int(np.prod(shape.as_list()[1:]))
    return Complexity(parameters, multiply_adds)


def complexity_in(card):
    """What ``mmnet export`` wrote into a model's card or metadata; None where it did not."""
    if not set(Complexity._fields) <= card.keys():
        return None
    return Complexity(*(int(card[name]) for name in Complexity._fields))
