"""MODNet: Ke et al., "MODNet: Real-Time Trimap-Free Portrait Matting", AAAI 2022.

arXiv 2011.11961. One branch finds where the person is at 1/32 of the picture, one draws the outline
at a half of it, and the last joins them. Layers are named as in the authors' code, MobileNetV2's as
in TensorFlow's.
"""

from mmnet.networks.layers import (
    Outputs,
    Style,
    batch_norm,
    conv,
    depthwise,
    downsample,
    linear,
    relu,
    upsample,
)
from mmnet.networks.mobilenet_v2 import LAST, mobilenet_v2, scale_channels
from mmnet.tf.compat import tf

STYLE = Style(epsilon=1e-5, symmetric=True)
DEPTH = 32  # channels of the branch of the outline
DILATIONS = (1, 2, 4)  # of e-ASPP's branches; the paper does not say which


def modnet(images01, network, mode, attention):
    """Build the network.

    Args:
        images01: float32 [N,H,W,C] in 0..1, RGB; H and W are multiples of 32. network: Network;
            its width_multiplier is MobileNetV2's. mode: layers.Mode.
        attention: what is done to the deepest features: squeeze_excite (as released), or e_aspp
            (as in the paper).

    Returns:
        Outputs: one logit. The heads ``semantic`` [N,H/16,W/16,1] and ``detail`` [N,H,W,1] are
        probabilities.
    """
    images = images01 * 2 - 1
    with tf.variable_scope("MODNet"):
        width = network.width_multiplier
        taps = mobilenet_v2(images, width, mode, style=STYLE)
        with tf.variable_scope("MobilenetV2"):
            channels = scale_channels(LAST, max(1.0, width))
            deepest = conv(taps[32], channels, mode, scope="Conv_1", style=STYLE)
        lr8, semantic = low_resolution(deepest, mode, attention)
        hr2, detail = high_resolution(images, taps, lr8, mode)
        logits = fusion(images, lr8, hr2, mode)
    heads = {"semantic": tf.sigmoid(semantic), "detail": tf.sigmoid(detail)}
    return Outputs(logits, heads, {"backbone": deepest, "lr_branch": lr8, "hr_branch": hr2})


def low_resolution(x, mode, attention):
    """Where the person is: [N,H/32,W/32,C] -> ([N,H/8,W/8,32], logits [N,H/16,W/16,1])."""
    with tf.variable_scope("lr_branch"):
        x = attention(x, mode)
        x = layer(enlarge(x), 96, mode, kernel=5, scope="conv_lr16x")
        x = layer(enlarge(x), DEPTH, mode, kernel=5, scope="conv_lr8x")
        return x, bare(x, mode, kernel=3, stride=2, scope="conv_lr")


def high_resolution(images, taps, lr8, mode):
    """The outline: features of stride 2 and 4 -> ([N,H/2,W/2,32], logits [N,H,W,1])."""
    with tf.variable_scope("hr_branch"):
        enc2 = layer(taps[2], DEPTH, mode, scope="tohr_enc2x")
        x = together(downsample(images, 2), enc2)
        x = layer(x, DEPTH, mode, kernel=3, stride=2, scope="conv_enc2x")
        enc4 = layer(taps[4], DEPTH, mode, scope="tohr_enc4x")
        x = layer(together(x, enc4), 2 * DEPTH, mode, kernel=3, scope="conv_enc4x")
        x = together(x, enlarge(lr8), downsample(images, 4))
        for index, channels in enumerate((2 * DEPTH, 2 * DEPTH, DEPTH)):
            x = layer(x, channels, mode, kernel=3, scope="conv_hr4x_%d" % index)
        x = together(enlarge(x), enc2)
        for index, channels in enumerate((2 * DEPTH, DEPTH, DEPTH, DEPTH)):
            x = layer(x, channels, mode, kernel=3, scope="conv_hr2x_%d" % index)
        detail = together(enlarge(x), images)
        detail = layer(detail, DEPTH, mode, kernel=3, scope="conv_hr_0")
        return x, bare(detail, mode, scope="conv_hr_1")


