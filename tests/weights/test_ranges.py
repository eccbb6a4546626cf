"""Tests of mmnet.weights.ranges."""

import numpy as np
import pytest

from helpers import SMALL
from mmnet.networks.layers import INFERENCE
from mmnet.networks.quantization import is_range, quantization_ranges
from mmnet.networks.registry import build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config
from mmnet.weights.ranges import entropy_range, measure_ranges

# Scope of a range -> endpoint of the network.
SCOPES = {"init_block/conv": "init_block", "block0/merge/pointwise_conv": "block0"}


@pytest.fixture(scope="module")
def ranges(small_weights, small_images):
    return measure_ranges(small_weights, small_images)


def test_every_output_has_a_range(small_weights, ranges):
    values = small_weights.values
    assert len(ranges) == 2 * 7 and all(is_range(name) for name in ranges)
    assert quantization_ranges(dict(values, **ranges)) == ranges
    assert not quantization_ranges(values)


def test_ranges_equal_the_extremes(small_weights, small_images, ranges):
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        x = tf.placeholder(tf.float32, small_images.shape)
        outputs = build(SMALL, x, INFERENCE)
        checkpoint.restore(session, small_weights.values, tf.global_variables())
        fetches = [outputs.endpoints, outputs.logits]
        endpoints, logits = session.run(fetches, {x: small_images})
    for scope, endpoint in SCOPES.items():
        value = endpoints[endpoint]
        name = f"Tiny/{scope}/quantization/"
        measured = [ranges[name + end] for end in ("lowest", "highest")]
        expected = [min(value.min(), 0), max(value.max(), 0)]
        # One image per run rounds differently from all images in one run.
        np.testing.assert_allclose(measured, expected, rtol=1e-5, atol=1e-5)
    log_odds = logits[..., 1] - logits[..., 0]
    # The range is measured before resizing, which cannot leave it.
    name = "Tiny/final_block/pointwise_conv/quantization/"
    assert ranges[name + "lowest"] <= log_odds.min() + 1e-4
    assert ranges[name + "highest"] >= log_odds.max() - 1e-4


def test_entropy_narrows_ranges(small_weights, small_images, ranges):
    clipped = measure_ranges(small_weights, small_images, "entropy")
    assert clipped.keys() == ranges.keys()
    change = [clipped[name] - ranges[name] for name in ranges if name.endswith("highest")]
    assert max(change) <= 1e-5 and min(change) < -0.01


def histogram_of(values, low, high):
    return np.histogram(values, 2048, (low, high))[0]


def test_entropy_range_clips_outliers():
    values = np.append(np.random.RandomState(0).normal(size=100000), 100.0)
    low, high = entropy_range(histogram_of(values, values.min(), 100), values.min(), 100.0)
    # With a range up to 100, levels would be .4 apart.
    assert low == pytest.approx(values.min(), abs=0.1) and 4 < high < 20


def test_entropy_range_keeps_even_values_and_both_ends_of_relu6():
    random = np.random.RandomState(0)
    assert entropy_range(histogram_of(random.uniform(0, 6, 100000), 0, 6), 0.0, 6.0)[1] > 5.8
    values = np.clip(random.normal(3, 4, 100000), 0, 6)
    assert entropy_range(histogram_of(values, 0, 6), 0.0, 6.0) == (0.0, 6.0)
    assert entropy_range(np.zeros(2048, int), 0.0, 0.0) == (0.0, 0.0)
