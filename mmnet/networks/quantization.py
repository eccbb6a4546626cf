"""Rounding to 8 bits, as TensorFlow Lite's full-integer models do it, and the ranges it takes.

Weights: symmetric, one scale a channel. Activations: 256 levels between ``quantization/lowest`` and
``highest``, two variables in the scope of the layer or concatenation whose output they describe
(Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018).
"""

import numpy as np

from mmnet.io.progress import progress
from mmnet.networks.layers import INFERENCE
from mmnet.networks.registry import build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, session_config

SCOPE, ENDS = "quantization", ("lowest", "highest")
BINS = 2048  # of a histogram
LEVELS = 256


def rounded_weights(weights, axis):
    """Rounded to -127 .. 127 times a scale for each channel of an axis.

    Gradients pass as if they were not rounded. Rounding before batch norm is rounding what batch
    norm is folded into: it multiplies by one number a channel, and so does the scale.
    """
    shape = weights.shape.as_list()
    flat = tf.reshape(weights, [-1, shape[axis]])  # axis 2 is depthwise's [h,w,C,1]
    largest = tf.reduce_max(tf.abs(flat), axis=0)
    largest = tf.maximum(tf.stop_gradient(largest), 1e-12)  # a channel may be all 0
    flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -largest, largest, narrow_range=True
    )
    return tf.reshape(flat, shape)


def rounded_output(x):
    """Rounded to LEVELS steps of the range in the variables of this scope.

    They are NaN until they are measured; gradients move the range too.
    """
    initializer = tf.constant_initializer(np.nan)
    with tf.variable_scope(SCOPE):
        lowest, highest = (tf.get_variable(end, [], initializer=initializer) for end in ENDS)
        return tf.quantization.fake_quant_with_min_max_vars(x, lowest, highest)


def rounded_picture(images, highest):
    """Rounded to LEVELS steps from 0 to the highest value that a picture may have."""
    return tf.quantization.fake_quant_with_min_max_args(images, 0, highest)


# Training for 8 bits keeps the moving statistics, which the delivered network is folded with. In
# what is delivered the converter rounds the weights, by the same rule. Both give the logit of alpha
# alone, as TFLite models do.
QUANTIZED_TRAINING = INFERENCE._replace(
    weights=rounded_weights, output=rounded_output, single_logit=True
)
QUANTIZED_INFERENCE = INFERENCE._replace(
    output=rounded_output, picture=rounded_picture, single_logit=True
)


def quantization_ranges(values):
    """The ranges among a checkpoint's variables (name -> array); none unless trained for 8 bits."""
    return {name: value for name, value in values.items() if is_range(name)}


def is_range(name):
    return name.endswith(tuple("/%s/%s" % (SCOPE, end) for end in ENDS))


def measure_ranges(weights, images, method="minmax"):
    """The range of every output that is rounded, over some pictures.

    Args:
        weights: Weights. images: float32 [N,H,W,C] 0..255.
        method: "minmax": from the lowest value to the highest. "entropy": clipped where that costs
            least information (entropy_range).

    Returns:
        the variables of rounded_output: name -> float32 scalar.
    """
    outputs = {}

    def record(x):
        outputs[tf.get_variable_scope().name] = x
        return x

    exact = session_config(Device(exact=True))
    with tf.Graph().as_default(), tf.Session(config=exact) as session:
        x = tf.placeholder(tf.float32, (1,) + images.shape[1:])
        build(weights.network, x, INFERENCE._replace(output=record, single_logit=True))
        checkpoint.restore(session, weights.values, tf.global_variables())
        extremes = {name: (tf.reduce_min(y), tf.reduce_max(y)) for name, y in outputs.items()}
        # 0 must be a level: it is what convolutions pad with.
        ranges = dict.fromkeys(outputs, (0.0, 0.0))
        for image in progress(images, len(images), "measuring ranges"):
            for name, (low, high) in session.run(extremes, {x: image[None]}).items():
                ranges[name] = min(ranges[name][0], float(low)), max(ranges[name][1], float(high))
        if method == "entropy":
            histograms = dict.fromkeys(outputs, 0)
            for image in progress(images, len(images), "counting values"):
                for name, value in session.run(outputs, {x: image[None]}).items():
                    counts = np.histogram(value, BINS, ranges[name])[0]
                    histograms[name] = histograms[name] + counts
            names = progress(outputs, len(outputs), "choosing ranges", "outputs")
            ranges = {name: entropy_range(histograms[name], *ranges[name]) for name in names}
    return {
        "%s/%s/%s" % (name, SCOPE, end): np.float32(value)
        for name, ends in ranges.items()
        for end, value in zip(ENDS, ends)
    }


def entropy_range(histogram, low, high):
    """The range whose LEVELS steps keep most of a distribution.

    That is the smallest Kullback-Leibler divergence between the values clipped to it and those
    values rounded (Migacz, "8-bit inference with TensorRT", GTC 2017).

    Args:
        histogram: [bins] counts of equal bins from low <= 0 to high >= 0.

    Returns:
        (lowest, highest): within low and high; of one magnitude where both lie inside.
    """
    edges = np.linspace(low, high, len(histogram) + 1)
    best, chosen = np.inf, (low, high)
    # The widest comes first: it wins a draw.
    for threshold in np.linspace(max(-low, high), 0, 128, endpoint=False):
        first = int(np.searchsorted(edges, -threshold, "left"))
        last = int(np.searchsorted(edges, threshold, "right")) - 1
        if last - first < LEVELS:
            break
        zero = int(np.searchsorted(edges, 0, "right")) - 1
        divergence = divergence_of_rounding(histogram, first, last, zero)
        if divergence < best:
            best, chosen = divergence, (float(edges[first]), float(edges[last]))
    return chosen


def divergence_of_rounding(histogram, first, last, zero):
    """Kullback-Leibler divergence (nats) between a clipped histogram and the same, rounded.

    It is clipped to bins first .. last - 1 (what lies outside is counted in the bins at the ends)
    and rounded to LEVELS steps.

    0 (its bin is ``zero``) and both ends are levels: what ReLU6 puts there is not rounded, so
    nothing is mixed with it.
    """
    inside = histogram[first:last].astype(np.float64)
    clipped = inside.copy()
    clipped[0] += histogram[:first].sum()
    clipped[-1] += histogram[last:].sum()
    level = np.arange(len(inside)) * LEVELS // len(inside)
    level[[0, -1]] = LEVELS, LEVELS + 1
    if 0 < zero - first < len(inside) - 1:
        level[zero - first] = LEVELS + 2
    taken = inside > 0
    share = np.bincount(level, inside) / np.maximum(np.bincount(level, taken), 1)
    rounded = np.where(taken, share[level], 0)
    p, q = clipped / max(clipped.sum(), 1), rounded / max(rounded.sum(), 1)
    q = np.where(q > 0, q, 1e-9)  # an end bin that only holds what was clipped
    return float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))
