"""Tiny: the smallest useful network, with one multi-branch block. An example for new networks.

Tests use it, because its graph is built quickly. To add a network, write a function like ``tiny``
in a new file of this folder and add a NetworkDefinition to registry.py.
"""

from functools import partial

from mmnet.networks.layers import Mode, Outputs, classifier, conv, scale_channels, upsample
from mmnet.networks.mmnet import Block, multi_branch_block
from mmnet.networks.network import Network
from mmnet.tf.compat import tf

BLOCK = Block(8, 8, 1, (1, 2))


def tiny(images01: "tf.Tensor", network: Network, mode: Mode) -> Outputs:
    """Build the graph. Arguments: see mmnet(). The head ``coarse_logits`` is [N,H/2,W/2,2]."""
    scale = partial(scale_channels, width_multiplier=network.width_multiplier)
    endpoints = {}
    with tf.variable_scope("Tiny"):
        with tf.variable_scope("init_block"):
            x = conv(images01, scale(8), mode, kernel=3, stride=2, scope="conv")
            endpoints["init_block"] = x
        x = endpoints["block0"] = multi_branch_block(x, BLOCK, mode, scope="block0", scale=scale)
        with tf.variable_scope("aux_block"):  # a head: only training uses it
            coarse_logits = classifier(x, mode._replace(single_logit=False))
        with tf.variable_scope("final_block"):
            logits = endpoints["final_block"] = upsample(classifier(x, mode), 2)
    return Outputs(logits, {"coarse_logits": coarse_logits}, endpoints)
