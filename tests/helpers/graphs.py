"""Run a frozen graph."""

from mmnet.tf.compat import tf


def run(graph_def, images):
    """Return the value of ``output`` for an input ``input_x``."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    with tf.Session(graph=graph) as session:
        return session.run("output:0", {"input_x:0": images})
