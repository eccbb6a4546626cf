"""MMNet (Seo et al., "Towards Real-Time Automatic Portrait Matting on Mobile Devices", arXiv 1904.03816).

An encoder of ten multi-branch dilated blocks down to 1/16 of the input, a decoder with two shortcuts, and an
auxiliary classifier on the encoder's output that is used in training only. Scopes are the published checkpoints'.
"""
from typing import NamedTuple, Tuple

from mmnet.compat import tf
from mmnet.networks.layers import classifier, conv, depthwise, scale_channels, upsample

STRIDE = 32  # a multiple of 32 keeps every dilated block at a whole number of dilation steps (the smallest map is 1/16)


class EncoderBlock(NamedTuple):
    depth: int  # channels inside each branch
    channels: int  # channels of the output
    stride: int
    dilations: Tuple[int, ...]  # one branch each
    activation: object = None  # of the merged output; None is the linear bottleneck


ENCODER = (
    EncoderBlock(16, 16, 2, (1, 2, 4, 8)),
    EncoderBlock(16, 24, 1, (1, 2, 4, 8)),
    EncoderBlock(24, 24, 1, (1, 2, 4, 8)),
    EncoderBlock(24, 24, 1, (1, 2, 4, 8)),
    EncoderBlock(32, 40, 2, (1, 2, 4)),
    EncoderBlock(64, 40, 1, (1, 2, 4)),
    EncoderBlock(64, 40, 1, (1, 2, 4)),
    EncoderBlock(64, 40, 1, (1, 2, 4)),
    EncoderBlock(80, 80, 2, (1, 2)),
    EncoderBlock(120, 80, 1, (1, 2), tf.nn.relu6),
)


class Outputs(NamedTuple):
    logits: tf.Tensor  # [N,size,size,2]: background, foreground; with log_odds [N,size,size,1]: their difference
    coarse_logits: tf.Tensor  # [N,size/16,size/16,2], of the auxiliary classifier
    endpoints: dict  # block name -> its output


def mmnet(images01, mode, width_multiplier=1.0, log_odds=False):
    """Build the network.

    Args:
        images01: float32 [N,size,size,3] in 0..1, RGB; size a multiple of 32, known when the graph is built.
        mode: layers.TRAINING, layers.INFERENCE or another layers.Mode.
        width_multiplier: factor on every channel count but the classifiers'.
        log_odds: give one logit, that of alpha, instead of two; alpha is its sigmoid.

    Returns:
        Outputs.

    Raises:
        ValueError: the size is not a multiple of 32, or the width is not positive.
    """
    height, width, channels = images01.shape.as_list()[1:]
    if height != width or not height or height % STRIDE or channels != 3:
        raise ValueError("images are [N,size,size,3] with size a multiple of %d, not %s" % (STRIDE, images01.shape))
    if not width_multiplier > 0:
        raise ValueError("width_multiplier is greater than 0, not %s" % width_multiplier)

    def scaled(channels):
        return scale_channels(channels, width_multiplier)

    endpoints = {}
    with tf.variable_scope("MMNet"):
        with tf.variable_scope("init_block"):
            x = endpoints["init_block"] = conv(images01, scaled(32), mode, kernel=3, stride=2, scope="conv")
        for index, row in enumerate(ENCODER):
            name = "enc_block%d" % index
            x = endpoints[name] = multi_branch(x, scaled(row.depth), scaled(row.channels), mode, row.stride,
                                               row.dilations, row.activation, scope=name)
        with tf.variable_scope("aux_block"):
            coarse_logits = endpoints["aux_block"] = classifier(x, mode)

        x = endpoints["dec_block0"] = decode(x, endpoints["enc_block4"], scaled(64), mode, scope="dec_block0")
        x = endpoints["dec_block1"] = decode(x, endpoints["enc_block0"], scaled(40), mode, scope="dec_block1")
        for name in ("dec_block2", "dec_block3"):
            x = endpoints[name] = multi_branch(x, scaled(40), scaled(40), mode, 1, (1, 2, 4), scope=name)
        with tf.variable_scope("dec_block4"):
            x = endpoints["dec_block4"] = conv(x, scaled(16), mode)
        with tf.variable_scope("final_block"):
            # Published: two resizes of 16 channels, then the classifier at full size. A 1x1 convolution commutes with
            # bilinear resizing (the weights of each output pixel sum to 1), and two channels are cheaper to resize.
            logits = endpoints["final_block"] = upsample(upsample(classifier(x, mode, log_odds), 2), 2)
    return Outputs(logits, coarse_logits, endpoints)


def multi_branch(x, depth, channels, mode, stride, dilations, activation=None, scope=None):
    """One branch a dilation, concatenated and merged: [N,H,W,C] -> [N,H/stride,W/stride,channels]."""
    with tf.variable_scope(scope):
        branches = []
        for index, dilation in enumerate(dilations):
            with tf.variable_scope("branch%d" % index):
                branch = conv(x, depth, mode)
                if stride > 1:
                    branch = depthwise(branch, mode, stride=stride, scope="depthwise_conv_stride")
                branches.append(depthwise(branch, mode, dilation=dilation, concatenated=True,
                                          scope="depthwise_conv_dilation"))
        with tf.variable_scope("merge"):
            return conv(mode.output(tf.concat(branches, axis=3)), channels, mode, activation=activation)


def decode(x, shortcut, channels, mode, scope):
    """Double the resolution of ``x`` and put the refined ``shortcut`` beside it: [N,H,W,C] -> [N,2H,2W,2 channels]."""
    with tf.variable_scope(scope):
        x = upsample(conv(x, channels, mode, concatenated=True), 2)
        with tf.variable_scope("shortcut"):
            shortcut = conv(depthwise(shortcut, mode), channels, mode, concatenated=True)
        return mode.output(tf.concat([x, shortcut], axis=3))
