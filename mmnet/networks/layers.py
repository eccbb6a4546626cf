"""Layers of networks, with the variable names of the published checkpoints.

Tensors are float32 [N,H,W,C]. A layer opens its variable scope and creates its variables there:
``weights`` or ``depthwise_weights``, then ``BatchNorm/{gamma,beta,moving_mean,moving_variance}`` or
``biases``. A Mode selects how layers compute: for training, for inference or quantized.
"""

import zlib
from functools import partial
from typing import Callable, Dict, NamedTuple, Optional

import numpy as np

from mmnet.tf.compat import tf

BATCH_NORM_EPSILON = 1e-3
BATCH_STATISTICS = "batch_statistics"  # collection of (moving statistic, batch statistic)


class Outputs(NamedTuple):
    """The result of a network function."""

    logits: "tf.Tensor"  # [N,H,W,2]: background, foreground; or [N,H,W,1]: their difference
    heads: Dict[str, "tf.Tensor"]  # outputs that only training uses, by name
    endpoints: Dict[str, "tf.Tensor"]  # block -> its output
    images01: Optional["tf.Tensor"] = None  # [N,H,W,C], 0..1: input of the network function


def identity(x, *_):
    return x


def glorot_uniform(seed):
    return tf.glorot_uniform_initializer(seed)


def batch_norm_training(x, gamma, beta, moving_mean, moving_variance, epsilon):
    """Normalize with the statistics of the batch.

    The pairs (moving statistic, batch statistic) go to the collection BATCH_STATISTICS. The
    training step updates the moving statistics from it.
    """
    x, mean, variance = tf.nn.fused_batch_norm(x, gamma, beta, epsilon=epsilon, is_training=True)
    tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
    tf.add_to_collection(BATCH_STATISTICS, (moving_variance, variance))
    return x


def batch_norm_inference(x, gamma, beta, moving_mean, moving_variance, epsilon):
    """Normalize with the moving statistics."""
    return tf.nn.fused_batch_norm(
        x, gamma, beta, moving_mean, moving_variance, epsilon=epsilon, is_training=False
    )[0]


def batch_norm_over_group(
    x, gamma, beta, moving_mean, moving_variance, epsilon, *, mean_over_group, group_size
):
    """Normalize with the statistics of the batches of all processes (see mode_for_group)."""
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    # The difference of two squares loses digits unless the mean is near 0. The moving mean is near
    # the batch mean and is equal in all processes, so it serves as the origin.
    offset = mean - moving_mean
    moments = mean_over_group(tf.concat([offset, variance + offset**2], 0))
    offset, mean_square = tf.split(moments, 2)
    mean, variance = offset + moving_mean, mean_square - offset**2
    count = group_size * int(np.prod(x.shape.as_list()[:3]))
    unbiased_variance = variance * count / (count - 1)  # fused_batch_norm returns the same
    tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
    tf.add_to_collection(BATCH_STATISTICS, (moving_variance, unbiased_variance))
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)


def dropout(x, keep, *, rank=0, group_size=1):
    """Set values to zero and scale the others by 1 / keep.

    The random numbers depend on the graph's seed, the scope and the global step, so a resumed
    training is bit-equal. Each process draws the numbers of the whole batch and uses its own part,
    so a group drops the same values as one process.
    """
    step = tf.train.get_global_step()
    scope_seed = seed_from_name(tf.get_variable_scope().name)
    seed = [(tf.get_default_graph().seed or 0) ^ scope_seed, 0 if step is None else step]
    batch_size, *sizes = x.shape.as_list()
    random = tf.random.stateless_uniform([group_size * batch_size] + sizes, tf.stack(seed))
    is_kept = random[rank * batch_size : (rank + 1) * batch_size] < keep
    return tf.where(is_kept, x / keep, tf.zeros_like(x))


