"""MobileNetV2: the encoder of DeepLab and MODNet.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv 1801.04381, table 2.
Variable scopes equal the published TensorFlow checkpoints (slim), so their ImageNet weights load.
"""

from mmnet.networks.layers import conv, depthwise
from mmnet.tf.compat import tf

FIRST_CHANNELS = 32  # first convolution
STAGES = (  # channels, number of blocks, stride of the first block; the others have stride 1
    (16, 1, 1),
    (24, 2, 2),
    (32, 3, 2),
    (64, 4, 2),
    (96, 3, 1),
    (160, 3, 2),
    (320, 1, 1),
)
EXPANSION = 6  # factor of the channels inside a block; the first block does not expand
LAST_CHANNELS = 1280  # last convolution; width multipliers below 1 do not reduce it


def mobilenet_v2(x, width_multiplier, mode, *, output_stride=32):
    """Return stride -> last features with this stride, [N,H/stride,W/stride,channels].

    Strides beyond ``output_stride`` (8, 16 or 32) are replaced by dilations of the later blocks.
    """
    features = {}
    with tf.variable_scope("MobilenetV2"):
        channels = published_channels(FIRST_CHANNELS, width_multiplier)
        x = conv(x, channels, mode, kernel=3, stride=2, scope="Conv")
        stride, dilation = 2, 1
        for index, (channels, block_stride) in enumerate(_blocks()):
            may_stride = stride * block_stride <= output_stride
            x = inverted_residual(
                x,
                published_channels(channels, width_multiplier),
                mode,
                expansion=EXPANSION if index else 1,
                stride=block_stride if may_stride else 1,
                dilation=dilation,
                scope=f"expanded_conv_{index}" if index else "expanded_conv",
            )
            if may_stride:
                stride *= block_stride
            else:
                dilation *= block_stride
            features[stride] = x
    return features


def last_conv(x, width_multiplier, mode):
    """Apply the last convolution: [N,h,w,C] -> [N,h,w,LAST_CHANNELS or more]."""
    with tf.variable_scope("MobilenetV2"):
        channels = published_channels(LAST_CHANNELS, max(1.0, width_multiplier))
        return conv(x, channels, mode, scope="Conv_1")


def _blocks():
    """Yield (channels, stride) of each block."""
    for channels, blocks, stride in STAGES:
        yield channels, stride
        yield from [(channels, 1)] * (blocks - 1)


def inverted_residual(x, channels, mode, *, expansion, stride, dilation, scope):
    """Expand, convolve each channel and project: [N,H,W,C] -> [N,H/stride,W/stride,channels]."""
    shortcut = x
    with tf.variable_scope(scope):
        if expansion > 1:
            x = conv(x, x.shape[3].value * expansion, mode, scope="expand")
        x = depthwise(x, mode, stride=stride, dilation=dilation, scope="depthwise")
        x = conv(x, channels, mode, activation=None, scope="project")
        if stride > 1 or shortcut.shape[3].value != channels:
            return x
        with tf.variable_scope("add"):
            return mode.output(x + shortcut)


def published_channels(channels, width_multiplier):
    """Return the scaled channels as the published code rounds them.

    It rounds to the nearest multiple of 8 (half up), at least 8, and never 10 % down.
    """
    exact = channels * width_multiplier
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded
