"""The operations that networks are made of, under the variable names of published checkpoints.

Every tensor is NHWC float32. A layer opens the scope it is given and creates its variables there:
``weights`` or ``depthwise_weights``, then ``BatchNorm/{gamma,beta,moving_mean,moving_variance}`` or
``biases``. A Mode says how its parts are computed; quantization.py has two more.
"""

import zlib
from functools import partial
from typing import Callable, Dict, NamedTuple, Optional

import numpy as np

from mmnet.distributed.group import ALONE, mean_in_backward_too
from mmnet.tf.compat import tf

BATCH_NORM_EPSILON = 1e-3
BATCH_STATISTICS = "batch_statistics"


class Style(NamedTuple):
    """What networks do differently in every layer."""

    epsilon: float = BATCH_NORM_EPSILON  # of batch norm
    # Of weights: seed -> initializer.
    initializer: Callable = lambda seed: tf.glorot_uniform_initializer(seed)
    # A convolution with a stride pads alike on both sides; SAME pads less before than after.
    symmetric: bool = False


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


def batch_norm_training(x, gamma, beta, moving_mean, moving_variance, epsilon):
    """Batch norm by the batch's statistics.

    Each (moving statistic, batch statistic) goes to the collection BATCH_STATISTICS: the training
    step moves the one towards the other.
    """
    x, mean, variance = tf.nn.fused_batch_norm(x, gamma, beta, epsilon=epsilon, is_training=True)
    tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
    tf.add_to_collection(BATCH_STATISTICS, (moving_variance, variance))
    return x


def batch_norm_inference(x, gamma, beta, moving_mean, moving_variance, epsilon):
    """Batch norm by the moving statistics."""
    return tf.nn.fused_batch_norm(
        x, gamma, beta, moving_mean, moving_variance, epsilon=epsilon, is_training=False
    )[0]


def through_channels(x, weights, stride, dilation, padding="SAME"):
    """Depthwise convolution of [N,H,W,C] with [h,w,C,1].

    A dilated one is dilation x dilation separate ones, on the pixels that lie so far apart. Those
    go into channels: TensorFlow's own way, into the batch (SpaceToBatchND), is slower and few
    converters know it.
    """
    if dilation == 1:
        strides = [1, stride, stride, 1]
        return tf.nn.depthwise_conv2d(x, weights, strides=strides, padding=padding)
    height, width = x.shape.as_list()[1:3]
    beyond = [-height % dilation, -width % dilation]  # zeros, as a convolution pads with
    if any(beyond):
        x = tf.pad(x, [[0, 0], [0, beyond[0]], [0, beyond[1]], [0, 0]])
    x = tf.nn.space_to_depth(x, dilation)
    weights = tf.tile(weights, [1, 1, dilation**2, 1])
    x = tf.nn.depthwise_conv2d(x, weights, strides=[1, 1, 1, 1], padding="SAME")
    x = tf.nn.depth_to_space(x, dilation)
    return x[:, :height, :width] if any(beyond) else x


def by_group(group):
    """batch_norm_training with the statistics of all the batches of a cluster.engines.Group."""

    def by_all_batches(x, gamma, beta, moving_mean, moving_variance, epsilon):
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        # The difference of two squares is exact where the mean is near 0: it is taken from the
        # moving one, which all have in common.
        off = mean - moving_mean
        both = mean_in_backward_too(tf.concat([off, variance + off**2], 0), group)
        off, square = tf.split(both, 2)
        mean, variance = off + moving_mean, square - off**2
        count = group.size * int(np.prod(x.shape.as_list()[:3]))
        tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
        # As fused_batch_norm has it: what is kept is divided by count - 1.
        kept = variance * count / (count - 1)
        tf.add_to_collection(BATCH_STATISTICS, (moving_variance, kept))
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)

    return by_all_batches


def dropout(x, keep, group=ALONE):
    """Drop values and enlarge the others, as dropout does.

    Which ones follows from graph seed, scope and global step: a run that goes on drops what it
    would have dropped, and each process of a group what one alone would have dropped of its part.
    """
    step = tf.train.get_global_step()
    place = seed_from_name(tf.get_variable_scope().name)
    seed = [(tf.get_default_graph().seed or 0) ^ place, 0 if step is None else step]
    pictures, *sides = x.shape.as_list()
    drawn = tf.random.stateless_uniform([group.size * pictures] + sides, tf.stack(seed))
    kept = drawn[group.rank * pictures : (group.rank + 1) * pictures] < keep
    return tf.where(kept, x / keep, tf.zeros_like(x))


def relu(x):
    return tf.nn.relu(x)


def relu6(x):
    return tf.nn.relu6(x)


def identity(x, *_):
    return x


class Mode(NamedTuple):
    """How the parts of every layer are computed."""

    batch_norm: Callable  # (x, gamma, beta, moving_mean, moving_variance, epsilon) -> x
    depthwise: Callable = through_channels  # (x, weights, stride, dilation, padding) -> x
    weights: Callable = (
        identity  # (weights, axis of their output channels) -> weights to convolve with
    )
    output: Callable = (
        identity  # x -> x, on each layer's output; a concatenation counts as one layer
    )
    picture: Callable = identity  # (images, highest value they may have) -> images
    single_logit: bool = False  # the classifier gives one logit, that of alpha, in place of two
    dropout: Callable = identity  # (x, share that is kept) -> x


