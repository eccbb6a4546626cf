"""The operations that networks are made of, under the variable names of published checkpoints.

Every tensor is NHWC float32. A layer opens the scope it is given and creates its variables there:
``weights`` or ``depthwise_weights``, then ``BatchNorm/{gamma,beta,moving_mean,moving_variance}`` or
``biases``. A Mode says how its parts are computed; quantization.py has two more.
"""

from typing import Callable, Dict, NamedTuple, Optional

from mmnet.compat import tf

BATCH_NORM_EPSILON = 1e-3
BATCH_STATISTICS = "batch_statistics"


class Outputs(NamedTuple):
    """What a network function returns."""

    logits: "tf.Tensor"  # [N,H,W,2]: background, foreground; or [N,H,W,1]: their difference
    heads: Dict[str, "tf.Tensor"]  # outputs that only training uses, by name
    endpoints: Dict[str, "tf.Tensor"]  # block -> its output
    images01: Optional["tf.Tensor"] = None  # [N,H,W,C] in 0..1: what the network saw


def scale_channels(channels, width_multiplier):
    """``channels`` x ``width_multiplier``, then to a multiple of 8 (half up), at least 8."""
    scaled = int(channels * width_multiplier + 0.5)
    return max(8, (scaled + 4) // 8 * 8)


def by_batch(x, gamma, beta, moving_mean, moving_variance):
    """Batch norm by the batch's statistics.

    Each (moving statistic, batch statistic) goes to the collection BATCH_STATISTICS: the training
    step moves the one towards the other.
    """
    x, mean, variance = tf.nn.fused_batch_norm(
        x, gamma, beta, epsilon=BATCH_NORM_EPSILON, is_training=True
    )
    tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
    tf.add_to_collection(BATCH_STATISTICS, (moving_variance, variance))
    return x


def by_moving(x, gamma, beta, moving_mean, moving_variance):
    """Batch norm by the moving statistics."""
    return tf.nn.fused_batch_norm(
        x, gamma, beta, moving_mean, moving_variance, epsilon=BATCH_NORM_EPSILON, is_training=False
    )[0]


def through_channels(x, weights, stride, dilation):
    """Depthwise convolution of [N,H,W,C] with [h,w,C,1], SAME.

    A dilated one is dilation x dilation separate ones, on the pixels that lie so far apart. Those
    go into channels: TensorFlow's own way, into the batch (SpaceToBatchND), is slower and few
    converters know it.
    """
    if dilation > 1:
        x = tf.nn.space_to_depth(x, dilation)
        weights = tf.tile(weights, [1, 1, dilation**2, 1])
    x = tf.nn.depthwise_conv2d(x, weights, strides=[1, stride, stride, 1], padding="SAME")
    return tf.nn.depth_to_space(x, dilation) if dilation > 1 else x


def relu6(x):
    return tf.nn.relu6(x)


def as_is(x, *_):
    return x


class Mode(NamedTuple):
    """How the parts of every layer are computed."""

    batch_norm: Callable  # (x, gamma, beta, moving_mean, moving_variance) -> x
    depthwise: Callable = through_channels  # (x, weights, stride, dilation) -> x
    weights: Callable = (
        as_is  # (weights, axis of their output channels) -> weights to convolve with
    )
    output: Callable = as_is  # x -> x, on each layer's output; a concatenation counts as one layer
    picture: Callable = as_is  # (images, highest value they may have) -> images
    one_logit: bool = False  # the classifier gives one logit, that of alpha, in place of two


TRAINING, INFERENCE = Mode(by_batch), Mode(by_moving)


def batch_norm(x, mode):
    """Normalize [N,H,W,C], with scale and centre."""
    channels = x.shape[3].value
    ones, zeros = tf.ones_initializer(), tf.zeros_initializer()
    with tf.variable_scope("BatchNorm"):
        gamma = tf.get_variable("gamma", channels, initializer=ones)
        beta = tf.get_variable("beta", channels, initializer=zeros)
        mean = tf.get_variable("moving_mean", channels, initializer=zeros, trainable=False)
        variance = tf.get_variable("moving_variance", channels, initializer=ones, trainable=False)
        return mode.batch_norm(x, gamma, beta, mean, variance)


def finish(x, mode, activation, concatenated):
    """Batch norm, activation (None: linear) and what the mode does to a layer's output."""
    x = batch_norm(x, mode)
    x = x if activation is None else activation(x)
    return x if concatenated else mode.output(x)


def conv(
    x,
    channels,
    mode,
    *,
    kernel=1,
    stride=1,
    activation=relu6,
    concatenated=False,
    scope="pointwise_conv",
):
    """Convolution without bias, batch norm, activation.

    [N,H,W,C] -> [N,H/stride,W/stride,channels].

    concatenated: the output goes into a concatenation; the mode sees the output of that.
    """
    with tf.variable_scope(scope):
        shape = [kernel, kernel, x.shape[3].value, channels]
        weights = tf.get_variable("weights", shape, initializer=tf.glorot_uniform_initializer())
        x = convolve(x, mode.weights(weights, 3), stride)
        return finish(x, mode, activation, concatenated)


def depthwise(
    x, mode, *, stride=1, dilation=1, activation=relu6, concatenated=False, scope="depthwise_conv"
):
    """3x3 depthwise convolution, batch norm, activation: [N,H,W,C] -> [N,H/stride,W/stride,C].

    H and W are multiples of the dilation; one of stride and dilation is 1. concatenated: as conv.
    """
    with tf.variable_scope(scope):
        shape = [3, 3, x.shape[3].value, 1]
        weights = tf.get_variable(
            "depthwise_weights", shape, initializer=tf.glorot_uniform_initializer()
        )
        x = mode.depthwise(x, mode.weights(weights, 2), stride, dilation)
        return finish(x, mode, activation, concatenated)


def classifier(x, mode, scope="pointwise_conv"):
    """1x1 convolution with bias, no norm: [N,H,W,C] -> logits [N,H,W,2].

    They are those of background and foreground. With ``mode.one_logit`` it is [N,H,W,1], foreground
    minus background, computed as one convolution.
    """
    with tf.variable_scope(scope):
        shape = [1, 1, x.shape[3].value, 2]
        weights = tf.get_variable("weights", shape, initializer=tf.glorot_uniform_initializer())
        biases = tf.get_variable("biases", 2, initializer=tf.zeros_initializer())
        if mode.one_logit:
            weights, biases = weights[..., 1:] - weights[..., :1], biases[1:] - biases[:1]
        return mode.output(convolve(x, mode.weights(weights, 3)) + biases)


def convolve(x, weights, stride=1):
    """Plain SAME convolution."""
    return tf.nn.conv2d(x, weights, strides=[1, stride, stride, 1], padding="SAME")


def upsample(x, factor):
    """Bilinear, corners not aligned (TensorFlow 1's default).

    [N,H,W,C] -> [N,factor H,factor W,C].
    """
    return tf.image.resize_bilinear(x, [x.shape[1].value * factor, x.shape[2].value * factor])
