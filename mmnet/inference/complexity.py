"""Count parameters and multiply-adds of graphs."""

from typing import Any, Dict

import numpy as np

from mmnet.tf.compat import tf


def measure_complexity(graph_def: Any) -> Dict[str, Any]:
    """Count ``parameters`` and ``multiply_adds`` of a frozen GraphDef: see graph_complexity."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    return graph_complexity(graph)


def graph_complexity(graph: Any) -> Dict[str, Any]:
    """Count ``parameters`` and ``multiply_adds``, for one image, of a graph of constant weights.

    Only convolutions count as multiply-adds, as in papers. Weights [h,w,in,out] cost h x w x in
    multiply-adds per output value, and h x w in a depthwise convolution.
    """
    parameters = multiply_adds = 0
    for operation in graph.get_operations():
        if operation.type == "Const":
            value = operation.outputs[0]
            if value.dtype == tf.float32 and len(value.shape):
                parameters += value.shape.num_elements()
        elif operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            height, width, channels, _ = operation.inputs[1].shape.as_list()
            per_value = height * width * (channels if operation.type == "Conv2D" else 1)
            multiply_adds += per_value * int(np.prod(operation.outputs[0].shape.as_list()[1:]))
    return {"parameters": parameters, "multiply_adds": multiply_adds}