def fusion(images, lr8, hr2, mode):
    """Both joined: logits [N,H,W,1]."""
    with tf.variable_scope("f_branch"):
        x = layer(enlarge(lr8), DEPTH, mode, kernel=5, scope="conv_lr4x")
        x = layer(together(enlarge(x), hr2), DEPTH, mode, kernel=3, scope="conv_f2x")
        x = together(enlarge(x), images)
        x = layer(x, DEPTH // 2, mode, kernel=3, scope="conv_f_0")
        return bare(x, mode, scope="conv_f_1")


def squeeze_excite(x, mode):
    """Weigh each channel by what the whole picture holds (Hu et al., CVPR 2018)."""
    channels = x.shape[3].value
    with tf.variable_scope("se_block"):
        whole = tf.reduce_mean(x, [1, 2], keepdims=True)
        with tf.variable_scope("squeeze"):
            squeezed = mode.output(relu(linear(whole, channels // 4, mode, style=STYLE)))
        with tf.variable_scope("excite"):
            weights = tf.sigmoid(linear(squeezed, channels, mode, style=STYLE))
        return mode.output(x * weights)


def e_aspp(x, mode):
    """What lies around each place at several distances: the paper's efficient ASPP.

    On a quarter of the channels, one dilated depthwise convolution a distance, summed; then one
    convolution between channels.
    """
    channels = x.shape[3].value
    with tf.variable_scope("e_aspp"):
        x = conv(x, channels // 4, mode, activation=relu, scope="reduce", style=STYLE)
        branches = [
            depthwise(
                x, mode, dilation=dilation, activation=None, scope="branch%d" % index, style=STYLE
            )
            for index, dilation in enumerate(DILATIONS)
        ]
        x = mode.output(relu(tf.add_n(branches)))
        return conv(x, channels, mode, activation=relu, scope="fuse", style=STYLE)


def layer(x, channels, mode, *, kernel=1, stride=1, scope):
    """Convolution with bias, half batch norm and half instance norm, ReLU."""
    with tf.variable_scope(scope):
        x = biased(x, channels, mode, kernel=kernel, stride=stride)
        batch_norm_training, by_picture = tf.split(x, 2, axis=3)
        mean, variance = tf.nn.moments(by_picture, [1, 2], keepdims=True)
        by_picture = (by_picture - mean) * tf.rsqrt(variance + STYLE.epsilon)
        x = tf.concat([batch_norm(batch_norm_training, mode, STYLE), by_picture], axis=3)
        return mode.output(relu(x))


def bare(x, mode, *, kernel=1, stride=1, scope):
    """Convolution with bias to one channel."""
    with tf.variable_scope(scope):
        return mode.output(biased(x, 1, mode, kernel=kernel, stride=stride))


def biased(x, channels, mode, *, kernel, stride):
    """Convolution and bias, in the scope it stands in."""
    x = linear(x, channels, mode, kernel=kernel, stride=stride, style=STYLE)
    return x + tf.get_variable("biases", channels, initializer=tf.zeros_initializer())


def together(*parts):
    return tf.concat(parts, axis=3)


def enlarge(x):
    """Twice as large, bilinear, pixels' centres half a pixel from the border.

    TensorFlow 1.15's converter to TFLite takes that resizing for the one without the half pixel.
    So it is made of that one, u: x here is the mean of u there and half a pixel (one of u's)
    before.
    """
    x = tf.concat([x[:, :1], x], axis=1)
    x = tf.concat([x[:, :, :1], x], axis=2)
    u = upsample(x, 2)[:, 1:, 1:]
    return tf.nn.avg_pool(u, [1, 2, 2, 1], [1, 1, 1, 1], "VALID")
