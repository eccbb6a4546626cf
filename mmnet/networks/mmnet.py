"""MMNet: multi-branch dilated blocks with linear bottlenecks.

Seo et al., "Towards Real-Time Automatic Portrait Matting on Mobile Devices", arXiv 1904.03816. The
encoder reduces the image to 1/16, the decoder enlarges it with two shortcuts. Training also uses an
auxiliary classifier on the output of the encoder. Variable scopes equal the published checkpoints.
"""

from functools import partial
from typing import NamedTuple, Tuple

from mmnet.networks.layers import (
    Mode,
    Outputs,
    classifier,
    conv,
    depthwise,
    relu6,
    scale_channels,
    upsample,
)
from mmnet.networks.network import Network
from mmnet.networks.views import STRIDE
from mmnet.tf.compat import tf


class Block(NamedTuple):
    """A multi-branch block: one branch per dilation, concatenated and merged."""

    branch_channels: int
    output_channels: int
    stride: int
    dilations: Tuple[int, ...]
    activation: object = None  # after the merge; None: linear bottleneck


ENCODER = (
    Block(16, 16, 2, (1, 2, 4, 8)),
    Block(16, 24, 1, (1, 2, 4, 8)),
    Block(24, 24, 1, (1, 2, 4, 8)),
    Block(24, 24, 1, (1, 2, 4, 8)),
    Block(32, 40, 2, (1, 2, 4)),
    Block(64, 40, 1, (1, 2, 4)),
    Block(64, 40, 1, (1, 2, 4)),
    Block(64, 40, 1, (1, 2, 4)),
    Block(80, 80, 2, (1, 2)),
    Block(120, 80, 1, (1, 2), relu6),
)
UPSAMPLING = (  # scope, endpoint of the shortcut, channels of each half of the output
    ("dec_block0", "enc_block4", 64),
    ("dec_block1", "enc_block0", 40),
)
REFINEMENT = Block(40, 40, 1, (1, 2, 4))


def mmnet(images01: "tf.Tensor", network: Network, mode: Mode) -> Outputs:
    """Build the graph of MMNet. The head ``coarse_logits`` is [N,H/16,W/16,2].

    Args:
        images01: float32 [N,H,W,C], 0..1, RGB first. H and W are static multiples of 32.
        network: Network, with the width multiplier and the number of input channels.
        mode: layers.TRAINING, layers.INFERENCE, or a quantization mode.
    """
    height, width, channels = images01.shape.as_list()[1:]
    if not height or not width or height % STRIDE or width % STRIDE or channels != network.channels:
        raise ValueError(
            f"images: shape {images01.shape}, expected [N,H,W,{network.channels}] with H and W "
            f"multiples of {STRIDE}"
        )
    scale = partial(scale_channels, width_multiplier=network.width_multiplier)
    endpoints = {}
    with tf.variable_scope("MMNet"):
        with tf.variable_scope("init_block"):
            x = conv(images01, scale(32), mode, kernel=3, stride=2, scope="conv")
            endpoints["init_block"] = x
        for index, block in enumerate(ENCODER):
            scope = f"enc_block{index}"
            x = endpoints[scope] = multi_branch_block(x, block, mode, scope=scope, scale=scale)
        with tf.variable_scope("aux_block"):
            two_logits = mode._replace(single_logit=False)
            coarse_logits = endpoints["aux_block"] = classifier(x, two_logits)

        for scope, shortcut, channels in UPSAMPLING:
            shortcut = endpoints[shortcut]
            x = endpoints[scope] = upsampling_block(x, shortcut, scale(channels), mode, scope=scope)
        for scope in ("dec_block2", "dec_block3"):
            x = endpoints[scope] = multi_branch_block(x, REFINEMENT, mode, scope=scope, scale=scale)
        with tf.variable_scope("dec_block4"):
            x = endpoints["dec_block4"] = conv(x, scale(16), mode)
        with tf.variable_scope("final_block"):
            # The published graph resizes 16 channels twice by 2 and then classifies. This graph
            # classifies first and resizes 2 channels once by 4. The result is the same: a 1x1
            # convolution commutes with bilinear resizing, and two resizes by 2 equal one by 4.
            logits = endpoints["final_block"] = upsample(classifier(x, mode), 4)
    return Outputs(logits, {"coarse_logits": coarse_logits}, endpoints)


def multi_branch_block(x, block, mode, *, scope, scale):
    """Apply a Block whose channels ``scale`` multiplies: [N,H,W,C] -> [N,H/stride,W/stride,D]."""
    with tf.variable_scope(scope):
        branches = []
        for index, dilation in enumerate(block.dilations):
            with tf.variable_scope(f"branch{index}"):
                branch = conv(x, scale(block.branch_channels), mode)
                if block.stride > 1:
                    options = {"stride": block.stride, "scope": "depthwise_conv_stride"}
                    branch = depthwise(branch, mode, **options)
                options = {"dilation": dilation, "scope": "depthwise_conv_dilation"}
                branches.append(depthwise(branch, mode, before_concat=True, **options))
        with tf.variable_scope("merge"):
            x = mode.output(tf.concat(branches, axis=3))
            return conv(x, scale(block.output_channels), mode, activation=block.activation)


def upsampling_block(x, shortcut, channels, mode, *, scope):
    """Double the resolution and concatenate a shortcut.

    [N,H,W,C] and [N,2H,2W,S] -> [N,2H,2W,2 * channels].
    """
    with tf.variable_scope(scope):
        x = upsample(conv(x, channels, mode, before_concat=True), 2)
        with tf.variable_scope("shortcut"):
            shortcut = conv(depthwise(shortcut, mode), channels, mode, before_concat=True)
        return mode.output(tf.concat([x, shortcut], axis=3))
