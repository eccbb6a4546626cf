"""The smallest useful network: one multi-branch block. Tests and examples use it.

It has every kind of layer of MMNet, an auxiliary head and a classifier, and its graph is built in a
fraction of a second.
"""

from mmnet.networks.layers import Mode, Outputs, classifier, conv, scale_channels, upsample
from mmnet.networks.mmnet import Block, multi_branch
from mmnet.networks.network import Network
from mmnet.tf.compat import tf

BLOCK = Block(8, 8, 1, (1, 2))


def tiny(images01: "tf.Tensor", network: Network, mode: Mode) -> Outputs:
    """Build the graph.

    Args:
        images01: float32 [N,H,W,C], 0..1. H and W are static and even.
        network: the network, with its width multiplier.
        mode: how layers compute their parts.

    Returns:
        Outputs. The head ``coarse_logits`` is [N,H/2,W/2,2].
    """
    channels = scale_channels(BLOCK.channels, network.width_multiplier)
    endpoints = {}
    with tf.variable_scope("Tiny"):
        with tf.variable_scope("init_block"):
            x = conv(images01, channels, mode, kernel=3, stride=2, scope="conv")
            endpoints["init_block"] = x
        x = multi_branch(x, channels, channels, mode, row=BLOCK, scope="block0")
        endpoints["block0"] = x
        with tf.variable_scope("aux_block"):
            coarse_logits = classifier(x, mode._replace(single_logit=False))
        with tf.variable_scope("final_block"):
            logits = endpoints["final_block"] = upsample(classifier(x, mode), 2)
    return Outputs(logits, {"coarse_logits": coarse_logits}, endpoints)
