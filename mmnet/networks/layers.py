"""The operations MMNet is made of, under the variable names of the published checkpoints.

Every tensor is NHWC float32. A layer opens the scope it is given and creates its variables there: ``weights`` or
``depthwise_weights``, then ``BatchNorm/{gamma,beta,moving_mean,moving_variance}`` or ``biases``.
"""
from mmnet.compat import tf

BATCH_NORM_EPSILON = 1e-3
BATCH_STATISTICS = "batch_statistics"


def scale_channels(channels, width_multiplier):
    """``channels`` x ``width_multiplier``, rounded, then to the nearest multiple of 8 (half up), at least 8."""
    scaled = int(channels * width_multiplier + 0.5)
    return max(8, (scaled + 4) // 8 * 8)


def batch_norm(x, training):
    """Normalize [N,H,W,C], with scale and centre: by the batch in training, else by the moving statistics.

    In training each (moving statistic, batch statistic) goes to the collection BATCH_STATISTICS: the training step
    moves the one towards the other.
    """
    channels = x.shape[3].value
    with tf.variable_scope("BatchNorm"):
        gamma = tf.get_variable("gamma", channels, initializer=tf.ones_initializer())
        beta = tf.get_variable("beta", channels, initializer=tf.zeros_initializer())
        moving_mean = tf.get_variable("moving_mean", channels, initializer=tf.zeros_initializer(), trainable=False)
        moving_variance = tf.get_variable("moving_variance", channels, initializer=tf.ones_initializer(),
                                          trainable=False)
    if not training:
        return tf.nn.fused_batch_norm(x, gamma, beta, moving_mean, moving_variance, epsilon=BATCH_NORM_EPSILON,
                                      is_training=False)[0]
    x, mean, variance = tf.nn.fused_batch_norm(x, gamma, beta, epsilon=BATCH_NORM_EPSILON, is_training=True)
    tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
    tf.add_to_collection(BATCH_STATISTICS, (moving_variance, variance))
    return x


def conv(x, channels, training, kernel=1, stride=1, activation=tf.nn.relu6, scope="pointwise_conv"):
    """Convolution without bias, batch norm, activation (None: linear): [N,H,W,C] -> [N,H/stride,W/stride,channels]."""
    with tf.variable_scope(scope):
        weights = tf.get_variable("weights", [kernel, kernel, x.shape[3].value, channels],
                                  initializer=tf.glorot_uniform_initializer())
        x = batch_norm(tf.nn.conv2d(x, weights, strides=[1, stride, stride, 1], padding="SAME"), training)
        return x if activation is None else activation(x)


def depthwise(x, training, stride=1, dilation=1, activation=tf.nn.relu6, scope="depthwise_conv"):
    """3x3 depthwise convolution, batch norm, activation (None: linear): [N,H,W,C] -> [N,H/stride,W/stride,C].

    H and W are multiples of the dilation; one of stride and dilation is 1.
    """
    with tf.variable_scope(scope):
        weights = tf.get_variable("depthwise_weights", [3, 3, x.shape[3].value, 1],
                                  initializer=tf.glorot_uniform_initializer())
        # A dilated convolution is dilation x dilation separate ones, on the pixels that lie so far apart. Those go into
        # channels: TensorFlow's own way, into the batch (SpaceToBatchND), is slower and few converters know it.
        if dilation > 1:
            x, weights = tf.nn.space_to_depth(x, dilation), tf.tile(weights, [1, 1, dilation ** 2, 1])
        x = tf.nn.depthwise_conv2d(x, weights, strides=[1, stride, stride, 1], padding="SAME")
        if dilation > 1:
            x = tf.nn.depth_to_space(x, dilation)
        x = batch_norm(x, training)
        return x if activation is None else activation(x)


def classifier(x, classes=2, scope="pointwise_conv"):
    """1x1 convolution with bias, no norm: [N,H,W,C] -> logits [N,H,W,classes]."""
    with tf.variable_scope(scope):
        weights = tf.get_variable("weights", [1, 1, x.shape[3].value, classes],
                                  initializer=tf.glorot_uniform_initializer())
        biases = tf.get_variable("biases", classes, initializer=tf.zeros_initializer())
        return tf.nn.conv2d(x, weights, strides=[1, 1, 1, 1], padding="SAME") + biases


def upsample(x, factor):
    """Bilinear, corners not aligned (TensorFlow 1's default): [N,H,W,C] -> [N,factor H,factor W,C]."""
    return tf.image.resize_bilinear(x, [x.shape[1].value * factor, x.shape[2].value * factor])
