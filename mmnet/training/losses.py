"""Loss terms of training.

A term is a function (alphas, truths, outputs) -> scalar. ``alphas`` and ``truths`` are [N,H,W,1],
0..1; ``outputs`` are the Outputs of the network. The first five terms come from MMNet (arXiv
1904.03816, section 3.3); semantic, detail and matte from MODNet (arXiv 2011.11961, section 3.4);
the terms ``soc_`` from its adaptation by sub-objectives consistency (section 3.5).
"""

import math
from typing import Dict, Iterable, Sequence

from mmnet.io.errors import MmnetError
from mmnet.networks.layers import Outputs, downsample
from mmnet.networks.network import Network
from mmnet.networks.registry import alphas_from_logits, find_definition
from mmnet.tf.compat import tf

UNKNOWN_PIXELS = 5  # half the width of a trimap's unknown region, in an image of 256 pixels
FOCAL_GAMMA = 2.0
MIN_PERSON_ALPHA = 0.1  # a pixel above it may belong to a person
BOUNDARY_PIXELS = 3  # on both sides of the edge
BOUNDARY_CHANGE = 0.05  # least difference of alpha inside this region
LAPLACIAN_LEVELS = 5


def loss_terms(
    outputs: Outputs, truths: "tf.Tensor", names: Sequence[str]
) -> Dict[str, "tf.Tensor"]:
    """Compute the terms with these names, keys of TERMS."""
    for name in names:
        if name in HEADS and HEADS[name] not in outputs.heads:
            heads = ", ".join(outputs.heads) or "none"
            raise MmnetError(
                f"{name}: needs the head {HEADS[name]}, but the network has: {heads}",
                "loss_weights",
            )
    alphas = alphas_from_logits(outputs.logits)
    return {name: TERMS[name](alphas, truths, outputs) for name in names}


def select_loss_weights(network: Network, overrides: Dict[str, float]) -> Dict[str, float]:
    """Return the weights above 0 of a network's definition and of ``overrides``."""
    weights = dict.fromkeys(TERMS, 0.0)
    weights.update(find_definition(network).loss_weights)
    weights.update(overrides)
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    if not weights:
        raise MmnetError("every weight is 0", "loss_weights")
    return weights


def total_loss(terms: Dict[str, "tf.Tensor"], weights: Dict[str, float]) -> "tf.Tensor":
    """Return the weighted mean of the terms."""
    return sum(weights[name] * term for name, term in terms.items()) / sum(weights.values())


def weight_decay(variables: Iterable["tf.Variable"], rate: float) -> "tf.Tensor":
    """Return rate * sum of squares / 2 of all ``*/weights``.

    Depthwise weights, biases and batch norm do not decay.
    """
    decayed = [variable for variable in variables if variable.op.name.endswith("/weights")]
    return rate * tf.add_n([tf.nn.l2_loss(variable) for variable in decayed])


def alpha_loss(alphas, truths, outputs):
    """Return the mean absolute difference of alpha."""
    return tf.reduce_mean(tf.abs(alphas - truths))


def composition_loss(alphas, truths, outputs):
    """Return the mean absolute difference of the compositions over black."""
    return tf.reduce_mean(tf.abs((alphas - truths) * outputs.images01[..., :3]))


def gradient_loss(alphas, truths, outputs):
    """Return the mean absolute difference of the Sobel gradients / 8, zero-padded at the border."""
    sobel = tf.constant([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], tf.float32) / 8
    filters = tf.stack([sobel, tf.transpose(sobel)], axis=2)[:, :, tf.newaxis]
    gradients = tf.nn.conv2d(alphas - truths, filters, strides=[1, 1, 1, 1], padding="SAME")
    return tf.reduce_mean(tf.abs(gradients))


def cross_entropy_loss(alphas, truths, outputs):
    """Return the cross entropy with the true alpha."""
    return tf.reduce_mean(_pixel_cross_entropy(outputs.logits, truths))


def auxiliary_loss(alphas, truths, outputs):
    """Return the cross entropy of the coarse logits. The truth is resized without alignment."""
    logits = outputs.heads["coarse_logits"]
    truths = tf.image.resize_bilinear(truths, logits.shape.as_list()[1:3])
    return tf.reduce_mean(_pixel_cross_entropy(logits, truths))


