import csv
import os

import numpy as np
import pytest

from mmnet import checkpoint
from mmnet.compat import tf
from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import find_data_set, read_pair
from mmnet.network import Network
from mmnet.networks.layers import INFERENCE, Outputs
from mmnet.networks.mmnet import mmnet
from mmnet.training.losses import TERMS, loss_terms, recipe_of, total_loss, weight_decay

PUBLISHED = ("alpha", "composition", "gradient", "cross_entropy", "auxiliary")


def run_terms(alphas, truths, images01, names, channels=2):
    """The terms for given alphas [N,H,W]: logits that give them, coarse logits of 0."""
    alphas = np.clip(alphas, 1e-6, 1 - 1e-6)
    log_odds = np.log(alphas / (1 - alphas))
    logits = np.stack([np.zeros_like(alphas), log_odds][-channels:], axis=3)
    coarse = np.zeros((len(alphas), alphas.shape[1] // 16, alphas.shape[2] // 16, 2))
    with tf.Graph().as_default(), tf.Session() as session:
        logits, coarse, images01, truths = (
            tf.constant(value, tf.float32)
            for value in (logits, coarse, images01, truths[..., np.newaxis])
        )
        outputs = Outputs(logits, {"coarse_logits": coarse}, {}, images01)
        return session.run(loss_terms(outputs, truths, names))


@pytest.mark.parametrize("step", [304500, 1898000])
def test_golden_terms(whole, test_data, step):
    with open(os.path.join(test_data, "golden", "losses.csv")) as file:
        rows = [row for row in csv.DictReader(file) if row["checkpoint"] == str(step)]
    data_set = find_data_set(os.path.join(test_data, "soft"), "test")
    pairs = {pair.stem: pair for pair in data_set.pairs}
    with tf.Graph().as_default(), tf.Session() as session:
        images01 = tf.placeholder(tf.float32, [1, 256, 256, 3])
        truths = tf.placeholder(tf.float32, [1, 256, 256, 1])
        outputs = mmnet(images01, Network(), INFERENCE)._replace(images01=images01)
        terms = loss_terms(outputs, truths, PUBLISHED)
        values = checkpoint.read(os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step))
        checkpoint.restore(session, values, tf.global_variables())
        for row in rows:
            image, alpha = (
                resize_bilinear(picture, (256, 256), align_corners=True)
                for picture in read_pair(pairs[row["stem"]])
            )
            feed = {images01: image[None] / 255, truths: alpha[None, ..., None]}
            result = session.run(terms, feed)
            for name in PUBLISHED:  # the file has 8 decimals
                expected = float(row[name])
                assert result[name] == pytest.approx(expected, abs=2e-7), (row["stem"], name)
            expected = float(row["composition_reference"])
            assert result["composition"] / 255 == pytest.approx(expected, abs=2e-8)


def test_perfect_alphas_cost_nothing():
    truths = np.zeros((1, 32, 32))
    truths[:, 8:24, 8:24] = 1
    values = run_terms(truths, truths, np.ones((1, 32, 32, 3)), set(TERMS) - {"auxiliary"})
    for name, value in values.items():
        assert value == pytest.approx(0, abs=2e-5), name


@pytest.mark.parametrize("channels", [2, 1])  # 1: the logit of alpha alone, as for 8 bits
def test_terms_by_hand(channels):
    truths = np.zeros((1, 32, 32))
    alphas = np.full((1, 32, 32), 0.25)
    values = run_terms(alphas, truths, np.full((1, 32, 32, 3), 0.5), TERMS, channels)
    assert values["alpha"] == pytest.approx(0.25, rel=1e-5)
    assert values["composition"] == pytest.approx(0.125, rel=1e-5)
    assert values["cross_entropy"] == pytest.approx(-np.log(0.75), rel=1e-5)
    assert values["auxiliary"] == pytest.approx(np.log(2), rel=1e-5)
    assert values["focal"] == pytest.approx(-np.log(0.75) / 16, rel=1e-4)
    assert values["boundary"] == 0  # a truth without an outline has no band
    # A constant difference is in no band of the pyramid.
    assert values["laplacian"] == pytest.approx(0, abs=1e-6)
    # Sobel / 8 of a constant .25 is 0 inside; at the border what lies beyond counts as 0.
    border = (2 * 30 * 0.25 * 4 / 8 + 4 * 0.25 * 3 / 8) * 2 / (2 * 32 * 32)
    assert values["gradient"] == pytest.approx(border, rel=1e-4)


def test_boundary_looks_at_the_outline_alone():
    truths = np.zeros((1, 64, 64))
    truths[:, :32] = 1
    far, near = truths.copy(), truths.copy()
    far[:, 60], near[:, 34] = 0.5, 0.5
    images = np.ones((1, 64, 64, 3))
    far, near = (run_terms(alphas, truths, images, ["boundary"]) for alphas in (far, near))
    assert far["boundary"] == pytest.approx(0, abs=1e-5)
    assert near["boundary"] == pytest.approx(0.5 / 6, rel=1e-3)


def test_total_is_a_weighted_mean_and_decay_spares_depthwise():
    with tf.Graph().as_default(), tf.Session() as session:
        for name in ("a/weights", "a/depthwise_weights", "a/biases"):
            tf.get_variable(name, [3], initializer=tf.constant_initializer(2.0))
        decay = weight_decay(tf.trainable_variables(), 0.1)
        terms = {"alpha": tf.constant(1.0), "gradient": tf.constant(4.0)}
        total, model = total_loss(terms, {"alpha": 1.0, "gradient": 0.5}, decay)
        session.run(tf.global_variables_initializer())
        assert session.run([decay, model, total]) == pytest.approx([0.6, 2.0, 2.6])


def test_the_recipe_of_a_network():
    assert recipe_of(Network(), {}) == dict.fromkeys(PUBLISHED, 1.0)
    others = recipe_of(Network("another"), {"alpha": None, "focal": 0.5, "gradient": 0.0})
    assert others == {"alpha": 1.0, "composition": 1.0, "cross_entropy": 1.0, "focal": 0.5}
    with pytest.raises(ValueError, match="nothing to learn"):
        recipe_of(Network(), dict.fromkeys(TERMS, 0.0))
