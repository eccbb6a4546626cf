"""Mobile DeepLabv3, the baseline of the MMNet paper (arXiv 1904.03816, section 4.3).

It consists of MobileNetV2's features, in which dilations replace the late strides, and a head with
a 1x1 convolution and image pooling (Chen et al., arXiv 1706.05587). It has no dilated branches and
no decoder. Variable scopes equal the published checkpoints. The published training used decay .999
for the moving statistics of the features and .9997 for the head; here one decay applies to both.
"""

from mmnet.networks.layers import Mode, Outputs, classifier, conv, relu
from mmnet.networks.mobilenet_v2 import mobilenet_v2
from mmnet.networks.network import Network
from mmnet.tf.compat import tf

HEAD_CHANNELS = 256  # for every width multiplier
DROPOUT_KEEP = 0.9  # fraction of the head's features that dropout keeps


def _truncated_normal(seed):
    return tf.truncated_normal_initializer(stddev=0.09, seed=seed)


def deeplab(images01: "tf.Tensor", network: Network, mode: Mode, *, output_stride: int) -> Outputs:
    """Build the graph, without heads. Arguments: see mmnet(). output_stride: 8 or 16."""
    mode = mode._replace(epsilon=1e-5, initializer=_truncated_normal)
    with tf.variable_scope("DeepLab"):
        width = network.width_multiplier
        features = mobilenet_v2(images01, width, mode, output_stride=output_stride)[output_stride]
        with tf.variable_scope("aspp"):
            x = aspp_head(features, mode)
        logits = classifier(x, mode, scope="logits")
    logits = _resize(logits, images01)
    return Outputs(logits, heads={}, endpoints={"features": features, "aspp": x})


def aspp_head(features, mode):
    """Combine local features with the mean over the image: [N,h,w,C] -> [N,h,w,HEAD_CHANNELS]."""
    with tf.variable_scope("aspp_pool"):
        image_mean = tf.reduce_mean(features, [1, 2], keepdims=True)
        pooled = _resize(_conv(image_mean, mode, before_concat=True), features)
    with tf.variable_scope("aspp_1x1conv"):
        local = _conv(features, mode, before_concat=True)
    with tf.variable_scope("concat"):
        x = _conv(mode.output(tf.concat([local, pooled], axis=3)), mode)
        return mode.dropout(x, DROPOUT_KEEP)


def _conv(x, mode, before_concat=False):
    options = {"activation": relu, "before_concat": before_concat, "scope": "Conv"}
    return conv(x, HEAD_CHANNELS, mode, **options)


def _resize(x, like):
    """Resize x to the height and width of another tensor, with aligned corners."""
    return tf.image.resize_bilinear(x, like.shape.as_list()[1:3], align_corners=True)
