"""The loss of a training step as named terms: the sum, the log and TensorBoard come from them.

Every term is a function (alphas, truths, outputs) -> scalar mean: the network's alphas and the true
ones, [N,H,W,1] in 0..1, and the network's layers.Outputs. The first five are MMNet's (arXiv
1904.03816, section 3.3), semantic, detail and matte MODNet's (arXiv 2011.11961, section 3.4), the
last two its adaptation's by the consistency of its parts (SOC, section 3.5).
"""

import math

from mmnet.io.errors import MmnetError
from mmnet.networks.layers import downsample
from mmnet.networks.registry import alphas_from_logits, find_definition
from mmnet.tf.compat import tf

BAND_PIXELS = 5  # of a picture of 256: half the width of a trimap's unknown band
FOCAL_GAMMA = 2.0
PERSON = 0.1  # where alpha is above, a person may be
BOUNDARY_WIDTH = 3  # pixels on either side of the outline
LAPLACIAN_LEVELS = 5


def loss_terms(outputs, truths, names):
    """The terms in ``names``, keys of TERMS: name -> scalar.

    Raises:
        ValueError: one is about a head that the network does not have.
    """
    for name in names:
        if name in HEADS and HEADS[name] not in outputs.heads:
            raise MmnetError(
                "the %s term is about an output that this network does not have: %s"
                % (name, ", ".join(outputs.heads) or "it has alpha alone")
            )
    alphas = alphas_from_logits(outputs.logits)
    return {name: TERMS[name](alphas, truths, outputs) for name in names}


def recipe_of(network, given):
    """The terms that a network is trained with: name -> weight above 0.

    Args:
        given: name -> weight or None; None leaves it to the network's definition. "teacher",
            the term of distillation, is in no row.

    Raises:
        ValueError: every weight is 0.
    """
    weights = dict.fromkeys(TERMS, 0.0)
    weights.update(find_definition(network).loss_weights)
    weights.update({name: weight for name, weight in given.items() if weight is not None})
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    if not weights:
        raise MmnetError("every loss weight is 0: nothing to learn")
    return weights


def total_loss(terms, weights, regularization):
    """(the mean of the terms, weighted, plus regularization; that mean alone)."""
    mean = sum(weights[name] * term for name, term in terms.items()) / sum(weights.values())
    return mean + regularization, mean


def weight_decay(variables, rate):
    """rate x sum of squares / 2 over ``*/weights``.

    Depthwise weights, biases and batch norm are not decayed.
    """
    decayed = [variable for variable in variables if variable.op.name.endswith("/weights")]
    return rate * tf.add_n([tf.nn.l2_loss(variable) for variable in decayed])


def alpha_loss(alphas, truths, outputs):
    """Mean absolute difference of alpha."""
    return tf.reduce_mean(tf.abs(alphas - truths))


def composition_loss(alphas, truths, outputs):
    """Mean absolute difference of the two compositions over black."""
    return tf.reduce_mean(tf.abs((alphas - truths) * outputs.images01[..., :3]))


def gradient_loss(alphas, truths, outputs):
    """Mean absolute difference of the Sobel gradients, x and y alike.

    They are divided by 8; beyond the border are zeros.
    """
    sobel = tf.constant([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], tf.float32) / 8
    filters = tf.stack([sobel, tf.transpose(sobel)], axis=2)[:, :, tf.newaxis]
    gradients = tf.nn.conv2d(alphas - truths, filters, strides=[1, 1, 1, 1], padding="SAME")
    return tf.reduce_mean(tf.abs(gradients))


def cross_entropy_loss(alphas, truths, outputs):
    """Cross entropy with the true alpha."""
    return tf.reduce_mean(_pixel_cross_entropy(outputs.logits, truths))


def auxiliary_loss(alphas, truths, outputs):
    """Cross entropy of the coarse logits with the truth resized to them.

    Bilinear, corners not aligned.
    """
    logits = outputs.heads["coarse_logits"]
    truths = tf.image.resize_bilinear(truths, logits.shape.as_list()[1:3])
    return tf.reduce_mean(_pixel_cross_entropy(logits, truths))


