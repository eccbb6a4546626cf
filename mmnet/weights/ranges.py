"""Measure the 8-bit ranges of activations on images."""

from typing import Dict, Tuple

import numpy as np

from mmnet.io.progress import progress
from mmnet.networks.layers import INFERENCE
from mmnet.networks.quantization import HIGHEST, LEVELS, LOWEST, range_name
from mmnet.networks.registry import build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, session_config
from mmnet.weights.values import Weights

RANGE_BINS = 2048
THRESHOLDS = 128  # candidates for the largest magnitude of a range
EMPTY_BIN = 1e-9  # probability of an empty bin; avoids a division by 0


def measure_ranges(
    weights: Weights, images: np.ndarray, method: str = "minmax"
) -> Dict[str, np.float32]:
    """Measure the ranges of all activations that are rounded to 8 bits: variable name -> value.

    Args:
        images: float32 [N,H,W,C], 0..255.
        method: "minmax": from the lowest to the highest value; "entropy": see entropy_range.
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

        def run(fetches, description):
            """Yield the values of ``fetches`` for each image."""
            for image in progress(images, len(images), description):
                yield session.run(fetches, {x: image[None]})

        ranges = dict.fromkeys(outputs, (0.0, 0.0))  # include 0, with which convolutions pad
        extremes = {name: (tf.reduce_min(y), tf.reduce_max(y)) for name, y in outputs.items()}
        for results in run(extremes, "measuring ranges"):
            for name, (low, high) in results.items():
                ranges[name] = min(ranges[name][0], float(low)), max(ranges[name][1], float(high))
        if method == "entropy":
            histograms = {name: np.zeros(RANGE_BINS, np.int64) for name in outputs}
            for results in run(outputs, "counting values"):
                for name, value in results.items():
                    histograms[name] += np.histogram(value, RANGE_BINS, ranges[name])[0]
            for name in progress(outputs, len(outputs), "choosing ranges", "outputs"):
                ranges[name] = entropy_range(histograms[name], *ranges[name])
    values = {}
    for name, (low, high) in ranges.items():
        values[range_name(name, LOWEST)] = np.float32(low)
        values[range_name(name, HIGHEST)] = np.float32(high)
    return values


def entropy_range(histogram: np.ndarray, low: float, high: float) -> Tuple[float, float]:
    """Return the range whose LEVELS levels preserve most information of a distribution.

    It minimizes the Kullback-Leibler divergence between the clipped values and the clipped and
    rounded values (Migacz, "8-bit inference with TensorRT", GTC 2017).

    The histogram counts equal bins from low to high, and low <= 0 <= high. Both ends of the result
    have equal magnitudes unless low or high limits one.
    """
    edges = np.linspace(low, high, len(histogram) + 1)
    zero_bin = int(np.searchsorted(edges, 0, "right")) - 1
    best_divergence, best_range = np.inf, (low, high)
    # The widest range comes first, so it wins a tie.
    for threshold in np.linspace(max(-low, high), 0, THRESHOLDS, endpoint=False):
        first = int(np.searchsorted(edges, -threshold, "left"))
        last = int(np.searchsorted(edges, threshold, "right")) - 1
        if last - first < LEVELS:
            break
        divergence = rounding_divergence(histogram, first, last, zero_bin)
        if divergence < best_divergence:
            best_divergence, best_range = divergence, (float(edges[first]), float(edges[last]))
    return best_range


def rounding_divergence(histogram: np.ndarray, first: int, last: int, zero_bin: int) -> float:
    """Return the Kullback-Leibler divergence (nats) between a clipped and a rounded histogram.

    The histogram is clipped to the bins first..last-1: outer values are counted in the end bins.
    Then it is rounded to LEVELS levels. 0 and both ends are levels of their own, because ReLU6
    produces these values exactly.
    """
    inside = histogram[first:last].astype(np.float64)
    clipped = inside.copy()
    clipped[0] += histogram[:first].sum()
    clipped[-1] += histogram[last:].sum()
    level = np.arange(len(inside)) * LEVELS // len(inside)  # level of each bin
    level[[0, -1]] = LEVELS, LEVELS + 1
    if 0 < zero_bin - first < len(inside) - 1:
        level[zero_bin - first] = LEVELS + 2
    is_used = inside > 0
    level_mean = np.bincount(level, inside) / np.maximum(np.bincount(level, is_used), 1)
    rounded = np.where(is_used, level_mean[level], 0)
    p, q = clipped / max(clipped.sum(), 1), rounded / max(rounded.sum(), 1)
    q = np.where(q > 0, q, EMPTY_BIN)  # an end bin that contains only clipped values
    return float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))