PLAIN = Style()
TRAINING, INFERENCE = Mode(batch_norm_training, dropout=dropout), Mode(batch_norm_inference)


def mode_in(group, mode, synchronised=False):
    """The Mode of one process of a group.

    synchronised: batch norm takes the statistics of all their batches, where it takes a batch's.
    """
    if group.size == 1:
        return mode
    if mode.dropout is dropout:
        mode = mode._replace(dropout=partial(dropout, group=group))
    if synchronised and mode.batch_norm is batch_norm_training:
        mode = mode._replace(batch_norm=by_group(group))
    return mode


def batch_norm(x, mode, style=PLAIN):
    """Normalize [N,H,W,C], with scale and centre."""
    channels = x.shape[3].value
    ones, zeros = tf.ones_initializer(), tf.zeros_initializer()
    with tf.variable_scope("BatchNorm"):
        gamma = tf.get_variable("gamma", channels, initializer=ones)
        beta = tf.get_variable("beta", channels, initializer=zeros)
        mean = tf.get_variable("moving_mean", channels, initializer=zeros, trainable=False)
        variance = tf.get_variable("moving_variance", channels, initializer=ones, trainable=False)
        return mode.batch_norm(x, gamma, beta, mean, variance, style.epsilon)


def finish(x, mode, activation, concatenated, style):
    """Batch norm, activation (None: linear) and what the mode does to a layer's output."""
    x = batch_norm(x, mode, style)
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
    style=PLAIN,
):
    """Convolution without bias, batch norm, activation.

    [N,H,W,C] -> [N,H/stride,W/stride,channels].

    concatenated: the output goes into a concatenation; the mode sees the output of that.
    """
    with tf.variable_scope(scope):
        x = linear(x, channels, mode, kernel=kernel, stride=stride, style=style)
        return finish(x, mode, activation, concatenated, style)


def linear(x, channels, mode, *, kernel=1, stride=1, style=PLAIN):
    """Convolution alone, in the scope it stands in: as conv's."""
    shape = [kernel, kernel, x.shape[3].value, channels]
    weights = weights_of("weights", shape, style)
    x, padding = padded(x, kernel, stride, style)
    return convolve(x, mode.weights(weights, 3), stride, padding)


def depthwise(
    x,
    mode,
    *,
    stride=1,
    dilation=1,
    activation=relu6,
    concatenated=False,
    scope="depthwise_conv",
    style=PLAIN,
):
    """3x3 depthwise convolution, batch norm, activation: [N,H,W,C] -> [N,H/stride,W/stride,C].

    One of stride and dilation is 1. concatenated: as conv.
    """
    with tf.variable_scope(scope):
        shape = [3, 3, x.shape[3].value, 1]
        weights = weights_of("depthwise_weights", shape, style)
        x, padding = padded(x, 3, stride, style)
        x = mode.depthwise(x, mode.weights(weights, 2), stride, dilation, padding)
        return finish(x, mode, activation, concatenated, style)


def weights_of(name, shape, style):
    """A layer's weights; their first values follow from the graph's seed and their name alone.

    (TensorFlow would count the operations made before: another graph around the network, for a GPU
    or for several processes, would begin with other weights.)
    """
    seed = seed_from_name("%s/%s" % (tf.get_variable_scope().name, name))
    return tf.get_variable(name, shape, initializer=style.initializer(seed))


def seed_from_name(name):
    """A number below 2**31 for a name."""
    return zlib.crc32(name.encode()) % 2**31


def padded(x, kernel, stride, style):
    """(x, with what the style pads it with; the padding that is left to the convolution)."""
    if not style.symmetric or stride == 1:
        return x, "SAME"
    sides = [kernel // 2] * 2
    return tf.pad(x, [[0, 0], sides, sides, [0, 0]]), "VALID"


def classifier(x, mode, scope="pointwise_conv", style=PLAIN):
    """1x1 convolution with bias, no norm: [N,H,W,C] -> logits [N,H,W,2].

    They are those of background and foreground. With ``mode.single_logit`` it is [N,H,W,1], foreground
    minus background, computed as one convolution.
    """
    with tf.variable_scope(scope):
        shape = [1, 1, x.shape[3].value, 2]
        weights = weights_of("weights", shape, style)
        biases = tf.get_variable("biases", 2, initializer=tf.zeros_initializer())
        if mode.single_logit:
            weights, biases = weights[..., 1:] - weights[..., :1], biases[1:] - biases[:1]
        return mode.output(convolve(x, mode.weights(weights, 3)) + biases)


def convolve(x, weights, stride=1, padding="SAME"):
    """Plain convolution."""
    return tf.nn.conv2d(x, weights, strides=[1, stride, stride, 1], padding=padding)


def upsample(x, factor):
    """Bilinear, corners not aligned (TensorFlow 1's default).

    [N,H,W,C] -> [N,factor H,factor W,C].
    """
    return tf.image.resize_bilinear(x, [x.shape[1].value * factor, x.shape[2].value * factor])


def downsample(x, factor):
    """Bilinear, pixels' centres half a pixel from the border: the mean of the four in the middle.

    [N,H,W,C] -> [N,H/factor,W/factor,C]; factor is even.
    """
    height, width = x.shape.as_list()[1:3]
    edge = factor // 2 - 1
    inside = x[:, edge : height - edge, edge : width - edge]
    return tf.nn.avg_pool(inside, [1, 2, 2, 1], [1, factor, factor, 1], "VALID")