class Mode(NamedTuple):
    """How layers compute."""

    batch_norm: Callable  # (x, gamma, beta, moving_mean, moving_variance, epsilon) -> x
    weights: Callable = identity  # (weights, axis of the output channels) -> weights to apply
    output: Callable = identity  # output of a layer or of a concatenation -> output
    images: Callable = identity  # (images, highest possible value) -> images
    dropout: Callable = identity  # (x, fraction to keep) -> x
    single_logit: bool = False  # classifier: one logit (foreground - background) instead of two
    # A network function sets these for its layers.
    epsilon: float = BATCH_NORM_EPSILON  # in batch norm
    initializer: Callable = glorot_uniform  # seed -> initializer of weights
    symmetric_padding: bool = False  # pad strided convolutions as PyTorch does, not as SAME does


TRAINING = Mode(batch_norm_training, dropout=dropout)
INFERENCE = Mode(batch_norm_inference)


def mode_for_group(
    mode: Mode, *, rank: int, group_size: int, mean_over_group: Optional[Callable] = None
) -> Mode:
    """Return the mode of the process ``rank``, given the mode of a single process.

    ``mean_over_group`` maps float32 [n] to the mean over the processes and averages its gradient,
    too. None: do not synchronize batch norm.
    """
    if mode.dropout is dropout:
        mode = mode._replace(dropout=partial(dropout, rank=rank, group_size=group_size))
    if mean_over_group is not None and mode.batch_norm is batch_norm_training:
        group = {"mean_over_group": mean_over_group, "group_size": group_size}
        mode = mode._replace(batch_norm=partial(batch_norm_over_group, **group))
    return mode


def relu(x):
    return tf.nn.relu(x)


def relu6(x):
    return tf.nn.relu6(x)


