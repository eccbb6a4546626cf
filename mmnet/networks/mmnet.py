"""MMNet: Seo et al., "Towards Real-Time Automatic Portrait Matting on Mobile Devices".

arXiv 1904.03816. An encoder of ten multi-branch dilated blocks down to 1/16 of the input, a decoder
with two shortcuts, and an auxiliary classifier on the encoder's output that only training uses.
The scopes are the published checkpoints'.
"""

from typing import NamedTuple, Tuple

from mmnet.io.errors import MmnetError
from mmnet.networks.layers import (
    Outputs,
    classifier,
    conv,
    depthwise,
    relu6,
    scale_channels,
    upsample,
)

# Sides that are multiples of STRIDE keep every dilated block at a whole number of dilation steps.
from mmnet.networks.network import STRIDE
from mmnet.tf.compat import tf


class Block(NamedTuple):
    depth: int  # channels inside each branch
    channels: int  # channels of the output
    stride: int
    dilations: Tuple[int, ...]  # one branch each
    activation: object = None  # of the merged output; None is the linear bottleneck


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
DECODER = (  # name, the encoder's block beside it, channels of each half
    ("dec_block0", "enc_block4", 64),
    ("dec_block1", "enc_block0", 40),
)
REFINEMENT = Block(40, 40, 1, (1, 2, 4))


def mmnet(images01, network, mode):
    """Build the network.

    Args:
        images01: float32 [N,H,W,C] in 0..1, RGB first; H and W are multiples of 32, known when the
            graph is built. network: Network. mode: layers.TRAINING, INFERENCE or another Mode.

    Returns:
        Outputs; the head ``coarse_logits`` [N,H/16,W/16,2] is the auxiliary classifier's.

    Raises:
        ValueError: images of another shape.
    """
    height, width, channels = images01.shape.as_list()[1:]
    if not height or not width or height % STRIDE or width % STRIDE or channels != network.channels:
        raise MmnetError(
            "images are [N,H,W,%d] with sides that are a multiple of %d, not %s"
            % (network.channels, STRIDE, images01.shape)
        )

    def scaled(channels):
        return scale_channels(channels, network.width_multiplier)

    endpoints = {}
    with tf.variable_scope("MMNet"):
        with tf.variable_scope("init_block"):
            x = conv(images01, scaled(32), mode, kernel=3, stride=2, scope="conv")
            endpoints["init_block"] = x
        for index, row in enumerate(ENCODER):
            name = "enc_block%d" % index
            depth, channels = scaled(row.depth), scaled(row.channels)
            x = endpoints[name] = multi_branch(x, depth, channels, mode, row=row, scope=name)
        with tf.variable_scope("aux_block"):
            coarse_logits = endpoints["aux_block"] = classifier(
                x, mode._replace(single_logit=False)
            )

        for name, shortcut, channels in DECODER:
            x = decode(x, endpoints[shortcut], scaled(channels), mode, scope=name)
            endpoints[name] = x
        for name in ("dec_block2", "dec_block3"):
            x = multi_branch(x, scaled(40), scaled(40), mode, row=REFINEMENT, scope=name)
            endpoints[name] = x
        with tf.variable_scope("dec_block4"):
            x = endpoints["dec_block4"] = conv(x, scaled(16), mode)
        with tf.variable_scope("final_block"):
            # Published: two resizes of 16 channels by 2, then the classifier at full size. A 1x1
            # convolution commutes with bilinear resizing (the weights of each output pixel sum to
            # 1), two channels are cheaper to resize, and two resizes by 2 are one by 4: the same
            # piecewise linear function.
            logits = endpoints["final_block"] = upsample(classifier(x, mode), 4)
    return Outputs(logits, {"coarse_logits": coarse_logits}, endpoints)


def multi_branch(x, depth, channels, mode, *, row, scope):
    """One branch a dilation, concatenated, merged: [N,H,W,C] -> [N,H/stride,W/stride,channels].

    depth, channels: those of the row, scaled.
    """
    with tf.variable_scope(scope):
        branches = []
        for index, dilation in enumerate(row.dilations):
            with tf.variable_scope("branch%d" % index):
                branch = conv(x, depth, mode)
                if row.stride > 1:
                    branch = depthwise(
                        branch, mode, stride=row.stride, scope="depthwise_conv_stride"
                    )
                branch = depthwise(
                    branch,
                    mode,
                    dilation=dilation,
                    concatenated=True,
                    scope="depthwise_conv_dilation",
                )
                branches.append(branch)
        with tf.variable_scope("merge"):
            x = mode.output(tf.concat(branches, axis=3))
            return conv(x, channels, mode, activation=row.activation)


def decode(x, shortcut, channels, mode, *, scope):
    """Double the resolution and put the refined ``shortcut`` beside it.

    [N,H,W,C] -> [N,2H,2W,2 channels].
    """
    with tf.variable_scope(scope):
        x = upsample(conv(x, channels, mode, concatenated=True), 2)
        with tf.variable_scope("shortcut"):
            shortcut = conv(depthwise(shortcut, mode), channels, mode, concatenated=True)
        return mode.output(tf.concat([x, shortcut], axis=3))
