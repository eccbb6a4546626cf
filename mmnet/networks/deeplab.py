"""Mobile DeepLabv3, the baseline of MMNet's paper (arXiv 1904.03816, section 4.3).

MobileNetV2's features with strides turned into dilations, Chen et al.'s image pooling beside a 1x1
convolution (arXiv 1706.05587), no dilated branches and no decoder. The scopes are the published
checkpoints'. Published, the moving statistics of the head follow at a decay of .9997 and those of
the features at .999; here --batch_norm_decay holds for both.
"""

from mmnet.networks.layers import Outputs, Style, classifier, conv, relu
from mmnet.networks.mobilenet_v2 import mobilenet_v2
from mmnet.tf.compat import tf

DEPTH = 256  # channels of the head, whatever the width
KEEP = 0.9  # share of the head's features that dropout leaves in training


def _initializer(seed):
    return tf.truncated_normal_initializer(stddev=0.09, seed=seed)


STYLE = Style(epsilon=1e-5, initializer=_initializer)


def deeplab(images01, network, mode, output_stride):
    """Build the network.

    Args:
        images01: float32 [N,H,W,C] in 0..1, RGB; H and W are multiples of 32. network: Network.
        mode: layers.Mode. output_stride: 8 or 16, of the features.

    Returns:
        Outputs; no heads.
    """
    with tf.variable_scope("DeepLab"):
        width = network.width_multiplier
        features = mobilenet_v2(images01, width, mode, output_stride=output_stride, style=STYLE)[
            output_stride
        ]
        with tf.variable_scope("aspp"):
            x = head(features, mode)
        logits = classifier(x, mode, scope="logits", style=STYLE)
    logits = tf.image.resize_bilinear(logits, images01.shape.as_list()[1:3], align_corners=True)
    return Outputs(logits, heads={}, endpoints={"features": features, "aspp": x})


def head(features, mode):
    """What each place holds beside what the picture holds: [N,h,w,C] -> [N,h,w,DEPTH]."""
    with tf.variable_scope("aspp_pool"):
        whole = tf.reduce_mean(features, [1, 2], keepdims=True)
        whole = _conv(whole, mode)
        whole = tf.image.resize_bilinear(whole, features.shape.as_list()[1:3], align_corners=True)
    with tf.variable_scope("aspp_1x1conv"):
        local = _conv(features, mode)
    with tf.variable_scope("concat"):
        x = _conv(mode.output(tf.concat([local, whole], axis=3)), mode, concatenated=False)
        return mode.dropout(x, KEEP)


def _conv(x, mode, concatenated=True):
    return conv(
        x, DEPTH, mode, activation=relu, concatenated=concatenated, scope="Conv", style=STYLE
    )
