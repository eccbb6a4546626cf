"""MODNet: three branches for semantics, details and their fusion.

Ke et al., "MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition", AAAI 2022,
arXiv 2011.11961. The low-resolution branch locates the person at 1/32 of the image. The
high-resolution branch computes the outline at 1/2. The fusion branch combines them. Layers are
named as in the authors' code, MobileNetV2 as in TensorFlow's.
"""

from typing import Callable

from mmnet.networks.layers import (
    Mode,
    Outputs,
    batch_norm,
    conv,
    conv_without_norm,
    depthwise,
    downsample,
    relu,
    upsample,
)
from mmnet.networks.mobilenet_v2 import last_conv, mobilenet_v2
from mmnet.networks.network import Network
from mmnet.tf.compat import tf

BRANCH_CHANNELS = 32
ASPP_DILATIONS = (1, 2, 4)  # branches of e-ASPP; the paper does not state the values


def modnet(images01: "tf.Tensor", network: Network, mode: Mode, *, attention: Callable) -> Outputs:
    """Build the graph, with one logit. Arguments: see mmnet().

    attention: block for the deepest features: squeeze_excite (released code) or e_aspp (paper). The
    heads ``semantic`` [N,H/16,W/16,1] and ``detail`` [N,H,W,1] are probabilities.
    """
    mode = mode._replace(epsilon=1e-5, symmetric_padding=True)
    images = images01 * 2 - 1
    with tf.variable_scope("MODNet"):
        width = network.width_multiplier
        features = mobilenet_v2(images, width, mode)
        deepest = last_conv(features[32], width, mode)
        lr8, semantic = low_resolution_branch(deepest, mode, attention)
        hr2, detail = high_resolution_branch(images, features, lr8, mode)
        logits = fusion_branch(images, lr8, hr2, mode)
    heads = {"semantic": tf.sigmoid(semantic), "detail": tf.sigmoid(detail)}
    return Outputs(logits, heads, {"backbone": deepest, "lr_branch": lr8, "hr_branch": hr2})


def low_resolution_branch(x, mode, attention):
    """Locate the person: [N,H/32,W/32,C] -> features [N,H/8,W/8,32], logits [N,H/16,W/16,1]."""
    with tf.variable_scope("lr_branch"):
        x = attention(x, mode)
        x = conv_ibn_relu(upsample2x(x), 96, mode, kernel=5, scope="conv_lr16x")
        x = conv_ibn_relu(upsample2x(x), BRANCH_CHANNELS, mode, kernel=5, scope="conv_lr8x")
        return x, conv_to_logit(x, mode, kernel=3, stride=2, scope="conv_lr")


def high_resolution_branch(images, features, lr8, mode):
    """Compute the outline from images and features: features [N,H/2,W/2,32], logits [N,H,W,1]."""
    wide, narrow = 2 * BRANCH_CHANNELS, BRANCH_CHANNELS
    with tf.variable_scope("hr_branch"):
        enc2 = conv_ibn_relu(features[2], narrow, mode, scope="tohr_enc2x")
        x = concat(downsample(images, 2), enc2)
        x = conv_ibn_relu(x, narrow, mode, kernel=3, stride=2, scope="conv_enc2x")
        enc4 = conv_ibn_relu(features[4], narrow, mode, scope="tohr_enc4x")
        x = conv_ibn_relu(concat(x, enc4), wide, mode, kernel=3, scope="conv_enc4x")
        x = concat(x, upsample2x(lr8), downsample(images, 4))
        for index, channels in enumerate((wide, wide, narrow)):
            x = conv_ibn_relu(x, channels, mode, kernel=3, scope=f"conv_hr4x_{index}")
        x = concat(upsample2x(x), enc2)
        for index, channels in enumerate((wide, narrow, narrow, narrow)):
            x = conv_ibn_relu(x, channels, mode, kernel=3, scope=f"conv_hr2x_{index}")
        detail = concat(upsample2x(x), images)
        detail = conv_ibn_relu(detail, narrow, mode, kernel=3, scope="conv_hr_0")
        return x, conv_to_logit(detail, mode, scope="conv_hr_1")


