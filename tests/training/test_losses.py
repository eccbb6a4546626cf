import csv
import os

import numpy as np
import pytest

from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.io.resize import resize_bilinear
from mmnet.networks.layers import INFERENCE, Outputs, downsample
from mmnet.networks.mmnet import mmnet
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.training.losses import (
    ADAPTATION,
    TERMS,
    blur,
    loss_terms,
    recipe_of,
    teacher_loss,
    total_loss,
    weight_decay,
)

PUBLISHED = ("alpha", "composition", "gradient", "cross_entropy", "auxiliary")


def run_terms(alphas, truths, images01, names, channels=2):
    """The terms for given alphas [N,H,W]: logits and heads that give them, coarse logits of 0."""
    alphas = np.clip(alphas, 1e-6, 1 - 1e-6)
    log_odds = np.log(alphas / (1 - alphas))
    logits = np.stack([np.zeros_like(alphas), log_odds][-channels:], axis=3)
    detail = alphas[..., np.newaxis]
    heads = {"coarse_logits": np.zeros_like(logits)[:, ::16, ::16], "detail": detail}
    heads["semantic"] = detail[:, 8::16, 8::16]
    with tf.Graph().as_default(), tf.Session() as session:
        heads = {name: tf.constant(value, tf.float32) for name, value in heads.items()}
        logits, images01, truths = (
            tf.constant(value, tf.float32) for value in (logits, images01, truths[..., np.newaxis])
        )
        outputs = Outputs(logits, heads, {}, images01)
        return session.run(loss_terms(outputs, truths, names))


@pytest.mark.parametrize("step", [304500, 1898000])
def test_golden_terms(test_data, step):
    with open(os.path.join(test_data, "golden", "losses.csv")) as file:
        rows = [row for row in csv.DictReader(file) if row["checkpoint"] == str(step)]
    data_set = find_dataset(os.path.join(test_data, "soft"), "test")
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
    # Coarse truths are blurred.
    terms = set(TERMS) - {"auxiliary", "semantic"} - ADAPTATION.keys()
    values = run_terms(truths, truths, np.ones((1, 32, 32, 3)), terms)
    for name, value in values.items():
        assert value == pytest.approx(0, abs=2e-5), name


@pytest.mark.parametrize("channels", [2, 1])  # 1: the logit of alpha alone, as for 8 bits
def test_terms_by_hand(channels):
    truths = np.zeros((1, 32, 32))
    alphas = np.full((1, 32, 32), 0.25)
    terms = TERMS.keys() - ADAPTATION.keys()
    values = run_terms(alphas, truths, np.full((1, 32, 32, 3), 0.5), terms, channels)
    assert values["alpha"] == pytest.approx(0.25, rel=1e-5)
    assert values["composition"] == pytest.approx(0.125, rel=1e-5)
    assert values["cross_entropy"] == pytest.approx(-np.log(0.75), rel=1e-5)
    assert values["auxiliary"] == pytest.approx(np.log(2), rel=1e-5)
    assert values["focal"] == pytest.approx(-np.log(0.75) / 16, rel=1e-4)
    assert values["square"] == pytest.approx(0.25**2, rel=1e-5)
    assert values["dice"] == pytest.approx(1 - 1 / (32 * 32 * 0.25**2 + 1), rel=1e-4)
    assert values["boundary"] == 0  # a truth without an outline has no band
    assert values["semantic"] == pytest.approx(10 * 0.25**2, rel=1e-5)
    assert values["detail"] == 0
    assert values["matte"] == pytest.approx(0.25 + 0.125, rel=1e-5)
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


