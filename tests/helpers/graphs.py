"""Run graphs, and compute a dilated convolution without TensorFlow."""

import numpy as np

from mmnet.tf.compat import tf


def run(graph_def, images):
    """Return the value of ``output`` for an input ``input_x``."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    with tf.Session(graph=graph) as session:
        return session.run("output:0", {"input_x:0": images})


def training_feed(graph, images, truths, learning_rate=1e-2, decay=0.9):
    """Return the feed of a step of a TrainingGraph."""
    return {
        graph.images: images,
        graph.truths: truths,
        graph.learning_rate: learning_rate,
        graph.batch_norm_decay: decay,
    }


def variable_values(session, graph):
    """Return name -> copy of the value, because fetched arrays may share memory with variables.

    The loss scaling runs Adam in a branch of the graph. The names of Adam's two counters start with
    the branch's name, which is removed here.
    """
    names = [variable.op.name.replace("cond/", "") for variable in graph.variables]
    return dict(zip(names, map(np.array, session.run(graph.variables))))


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
