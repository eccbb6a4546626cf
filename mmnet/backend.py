"""What a session needs to know of the machine it runs on."""
from mmnet.compat import tf


def training_session_config():
    """A ConfigProto under which a step gives the same bits every time on one build and thread count.

    TensorFlow sums three gradients and more in whichever order their buffers come free. Ours are summed in pairs, in a
    fixed order (training/graph.py), and the graph optimizer that would merge those sums again is switched off.
    """
    config = tf.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.arithmetic_optimization = rewrites.OFF
    return config
