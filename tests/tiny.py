"""The smallest network there can be, for tests of what is around a network: built in a moment."""

from mmnet.compat import tf
from mmnet.networks.layers import Outputs, classifier


def one_convolution(images01, network, mode):
    """A row of NETWORKS."""
    with tf.variable_scope("Tiny"):
        return Outputs(classifier(images01, mode), heads={}, endpoints={})