def laplacian_loss(alphas, truths, outputs):
    """Sum over pyramid levels of 2^level x mean absolute difference of the bands.

    Hou and Liu, ICCV 2019. The pyramid is linear: one of the difference is enough.
    """
    difference, total = alphas - truths, 0.0
    for level in range(LAPLACIAN_LEVELS):
        smaller = tf.nn.avg_pool(difference, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        band = difference - tf.image.resize_bilinear(smaller, tf.shape(difference)[1:3])
        total += 2.0**level * tf.reduce_mean(tf.abs(band))
        difference = smaller
    return total


def focal_loss(alphas, truths, outputs):
    """Focal loss (Lin et al., ICCV 2017) with soft labels: easy pixels count little."""
    miss = tf.abs(alphas - truths)[..., 0]
    return tf.reduce_mean(miss**FOCAL_GAMMA * _pixel_cross_entropy(outputs.logits, truths))


def boundary_loss(alphas, truths, outputs):
    """Mean absolute difference within BOUNDARY_WIDTH pixels of where the truth changes."""
    near = tf.cast(_range_within(truths, 2 * BOUNDARY_WIDTH + 1) > 0.05, tf.float32)
    difference = tf.abs(alphas - truths) * near
    return tf.reduce_sum(difference) / tf.maximum(tf.reduce_sum(near), 1.0)


def dice_loss(alphas, truths, outputs):
    """1 - the Dice coefficient with soft areas, mean of the pictures (Milletari et al., 2016)."""
    shared = tf.reduce_sum(alphas * truths, [1, 2, 3])
    areas = tf.reduce_sum(alphas**2, [1, 2, 3]) + tf.reduce_sum(truths**2, [1, 2, 3])
    return tf.reduce_mean(1 - (2 * shared + 1) / (areas + 1))  # a pixel: no person is no division


def square_loss(alphas, truths, outputs):
    """Mean square difference of alpha."""
    return tf.reduce_mean(tf.squared_difference(alphas, truths))


def semantic_loss(alphas, truths, outputs):
    """10 x mean square difference of the head ``semantic`` from the truth, coarse and blurred."""
    coarse = blur(
        downsample(truths, truths.shape[1].value // outputs.heads["semantic"].shape[1].value)
    )
    return 10 * tf.reduce_mean(tf.squared_difference(outputs.heads["semantic"], coarse))


def detail_loss(alphas, truths, outputs):
    """10 x absolute difference of the head ``detail`` in the unknown band, mean of all pixels."""
    return 10 * tf.reduce_mean(tf.abs(outputs.heads["detail"] - truths) * unknown_band(truths))


def matte_loss(alphas, truths, outputs):
    """Mean absolute difference of alpha, five times in the unknown band, and of the composition.

    The composition is over black.
    """
    difference = tf.abs(alphas - truths) * (1 + 4 * unknown_band(truths))
    return tf.reduce_mean(difference) + tf.reduce_mean(difference * outputs.images01[..., :3])


def soc_semantic_loss(alphas, truths, outputs):
    """100 x the mean square differences of the head ``semantic`` and alpha, coarse and blurred.

    Each is pulled towards the other.
    """
    semantic = outputs.heads["semantic"]
    coarse = blur(downsample(alphas, alphas.shape[1].value // semantic.shape[1].value))
    pulled = tf.squared_difference(semantic, tf.stop_gradient(coarse))
    pulled += tf.squared_difference(coarse, tf.stop_gradient(semantic))
    return 100 * tf.reduce_mean(pulled)


def soc_detail_loss(alphas, truths, outputs):
    """Absolute differences of the head ``detail`` and of alpha from those of the frozen copy.

    They count in the band around the person that alpha and the head ``semantic`` find together.
    """
    heads = outputs.heads
    there = tf.cast(heads["semantic"] > PERSON, tf.float32)
    there = tf.image.resize_bilinear(there, alphas.shape.as_list()[1:3])
    band = tf.stop_gradient(unknown_band(there * tf.cast(alphas > PERSON, tf.float32)))
    moved = tf.abs(heads["detail"] - heads["copy_detail"]) + tf.abs(alphas - heads["copy_matte"])
    return tf.reduce_mean(moved * band)


def teacher_loss(logits, alphas, temperature):
    """Cross entropy with another network's alphas, both softened: distillation.

    Hinton, Vinyals and Dean, arXiv 1503.02531: the log odds of both are divided by the temperature,
    and the term is multiplied by its square, so that its gradients keep their size.

    Args:
        logits: the network's. alphas: [N,H,W,1] in 0..1, the other one's.
    """
    if logits.shape[3].value == 2:
        logits = logits[..., 1:] - logits[..., :1]
    alphas = tf.clip_by_value(alphas, 1e-6, 1 - 1e-6)
    softened = tf.sigmoid(tf.log(alphas / (1 - alphas)) / temperature)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=softened, logits=logits / temperature)
    return temperature**2 * tf.reduce_mean(entropy)


def unknown_band(truths):
    """[N,H,W,1]: 1 where a trimap grown from the true alphas is unknown, else 0.

    That is around what is neither 0 nor 1, and around the outline.
    """
    side = 2 * max(1, round(BAND_PIXELS * max(truths.shape.as_list()[1:3]) / 256)) + 1
    return tf.cast(_range_within(truths, side) > 0, tf.float32)


def blur(x):
    """Gaussian blur of [N,H,W,1]: 3x3, sigma .8 pixels, mirrored at the border."""
    ends = math.exp(-0.5 / 0.8**2)
    line = tf.constant([ends, 1.0, ends]) / (1 + 2 * ends)
    kernel = (line[:, tf.newaxis] * line)[..., tf.newaxis, tf.newaxis]
    x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
    return tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="VALID")


def _range_within(x, side):
    """Highest minus lowest of the side x side pixels around each."""
    highest = tf.nn.max_pool(x, [1, side, side, 1], [1, 1, 1, 1], "SAME")
    lowest = -tf.nn.max_pool(-x, [1, side, side, 1], [1, 1, 1, 1], "SAME")
    return highest - lowest


def _pixel_cross_entropy(logits, truths):
    """[N,H,W]: against the soft labels (1 - truth, truth)."""
    if logits.shape[3].value == 1:
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=truths, logits=logits)
        return entropy[..., 0]
    labels = tf.concat([1 - truths, truths], axis=3)
    return tf.nn.softmax_cross_entropy_with_logits_v2(labels=labels, logits=logits)


TERMS = {
    "alpha": alpha_loss,
    "composition": composition_loss,
    "gradient": gradient_loss,
    "cross_entropy": cross_entropy_loss,
    "auxiliary": auxiliary_loss,
    "laplacian": laplacian_loss,
    "focal": focal_loss,
    "boundary": boundary_loss,
    "dice": dice_loss,
    "square": square_loss,
    "semantic": semantic_loss,
    "detail": detail_loss,
    "matte": matte_loss,
    "soc_semantic": soc_semantic_loss,
    "soc_detail": soc_detail_loss,
}
HEADS = {  # term -> the head that it is about
    "auxiliary": "coarse_logits",
    "semantic": "semantic",
    "detail": "detail",
    "soc_semantic": "semantic",
    "soc_detail": "detail",
}
ADAPTATION = dict.fromkeys(("soc_semantic", "soc_detail"), 1.0)  # in place of any recipe
