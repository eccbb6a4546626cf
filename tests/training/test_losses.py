"""Tests of mmnet.training.losses."""

import csv
import os

import numpy as np
import pytest

from helpers import assert_raises
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear
from mmnet.networks.layers import INFERENCE, Outputs, downsample
from mmnet.networks.mmnet import mmnet
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.training.losses import (
    ADAPTATION,
    TERMS,
    gaussian_blur,
    loss_terms,
    select_loss_weights,
    teacher_loss,
    total_loss,
    weight_decay,
)

PUBLISHED = ("alpha", "composition", "gradient", "cross_entropy", "auxiliary")


def run_terms(alphas, truths, images01, names, channels=2):
    """Compute terms for alphas [N,H,W]. The coarse logits are 0."""
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
def test_terms_equal_the_published_code(test_data, step):
    with open(os.path.join(test_data, "golden", "losses.csv")) as file:
        rows = [row for row in csv.DictReader(file) if row["checkpoint"] == str(step)]
    dataset = find_dataset(os.path.join(test_data, "soft"), "test")
    pairs = {pair.stem: pair for pair in dataset.pairs}
    with tf.Graph().as_default(), tf.Session() as session:
        images01 = tf.placeholder(tf.float32, [1, 256, 256, 3])
        truths = tf.placeholder(tf.float32, [1, 256, 256, 1])
        outputs = mmnet(images01, Network(), INFERENCE)._replace(images01=images01)
        terms = loss_terms(outputs, truths, PUBLISHED)
        values = checkpoint.read(os.path.join(test_data, "checkpoints", f"MMNetModel-{step}"))
        checkpoint.restore(session, values, tf.global_variables())
        for row in rows:
            image, alpha = (
                resize_bilinear(array, (256, 256), align_corners=True)
                for array in read_pair(pairs[row["stem"]])
            )
            feed = {images01: image[None] / 255, truths: alpha[None, ..., None]}
            result = session.run(terms, feed)
            for name in PUBLISHED:  # the file has 8 decimals
                expected = float(row[name])
                assert result[name] == pytest.approx(expected, abs=2e-7), (row["stem"], name)
            expected = float(row["composition_reference"])
            assert result["composition"] / 255 == pytest.approx(expected, abs=2e-8)


def test_terms_of_perfect_alphas_are_zero():
    truths = np.zeros((1, 32, 32))
    truths[:, 8:24, 8:24] = 1
    # The coarse truths of the excluded terms are blurred.
    terms = set(TERMS) - {"auxiliary", "semantic"} - ADAPTATION.keys()
    values = run_terms(truths, truths, np.ones((1, 32, 32, 3)), terms)
    for name, value in values.items():
        assert value == pytest.approx(0, abs=2e-5), name


@pytest.mark.parametrize("channels", [2, 1])  # logits: two, or one as for 8 bits
def test_terms_of_constant_alphas(channels):
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
    assert values["boundary"] == 0  # the truth has no edge
    assert values["semantic"] == pytest.approx(10 * 0.25**2, rel=1e-5)
    assert values["detail"] == 0
    assert values["matte"] == pytest.approx(0.25 + 0.125, rel=1e-5)
    # A constant difference is in no band of the pyramid.
    assert values["laplacian"] == pytest.approx(0, abs=1e-6)
    # Sobel / 8 of a constant .25 is 0 inside; zero padding changes the border.
    border = (2 * 30 * 0.25 * 4 / 8 + 4 * 0.25 * 3 / 8) * 2 / (2 * 32 * 32)
    assert values["gradient"] == pytest.approx(border, rel=1e-4)


def test_boundary_loss_ignores_pixels_far_from_edges():
    truths = np.zeros((1, 64, 64))
    truths[:, :32] = 1
    far, near = truths.copy(), truths.copy()
    far[:, 60], near[:, 34] = 0.5, 0.5
    images = np.ones((1, 64, 64, 3))
    far, near = (run_terms(alphas, truths, images, ["boundary"]) for alphas in (far, near))
    assert far["boundary"] == pytest.approx(0, abs=1e-5)
    assert near["boundary"] == pytest.approx(0.5 / 6, rel=1e-3)