def laplacian_loss(alphas, truths, outputs):
    """Return the sum over pyramid levels of 2**level * mean absolute difference of the bands.

    Hou and Liu, ICCV 2019. The pyramid is linear, so one pyramid of the difference is enough.
    """
    difference, total = alphas - truths, 0.0
    for level in range(LAPLACIAN_LEVELS):
        smaller = tf.nn.avg_pool(difference, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        band = difference - tf.image.resize_bilinear(smaller, tf.shape(difference)[1:3])
        total += 2.0**level * tf.reduce_mean(tf.abs(band))
        difference = smaller
    return total


def focal_loss(alphas, truths, outputs):
    """Return the focal loss (Lin et al., ICCV 2017) with soft labels."""
    difference = tf.abs(alphas - truths)[..., 0]
    entropy = _pixel_cross_entropy(outputs.logits, truths)
    return tf.reduce_mean(difference**FOCAL_GAMMA * entropy)


def boundary_loss(alphas, truths, outputs):
    """Return the mean absolute difference within BOUNDARY_PIXELS of an edge of the truth."""
    change = _local_range(truths, 2 * BOUNDARY_PIXELS + 1)
    region = tf.cast(change > BOUNDARY_CHANGE, tf.float32)
    difference = tf.abs(alphas - truths) * region
    return tf.reduce_sum(difference) / tf.maximum(tf.reduce_sum(region), 1.0)


def dice_loss(alphas, truths, outputs):
    """Return 1 - the mean Dice coefficient of soft areas (Milletari et al., 2016)."""
    overlap = tf.reduce_sum(alphas * truths, [1, 2, 3])
    areas = tf.reduce_sum(alphas**2, [1, 2, 3]) + tf.reduce_sum(truths**2, [1, 2, 3])
    return tf.reduce_mean(1 - (2 * overlap + 1) / (areas + 1))  # + 1 avoids a division by 0


def square_loss(alphas, truths, outputs):
    """Return the mean square difference of alpha."""
    return tf.reduce_mean(tf.squared_difference(alphas, truths))


def semantic_loss(alphas, truths, outputs):
    """Return 10 * mean square difference of the head ``semantic`` from the blurred coarse truth."""
    semantic = outputs.heads["semantic"]
    return 10 * tf.reduce_mean(tf.squared_difference(semantic, _coarse(truths, semantic)))


def detail_loss(alphas, truths, outputs):
    """Return 10 * mean absolute difference of the head ``detail``; 0 outside unknown regions."""
    return 10 * tf.reduce_mean(tf.abs(outputs.heads["detail"] - truths) * unknown_region(truths))


def matte_loss(alphas, truths, outputs):
    """Return the alpha and the composition loss, with weight 5 in unknown regions."""
    difference = tf.abs(alphas - truths) * (1 + 4 * unknown_region(truths))
    return tf.reduce_mean(difference) + tf.reduce_mean(difference * outputs.images01[..., :3])


def soc_semantic_loss(alphas, truths, outputs):
    """Pull the head ``semantic`` and the blurred coarse alpha towards each other."""
    semantic = outputs.heads["semantic"]
    coarse = _coarse(alphas, semantic)
    loss = tf.squared_difference(semantic, tf.stop_gradient(coarse))
    loss += tf.squared_difference(coarse, tf.stop_gradient(semantic))
    return 100 * tf.reduce_mean(loss)


def soc_detail_loss(alphas, truths, outputs):
    """Keep the head ``detail`` and alpha near the outputs of the frozen copy, around people.

    The person is where both alpha and the head ``semantic`` see one.
    """
    heads = outputs.heads
    person = tf.cast(heads["semantic"] > MIN_PERSON_ALPHA, tf.float32)
    person = tf.image.resize_bilinear(person, alphas.shape.as_list()[1:3])
    person *= tf.cast(alphas > MIN_PERSON_ALPHA, tf.float32)
    region = tf.stop_gradient(unknown_region(person))
    difference = tf.abs(heads["detail"] - heads["copy_detail"])
    difference += tf.abs(alphas - heads["copy_matte"])
    return tf.reduce_mean(difference * region)


def teacher_loss(logits: "tf.Tensor", alphas: "tf.Tensor", temperature: float) -> "tf.Tensor":
    """Return the cross entropy with a teacher's alphas [N,H,W,1], both softened (distillation).

    Hinton, Vinyals and Dean, arXiv 1503.02531: the temperature divides the logits of both. The loss
    is multiplied by its square, so the gradients keep their size.
    """
    if logits.shape[3].value == 2:
        logits = logits[..., 1:] - logits[..., :1]
    alphas = tf.clip_by_value(alphas, 1e-6, 1 - 1e-6)
    labels = tf.sigmoid(tf.log(alphas / (1 - alphas)) / temperature)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits / temperature)
    return temperature**2 * tf.reduce_mean(entropy)


def unknown_region(truths: "tf.Tensor") -> "tf.Tensor":
    """Return [N,H,W,1]: 1 in the unknown region of a trimap made from alphas, else 0."""
    longer_side = max(truths.shape.as_list()[1:3])
    side = 2 * max(1, round(UNKNOWN_PIXELS * longer_side / 256)) + 1
    return tf.cast(_local_range(truths, side) > 0, tf.float32)


def gaussian_blur(x: "tf.Tensor") -> "tf.Tensor":
    """Blur [N,H,W,1] with a 3x3 Gaussian, sigma 0.8 pixels, mirrored at the border."""
    tail = math.exp(-0.5 / 0.8**2)
    line = tf.constant([tail, 1.0, tail]) / (1 + 2 * tail)
    kernel = (line[:, tf.newaxis] * line)[..., tf.newaxis, tf.newaxis]
    x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
    return tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="VALID")


def _coarse(alphas, head):
    """Return alphas at the size of a head, blurred."""
    return gaussian_blur(downsample(alphas, alphas.shape[1].value // head.shape[1].value))


def _local_range(x, side):
    """Return the maximum minus the minimum of the side x side pixels around each pixel."""
    highest = tf.nn.max_pool(x, [1, side, side, 1], [1, 1, 1, 1], "SAME")
    lowest = -tf.nn.max_pool(-x, [1, side, side, 1], [1, 1, 1, 1], "SAME")
    return highest - lowest


def _pixel_cross_entropy(logits, truths):
    """Return [N,H,W]: the cross entropy with the soft labels (1 - truth, truth)."""
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
HEADS = {  # term -> head of the network that it needs
    "auxiliary": "coarse_logits",
    "semantic": "semantic",
    "detail": "detail",
    "soc_semantic": "semantic",
    "soc_detail": "detail",
}
ADAPTATION = {"soc_semantic": 1.0, "soc_detail": 1.0}  # replaces all other terms