def test_modnets_terms_weigh_the_unknown_band():
    truths = np.zeros((1, 64, 64))
    truths[:, :32] = 1  # the band is one pixel on either side: rows 31 and 32
    far, near = truths.copy(), truths.copy()
    far[:, 50], near[:, 32] = 0.5, 0.5
    images = np.full((1, 64, 64, 3), 0.5)
    far, near = (run_terms(a, truths, images, ["detail", "matte"]) for a in (far, near))
    row = 0.5 / 64  # the mean of a row that is wrong by .5
    assert far["detail"] == pytest.approx(0, abs=1e-4)
    assert near["detail"] == pytest.approx(10 * row, rel=1e-3)
    assert far["matte"] == pytest.approx(1.5 * row, rel=1e-3)
    assert near["matte"] == pytest.approx(5 * 1.5 * row, rel=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
def test_distillation_by_hand(channels):
    """Its gradients are those of Hinton et al.: T (softened - taught softened) of each pixel."""
    log_odds, taught, temperature = 3.0, 0.2, 2.0
    taught_odds = np.log(taught / (1 - taught))

    def soft(odds):
        return 1 / (1 + np.exp(-odds / temperature))

    p, q = soft(log_odds), soft(taught_odds)
    with tf.Graph().as_default(), tf.Session() as session:
        one = tf.constant(np.full((1, 4, 4, 1), log_odds), tf.float32)
        logits = one if channels == 1 else tf.concat([0.5 * one, 1.5 * one], axis=3)
        alphas = tf.constant(np.full((1, 4, 4, 1), taught), tf.float32)
        loss = teacher_loss(logits, alphas, temperature)
        value, gradient = session.run([loss, tf.gradients(loss, one)[0]])
    entropy = -(q * np.log(p) + (1 - q) * np.log(1 - p))
    assert value == pytest.approx(temperature**2 * entropy, rel=1e-5)
    np.testing.assert_allclose(gradient, temperature * (p - q) / 16, rtol=1e-4)


def test_adaptation_by_hand():
    """Alpha and the coarse head pull each other; the copy holds what lies around the person."""
    alphas = np.zeros((1, 64, 64))
    alphas[:, :32] = 0.9
    values = {
        "semantic": np.full((1, 4, 4, 1), 0.5),
        "detail": alphas[..., np.newaxis],
        "copy_detail": np.zeros((1, 64, 64, 1)),
        "copy_matte": np.zeros((1, 64, 64, 1)),
    }
    with tf.Graph().as_default(), tf.Session() as session:
        heads = {name: tf.constant(value, tf.float32) for name, value in values.items()}
        alphas = tf.constant(alphas[..., np.newaxis], tf.float32)
        logits = tf.log(alphas / (1 - alphas) + 1e-9)
        outputs = Outputs(logits, heads, {}, alphas)
        terms = {name: TERMS[name](alphas, None, outputs) for name in ADAPTATION}
        coarse = blur(downsample(alphas, 16))
        pulls = tf.gradients(terms["soc_semantic"], [heads["semantic"], alphas])
        fetched, coarse, pulls = session.run([terms, coarse, pulls])
    expected = 2 * 100 * np.mean((coarse - 0.5) ** 2)
    assert fetched["soc_semantic"] == pytest.approx(expected, rel=1e-5)
    assert np.any(pulls[0]) and np.any(pulls[1])
    # The band: one pixel on either side of row 31.5; only the row above has alpha.
    assert fetched["soc_detail"] == pytest.approx(2 * 0.9 / 64, rel=1e-5)


def test_the_coarse_truth_of_modnet_is_blurred():
    truths = np.zeros((1, 96, 96))
    truths[:, 32:48, 32:48] = 1  # one pixel of the coarse truth
    with tf.Graph().as_default(), tf.Session() as session:
        coarse = session.run(blur(downsample(tf.constant(truths[..., None], tf.float32), 16)))[
            0, ..., 0
        ]
    line = np.exp(-0.5 * np.array([1, 0, 1]) / 0.8**2)
    expected = np.zeros((6, 6))
    expected[1:4, 1:4] = np.outer(line, line) / line.sum() ** 2
    np.testing.assert_allclose(coarse, expected, atol=1e-6)


def test_a_term_of_a_head_that_the_network_lacks_says_so():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="detail term.*: coarse_logits"):
        logits = tf.zeros([1, 32, 32, 2])
        outputs = Outputs(logits, {"coarse_logits": logits[:, ::16, ::16]}, {}, logits)
        loss_terms(outputs, logits[..., :1], ["alpha", "detail"])


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