def test_modnet_losses_weight_unknown_regions():
    truths = np.zeros((1, 64, 64))
    truths[:, :32] = 1  # the unknown region has one pixel on both sides: rows 31 and 32
    far, near = truths.copy(), truths.copy()
    far[:, 50], near[:, 32] = 0.5, 0.5
    images = np.full((1, 64, 64, 3), 0.5)
    far, near = (run_terms(a, truths, images, ["detail", "matte"]) for a in (far, near))
    row = 0.5 / 64  # mean of one row with an error of .5
    assert far["detail"] == pytest.approx(0, abs=1e-4)
    assert near["detail"] == pytest.approx(10 * row, rel=1e-3)
    assert far["matte"] == pytest.approx(1.5 * row, rel=1e-3)
    assert near["matte"] == pytest.approx(5 * 1.5 * row, rel=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
def test_teacher_loss_and_its_gradient(channels):
    """The gradient per pixel is T * (softened alpha - softened teacher alpha) (Hinton et al.)."""
    log_odds, teacher_alpha, temperature = 3.0, 0.2, 2.0
    teacher_odds = np.log(teacher_alpha / (1 - teacher_alpha))

    def soft(odds):
        return 1 / (1 + np.exp(-odds / temperature))

    p, q = soft(log_odds), soft(teacher_odds)
    with tf.Graph().as_default(), tf.Session() as session:
        logit = tf.constant(np.full((1, 4, 4, 1), log_odds), tf.float32)
        logits = logit if channels == 1 else tf.concat([0.5 * logit, 1.5 * logit], axis=3)
        alphas = tf.constant(np.full((1, 4, 4, 1), teacher_alpha), tf.float32)
        loss = teacher_loss(logits, alphas, temperature)
        value, gradient = session.run([loss, tf.gradients(loss, logit)[0]])
    entropy = -(q * np.log(p) + (1 - q) * np.log(1 - p))
    assert value == pytest.approx(temperature**2 * entropy, rel=1e-5)
    np.testing.assert_allclose(gradient, temperature * (p - q) / 16, rtol=1e-4)


def test_adaptation_losses():
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
        coarse = gaussian_blur(downsample(alphas, 16))
        gradients = tf.gradients(terms["soc_semantic"], [heads["semantic"], alphas])
        fetched, coarse, gradients = session.run([terms, coarse, gradients])
    expected = 2 * 100 * np.mean((coarse - 0.5) ** 2)
    assert fetched["soc_semantic"] == pytest.approx(expected, rel=1e-5)
    assert np.any(gradients[0]) and np.any(gradients[1])
    # The region has one pixel on both sides of row 31.5; only the upper row has alpha.
    assert fetched["soc_detail"] == pytest.approx(2 * 0.9 / 64, rel=1e-5)


def test_coarse_truth_of_modnet_is_blurred():
    truths = np.zeros((1, 96, 96))
    truths[:, 32:48, 32:48] = 1  # one pixel of the coarse truth
    with tf.Graph().as_default(), tf.Session() as session:
        coarse = session.run(
            gaussian_blur(downsample(tf.constant(truths[..., None], tf.float32), 16))
        )[0, ..., 0]
    line = np.exp(-0.5 * np.array([1, 0, 1]) / 0.8**2)
    expected = np.zeros((6, 6))
    expected[1:4, 1:4] = np.outer(line, line) / line.sum() ** 2
    np.testing.assert_allclose(coarse, expected, atol=1e-6)


def test_term_needs_its_head():
    with tf.Graph().as_default(), assert_raises(MmnetError, "detail", "coarse_logits"):
        logits = tf.zeros([1, 32, 32, 2])
        outputs = Outputs(logits, {"coarse_logits": logits[:, ::16, ::16]}, {}, logits)
        loss_terms(outputs, logits[..., :1], ["alpha", "detail"])


def test_total_loss_is_a_weighted_mean():
    with tf.Graph().as_default(), tf.Session() as session:
        terms = {"alpha": tf.constant(1.0), "gradient": tf.constant(4.0)}
        total = total_loss(terms, {"alpha": 1.0, "gradient": 0.5})
        assert session.run(total) == pytest.approx(2.0)


def test_weight_decay_excludes_depthwise_weights_and_biases():
    with tf.Graph().as_default(), tf.Session() as session:
        for name in ("a/weights", "a/depthwise_weights", "a/biases"):
            tf.get_variable(name, [3], initializer=tf.constant_initializer(2.0))
        decay = weight_decay(tf.trainable_variables(), 0.1)
        session.run(tf.global_variables_initializer())
        assert session.run(decay) == pytest.approx(0.6)


def test_select_loss_weights_overrides_defaults():
    assert select_loss_weights(Network(), {}) == dict.fromkeys(PUBLISHED, 1.0)
    weights = select_loss_weights(Network("deeplab"), {"focal": 0.5, "gradient": 0.0})
    assert weights == {"alpha": 1.0, "composition": 1.0, "cross_entropy": 1.0, "focal": 0.5}
    with assert_raises(MmnetError, "loss_weights", "0"):
        select_loss_weights(Network(), dict.fromkeys(TERMS, 0.0))