def scale_channels(channels, width_multiplier):
    """Return ``channels * width_multiplier`` rounded to a multiple of 8 (half up), at least 8."""
    scaled = int(channels * width_multiplier + 0.5)
    return max(8, (scaled + 4) // 8 * 8)


def conv(
    x,
    channels,
    mode,
    *,
    kernel=1,
    stride=1,
    activation=relu6,
    before_concat=False,
    scope="pointwise_conv",
):
    """Apply a convolution without bias, batch norm and an activation.

    [N,H,W,C] -> [N,H/stride,W/stride,channels].

    Args:
        activation: None for a linear layer.
        before_concat: the output is an input of a concatenation. ``mode.output`` is then applied to
            the concatenation instead of this layer.
    """
    with tf.variable_scope(scope):
        x = conv_without_norm(x, channels, mode, kernel=kernel, stride=stride)
        return _normalize_and_activate(x, mode, activation, before_concat)


def depthwise(
    x, mode, *, stride=1, dilation=1, activation=relu6, before_concat=False, scope="depthwise_conv"
):
    """Apply a 3x3 depthwise convolution, batch norm and an activation.

    [N,H,W,C] -> [N,H/stride,W/stride,C]. Either stride or dilation is 1. See ``conv`` for the
    arguments.
    """
    with tf.variable_scope(scope):
        weights = _create_weights("depthwise_weights", [3, 3, x.shape[3].value, 1], mode)
        x, padding = _pad(x, 3, stride, mode)
        x = _depthwise_conv(x, mode.weights(weights, 2), stride, dilation, padding)
        return _normalize_and_activate(x, mode, activation, before_concat)


def conv_without_norm(x, channels, mode, *, kernel=1, stride=1):
    """Apply only a convolution. It creates ``weights`` in the current scope."""
    weights = _create_weights("weights", [kernel, kernel, x.shape[3].value, channels], mode)
    x, padding = _pad(x, kernel, stride, mode)
    strides = [1, stride, stride, 1]
    return tf.nn.conv2d(x, mode.weights(weights, 3), strides=strides, padding=padding)


def classifier(x, mode, *, scope="pointwise_conv"):
    """Apply a 1x1 convolution with bias: [N,H,W,C] -> logits [N,H,W,2] (background, foreground).

    With ``mode.single_logit`` the result is [N,H,W,1]: foreground minus background.
    """
    with tf.variable_scope(scope):
        weights = _create_weights("weights", [1, 1, x.shape[3].value, 2], mode)
        biases = tf.get_variable("biases", 2, initializer=tf.zeros_initializer())
        if mode.single_logit:
            weights, biases = weights[..., 1:] - weights[..., :1], biases[1:] - biases[:1]
        x = tf.nn.conv2d(x, mode.weights(weights, 3), strides=[1, 1, 1, 1], padding="SAME")
        return mode.output(x + biases)


def batch_norm(x, mode):
    """Normalize [N,H,W,C], with scale and centre."""
    channels = x.shape[3].value
    ones, zeros = tf.ones_initializer(), tf.zeros_initializer()
    with tf.variable_scope("BatchNorm"):
        gamma = tf.get_variable("gamma", channels, initializer=ones)
        beta = tf.get_variable("beta", channels, initializer=zeros)
        mean = tf.get_variable("moving_mean", channels, initializer=zeros, trainable=False)
        variance = tf.get_variable("moving_variance", channels, initializer=ones, trainable=False)
        return mode.batch_norm(x, gamma, beta, mean, variance, mode.epsilon)


def upsample(x, factor):
    """Enlarge [N,H,W,C] bilinearly, with aligned top-left corners (TensorFlow 1's default)."""
    return tf.image.resize_bilinear(x, [x.shape[1].value * factor, x.shape[2].value * factor])


def downsample(x, factor):
    """Reduce [N,H,W,C] bilinearly by an even factor, with half-pixel centres.

    An output pixel is the mean of the four central pixels of its factor x factor block.
    """
    height, width = x.shape.as_list()[1:3]
    edge = factor // 2 - 1
    centres = x[:, edge : height - edge, edge : width - edge]
    return tf.nn.avg_pool(centres, [1, 2, 2, 1], [1, factor, factor, 1], "VALID")


def seed_from_name(name: str) -> int:
    """Return a number from 0 to 2**31 - 1 that depends only on the name."""
    return zlib.crc32(name.encode()) % 2**31


def _create_weights(name, shape, mode):
    """Create a variable whose initial value depends only on the graph's seed and its name.

    TensorFlow would derive the seed from the number of operations in the graph. The initial weights
    would then differ between devices and between numbers of processes.
    """
    seed = seed_from_name(f"{tf.get_variable_scope().name}/{name}")
    return tf.get_variable(name, shape, initializer=mode.initializer(seed))


def _pad(x, kernel, stride, mode):
    """Apply symmetric padding if the mode requests it. Return x and the padding still to apply."""
    if not mode.symmetric_padding or stride == 1:
        return x, "SAME"
    border = [kernel // 2] * 2
    return tf.pad(x, [[0, 0], border, border, [0, 0]]), "VALID"


def _depthwise_conv(x, weights, stride, dilation, padding):
    """Convolve [N,H,W,C] with [h,w,C,1].

    Dilation is computed with space_to_depth: the interleaved sub-images become channels. Few
    converters know TensorFlow's own way (SpaceToBatchND), and it is slower.
    """
    if dilation == 1:
        strides = [1, stride, stride, 1]
        return tf.nn.depthwise_conv2d(x, weights, strides=strides, padding=padding)
    height, width = x.shape.as_list()[1:3]
    extra_rows, extra_columns = -height % dilation, -width % dilation
    is_uneven = extra_rows > 0 or extra_columns > 0
    if is_uneven:
        x = tf.pad(x, [[0, 0], [0, extra_rows], [0, extra_columns], [0, 0]])
    x = tf.nn.space_to_depth(x, dilation)
    weights = tf.tile(weights, [1, 1, dilation**2, 1])
    x = tf.nn.depthwise_conv2d(x, weights, strides=[1, 1, 1, 1], padding="SAME")
    x = tf.nn.depth_to_space(x, dilation)
    return x[:, :height, :width] if is_uneven else x


def _normalize_and_activate(x, mode, activation, before_concat):
    x = batch_norm(x, mode)
    if activation is not None:
        x = activation(x)
    return x if before_concat else mode.output(x)
