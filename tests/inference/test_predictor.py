"""Tests of mmnet.inference.predictor."""

import os
import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT, assert_message, assert_raises
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor, output_to_alphas
from mmnet.inference.runtimes import has_runtime
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network
from mmnet.tf.compat import tf
from mmnet.weights.registry import DEFAULT, weights_folder


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
    for shape in ([2, 64, 32, 3], [0, 32, 64, 3], [32, 64, 3]):
        with assert_raises(MmnetError, "[N,32,64,3]", shape):
            recording_predictor([])(np.zeros(shape))


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


CALL_IN_CHILD = """
import os, signal, sys
import numpy
from mmnet.inference.open import open_predictor
from mmnet.io.errors import MmnetError

source, action = sys.argv[1:]
predictor = open_predictor(source)
images = numpy.zeros((1, *predictor.network.shape, 3))
predictor(images)
child = os.fork()
if child == 0:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(60)  # ends a child that hangs
    try:
        if action == "open":
            predictor = open_predictor(source)
        predictor(images)
        print("alphas", flush=True)
    except MmnetError as error:
        print(error, flush=True)
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.parametrize("action", ["call", "open"])
@pytest.mark.parametrize("model", ["untrained", "mmnet_float32.tflite", "mmnet.onnx"])
def test_predictor_does_not_hang_after_a_fork(model, action):
    if model == "mmnet.onnx":
        pytest.importorskip("onnxruntime")
    source = model if model == "untrained" else os.path.join(weights_folder(DEFAULT), model)
    command = [sys.executable, "-c", CALL_IN_CHILD, source, action]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert result.returncode == 0  # the child was not ended by the alarm
    # LiteRT works after a fork. ONNX Runtime and the interpreter of TensorFlow 1 can be opened.
    works = model != "untrained" and action == "open"
    works = works or (model.endswith(".tflite") and (has_runtime("tflite") or tf.__version__ > "2"))
    assert_message(result.stdout, "alphas" if works else "fork")
