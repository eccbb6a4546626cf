"""The loss of a training step as named terms, from which the sum, the log and TensorBoard all come.

Symbols: ``alphas`` [N,H,W,1] are the network's probabilities of the foreground, ``truths`` [N,H,W,1] the true alphas,
all in 0..1. Every term is a scalar mean. The first five are MMNet's (arXiv 1904.03816, section 3.3); the rest are off
unless weighted.
"""
from mmnet.compat import tf

FOCAL_GAMMA = 2.0
BOUNDARY_WIDTH = 3  # pixels on either side of the outline
LAPLACIAN_LEVELS = 5


def loss_terms(logits, coarse_logits, images01, truths, names):
    """The terms in ``names``: name -> scalar.

    Args:
        logits: [N,size,size,2]. coarse_logits: [N,size/16,size/16,2]. images01: [N,size,size,3] 0..1.
        truths: [N,size,size,1] 0..1. names: keys of TERMS.
    """
    alphas = tf.nn.softmax(logits)[..., 1:]
    values = {"logits": logits, "coarse_logits": coarse_logits, "images01": images01, "truths": truths,
              "alphas": alphas}
    return {name: TERMS[name](values) for name in names}


def total_loss(terms, weights, regularization):
    """(sum of weight x term) / (sum of the weights) + regularization, and the first part alone, the model's loss."""
    model = sum(weights[name] * term for name, term in terms.items()) / sum(weights.values())
    return model + regularization, model


def weight_decay(variables, rate):
    """rate x sum of squares / 2 over ``*/weights``: depthwise weights, biases and batch norm are not decayed."""
    return rate * tf.add_n([tf.nn.l2_loss(variable) for variable in variables if variable.op.name.endswith("/weights")])


def _alpha(v):
    return tf.reduce_mean(tf.abs(v["alphas"] - v["truths"]))


def _composition(v):
    """Mean absolute difference of the two compositions over black."""
    return tf.reduce_mean(tf.abs((v["alphas"] - v["truths"]) * v["images01"]))


def _gradient(v):
    """Mean absolute difference of the Sobel gradients (divided by 8; zeros beyond the border), x and y alike."""
    sobel = tf.constant([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], tf.float32) / 8
    filters = tf.stack([sobel, tf.transpose(sobel)], axis=2)[:, :, tf.newaxis]
    gradients = tf.nn.conv2d(v["alphas"] - v["truths"], filters, strides=[1, 1, 1, 1], padding="SAME")
    return tf.reduce_mean(tf.abs(gradients))


def _cross_entropy(v):
    return tf.reduce_mean(_pixel_cross_entropy(v["logits"], v["truths"]))


def _auxiliary(v):
    """Cross entropy of the coarse logits with the truth resized to them (bilinear, corners not aligned)."""
    truths = tf.image.resize_bilinear(v["truths"], v["coarse_logits"].shape.as_list()[1:3])
    return tf.reduce_mean(_pixel_cross_entropy(v["coarse_logits"], truths))


def _laplacian(v):
    """Sum over pyramid levels of 2^level x mean absolute difference of the bands (Hou and Liu, ICCV 2019)."""
    difference, total = v["alphas"] - v["truths"], 0.0  # the pyramid is linear: one of the difference is enough
    for level in range(LAPLACIAN_LEVELS):
        smaller = tf.nn.avg_pool(difference, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        band = difference - tf.image.resize_bilinear(smaller, tf.shape(difference)[1:3])
        total += 2.0 ** level * tf.reduce_mean(tf.abs(band))
        difference = smaller
    return total


def _focal(v):
    """Focal loss (Lin et al., ICCV 2017) with soft labels: easy pixels count little."""
    miss = tf.abs(v["truths"] - v["alphas"])[..., 0]
    return tf.reduce_mean(miss ** FOCAL_GAMMA * _pixel_cross_entropy(v["logits"], v["truths"]))


def _boundary(v):
    """Mean absolute difference within BOUNDARY_WIDTH pixels of where the truth changes."""
    side = 2 * BOUNDARY_WIDTH + 1
    highest = tf.nn.max_pool(v["truths"], [1, side, side, 1], [1, 1, 1, 1], "SAME")
    lowest = -tf.nn.max_pool(-v["truths"], [1, side, side, 1], [1, 1, 1, 1], "SAME")
    near = tf.cast(highest - lowest > 0.05, tf.float32)
    return tf.reduce_sum(tf.abs(v["alphas"] - v["truths"]) * near) / tf.maximum(tf.reduce_sum(near), 1.0)


def _pixel_cross_entropy(logits, truths):
    """[N,H,W]: against the soft labels (1 - truth, truth)."""
    labels = tf.concat([1 - truths, truths], axis=3)
    return tf.nn.softmax_cross_entropy_with_logits_v2(labels=labels, logits=logits)


TERMS = {"alpha": _alpha, "composition": _composition, "gradient": _gradient, "cross_entropy": _cross_entropy,
         "auxiliary": _auxiliary, "laplacian": _laplacian, "focal": _focal, "boundary": _boundary}
