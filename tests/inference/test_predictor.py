"""Tests of mmnet.inference.predictor."""

import numpy as np
import pytest

from helpers import assert_raises
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor, output_to_alphas
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network


def recording_predictor(inputs, channels=3, **card):
    """Return a Predictor that appends its inputs to a list and returns their last channel."""

    def run(images):
        inputs.append(images)
        return images[..., -1:] / 255

    return Predictor(run, Card(Network(shape=(32, 64), channels=channels), **card), batch_size=2)


def test_predictor_splits_batches():
    inputs = []
    images = np.full((5, 32, 64, 3), 51, np.uint8)
    alphas = recording_predictor(inputs)(images)
    assert [len(batch) for batch in inputs] == [2, 2, 1]
    assert alphas.shape == (5, 32, 64) and alphas.dtype == np.float32
    np.testing.assert_allclose(alphas, 0.2, rtol=1e-6)


def test_predictor_divides_images_outside_the_model():
    inputs = []
    recording_predictor(inputs, preprocess="outside")(np.full((1, 32, 64, 3), 255))
    assert inputs[0].max() == 1


def test_predictor_adds_previous_alphas():
    images, previous = np.zeros((1, 32, 64, 3)), np.full((1, 32, 64), 0.5)
    predictor = recording_predictor([], channels=4)
    assert predictor(images).max() == 0
    np.testing.assert_allclose(predictor(images, previous), 0.5)


def test_predictor_rejects_images_of_another_shape():
    with assert_raises(MmnetError, "[N,32,64,3]", [2, 64, 32, 3]):
        recording_predictor([])(np.zeros((2, 64, 32, 3)))


def test_predictor_closes_at_the_end_of_the_block():
    calls = []
    predictor = Predictor(lambda images: images, Card(Network()), release=lambda: calls.append(1))
    with predictor as opened:
        assert opened is predictor and not calls
    predictor.close()
    assert calls == [1]
    with pytest.raises(RuntimeError):
        predictor(np.zeros((1, 256, 256, 3)))


@pytest.mark.parametrize(
    "value, expected",
    [(-1e-6, 0), (0.5, 0.5), (1 + 1.2e-7, 1), (1.01, 1.01), (-0.01, -0.01), (np.nan, np.nan)],
)
def test_predictor_clips_rounding_errors_only(value, expected):
    alphas = np.full((1, 32, 64, 1), value, np.float32)
    predictor = Predictor(lambda images: alphas, Card(Network(shape=(32, 64))))
    result = predictor(np.zeros((1, 32, 64, 3)))
    np.testing.assert_array_equal(result, np.full((1, 32, 64), expected, np.float32))


def test_output_to_alphas_is_a_softmax_of_logits():
    logits = np.random.RandomState(0).normal(0, 3, (2, 4, 4, 2))
    exponents = np.exp(logits)
    expected = exponents[..., 1] / exponents.sum(axis=-1)
    np.testing.assert_allclose(output_to_alphas(logits, "logits"), expected)
    np.testing.assert_array_equal(output_to_alphas(logits, "probabilities"), logits[..., 1])
