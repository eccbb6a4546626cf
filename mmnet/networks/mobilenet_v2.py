"""MobileNetV2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks".

arXiv 1801.04381, table 2. The scopes are those of the published TensorFlow checkpoints (slim), so
that their weights for ImageNet load.
"""

from typing import NamedTuple

from mmnet.networks.layers import PLAIN, conv, depthwise
from mmnet.tf.compat import tf

EXPANSION = 6


class Residual(NamedTuple):
    """An inverted residual."""

    channels: int  # of its output
    stride: int = 1


FIRST = 32  # channels of the first convolution
RESIDUALS = (
    Residual(16),
    Residual(24, 2),
    Residual(24),
    Residual(32, 2),
    Residual(32),
    Residual(32),
    Residual(64, 2),
    Residual(64),
    Residual(64),
    Residual(64),
    Residual(96),
    Residual(96),
    Residual(96),
    Residual(160, 2),
    Residual(160),
    Residual(160),
    Residual(320),
)
LAST = 1280  # channels of the convolution after them, at widths up to 1


def mobilenet_v2(x, width_multiplier, mode, *, output_stride=32, style=PLAIN):
    """The features of a picture, down to the last inverted residual.

    Strides beyond ``output_stride`` become dilations of what follows.

    Args:
        x: float32 [N,H,W,C], the picture in the range that the weights are trained with.

    Returns:
        stride -> the last features of that stride, [N,H/stride,W/stride,channels].
    """
    taps = {}
    with tf.variable_scope("MobilenetV2"):
        channels = scale_channels(FIRST, width_multiplier)
        x = conv(x, channels, mode, kernel=3, stride=2, scope="Conv", style=style)
        stride, dilation = 2, 1
        for index, row in enumerate(RESIDUALS):
            may_stride = stride * row.stride <= output_stride
            x = inverted_residual(
                x,
                scale_channels(row.channels, width_multiplier),
                mode,
                expansion=EXPANSION if index else 1,
                stride=row.stride if may_stride else 1,
                dilation=dilation,
                scope="expanded_conv_%d" % index if index else "expanded_conv",
                style=style,
            )
            if may_stride:
                stride *= row.stride
            else:
                dilation *= row.stride
            taps[stride] = x
    return taps


def inverted_residual(x, channels, mode, *, expansion, stride, dilation, scope, style):
    """Expand, convolve each channel, project: [N,H,W,C] -> [N,H/stride,W/stride,channels]."""
    shortcut = x
    with tf.variable_scope(scope):
        if expansion > 1:
            x = conv(x, x.shape[3].value * expansion, mode, scope="expand", style=style)
        x = depthwise(x, mode, stride=stride, dilation=dilation, scope="depthwise", style=style)
        x = conv(x, channels, mode, activation=None, scope="project", style=style)
        if stride > 1 or shortcut.shape[3].value != channels:
            return x
        with tf.variable_scope("add"):
            return mode.output(x + shortcut)


def scale_channels(channels, width_multiplier):
    """As published: to the nearest multiple of 8 (half up), at least 8, never 10 % below."""
    wanted = channels * width_multiplier
    scaled = max(8, int(wanted + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * wanted else scaled
