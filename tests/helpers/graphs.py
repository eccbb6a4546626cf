"""Run a frozen graph, and compute a dilated convolution without TensorFlow."""

import numpy as np

from mmnet.tf.compat import tf


def run(graph_def, images):
    """Return the value of ``output`` for an input ``input_x``."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    with tf.Session(graph=graph) as session:
        return session.run("output:0", {"input_x:0": images})


def dilated_convolution(x, weights, dilation):
    """Return the SAME depthwise convolution of [1,H,W,C] with [3,3,C,1], computed by numpy."""
    border = (dilation, dilation)
    padded = np.pad(x, [(0, 0), border, border, (0, 0)], "constant")
    height, width = x.shape[1:3]
    result = np.zeros_like(x)
    for row in range(3):
        for column in range(3):
            top, left = row * dilation, column * dilation
            window = padded[:, top : top + height, left : left + width]
            result += window * weights[row, column, :, 0]
    return result
