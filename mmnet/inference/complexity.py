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

    A convolution with weights [h,w,in,out] has h x w x in multiply-adds per output value; a
    depthwise convolution has h x w. As in papers, other operations do not count.
    """
    parameters = multiply_adds = 0
    for operation in graph.get_operations():
        if operation.type not in ("Const", "Conv2D", "DepthwiseConv2dNative"):
            continue
        output = operation.outputs[0]
        if operation.type != "Const":
            height, width, channels, _ = operation.inputs[1].shape.as_list()
            per_value = height * width * (channels if operation.type == "Conv2D" else 1)
            multiply_adds += per_value * int(np.prod(output.shape.as_list()[1:]))
        elif output.dtype == tf.float32 and len(output.shape):
            parameters += output.shape.num_elements()
    return {"parameters": parameters, "multiply_adds": multiply_adds}