def fusion_branch(images, lr8, hr2, mode):
    """Combine both branches: logits [N,H,W,1]."""
    with tf.variable_scope("f_branch"):
        x = conv_ibn_relu(upsample2x(lr8), BRANCH_CHANNELS, mode, kernel=5, scope="conv_lr4x")
        x = concat(upsample2x(x), hr2)
        x = conv_ibn_relu(x, BRANCH_CHANNELS, mode, kernel=3, scope="conv_f2x")
        x = concat(upsample2x(x), images)
        x = conv_ibn_relu(x, BRANCH_CHANNELS // 2, mode, kernel=3, scope="conv_f_0")
        return conv_to_logit(x, mode, scope="conv_f_1")


def squeeze_excite(x, mode):
    """Weight channels by the content of the whole image (Hu et al., CVPR 2018)."""
    channels = x.shape[3].value
    with tf.variable_scope("se_block"):
        image_mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        with tf.variable_scope("squeeze"):
            squeezed = conv_without_norm(image_mean, channels // 4, mode)
            squeezed = mode.output(relu(squeezed))
        with tf.variable_scope("excite"):
            channel_weights = tf.sigmoid(conv_without_norm(squeezed, channels, mode))
        return mode.output(x * channel_weights)


def e_aspp(x, mode):
    """Combine several dilations: the efficient ASPP of the paper.

    A quarter of the channels passes through one dilated depthwise convolution per branch. Their sum
    is expanded to all channels.
    """
    channels = x.shape[3].value
    with tf.variable_scope("e_aspp"):
        x = conv(x, channels // 4, mode, activation=relu, scope="reduce")
        branches = []
        for index, dilation in enumerate(ASPP_DILATIONS):
            scope = f"branch{index}"
            branches.append(depthwise(x, mode, dilation=dilation, activation=None, scope=scope))
        x = mode.output(relu(tf.add_n(branches)))
        return conv(x, channels, mode, activation=relu, scope="fuse")


def conv_ibn_relu(x, channels, mode, *, kernel=1, stride=1, scope):
    """Apply a convolution with bias, batch norm to the first half of the channels, instance norm to
    the second half, and ReLU.
    """
    with tf.variable_scope(scope):
        x = conv_with_bias(x, channels, mode, kernel=kernel, stride=stride)
        batch_half, instance_half = tf.split(x, 2, axis=3)
        mean, variance = tf.nn.moments(instance_half, [1, 2], keepdims=True)
        instance_half = (instance_half - mean) * tf.rsqrt(variance + mode.epsilon)
        x = tf.concat([batch_norm(batch_half, mode), instance_half], axis=3)
        return mode.output(relu(x))


def conv_to_logit(x, mode, *, kernel=1, stride=1, scope):
    """Apply a convolution with bias to one channel."""
    with tf.variable_scope(scope):
        return mode.output(conv_with_bias(x, 1, mode, kernel=kernel, stride=stride))


def conv_with_bias(x, channels, mode, *, kernel, stride):
    """Apply a convolution and add a bias. Both variables belong to the current scope."""
    x = conv_without_norm(x, channels, mode, kernel=kernel, stride=stride)
    return x + tf.get_variable("biases", channels, initializer=tf.zeros_initializer())


def concat(*tensors):
    return tf.concat(tensors, axis=3)


def upsample2x(x):
    """Double the resolution bilinearly, with half-pixel centres.

    TensorFlow 1.15's TFLite converter ignores the option for half-pixel centres. So this function
    upsamples with aligned corners and averages neighbouring pixels, which moves the grid by half a
    pixel of the result.
    """
    x = tf.concat([x[:, :1], x], axis=1)
    x = tf.concat([x[:, :, :1], x], axis=2)
    x = upsample(x, 2)[:, 1:, 1:]
    return tf.nn.avg_pool(x, [1, 2, 2, 1], [1, 1, 1, 1], "VALID")
