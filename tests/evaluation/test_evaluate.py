"""Tests of mmnet.evaluation.evaluate."""

import os
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest

from helpers import assert_raises, call_before
from helpers.matting import brightness_predictor
from helpers.results import read_golden_scores
from mmnet.datasets.pairs import Dataset, find_dataset, read_pair
from mmnet.evaluation.evaluate import evaluate
from mmnet.evaluation.metrics import MAIN_METRICS, METRICS
from mmnet.inference.card import Card
from mmnet.inference.checkpoints import CheckpointPredictor
from mmnet.inference.predictor import Predictor
from mmnet.io import images, masks
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network
from mmnet.tf.device import Device
from mmnet.weights.values import read_weights

SHAPE, TALL = (64, 64), (96, 64)
TARGET = (40, 30)
KEYS = [(metric, place) for place in ("network", "target") for metric in MAIN_METRICS]


def predictor_of(run):
    """Return a Predictor whose alphas [N,H,W,1] are ``run(images)``."""
    return Predictor(run, Card(Network(shape=SHAPE)))


@pytest.mark.parametrize("shape", [SHAPE, TALL])
def test_evaluate_scores_each_pair_once_with_any_batch_size(portrait_set, shape):
    evaluations = {}
    for batch_size in (1, 4, 6, 64):
        inputs = []
        predictor = brightness_predictor(shape, inputs)
        evaluation = evaluate(predictor, portrait_set, TARGET, batch_size=batch_size)
        sizes = [len(images) for images in inputs]
        assert sum(sizes) == len(portrait_set) and max(sizes) <= batch_size
        assert evaluation.shapes == {"network": shape, "target": TARGET}
        evaluations[batch_size] = evaluation
    first = evaluations[1]
    assert list(first.scores) == KEYS
    for key, values in first.scores.items():
        assert len(set(values)) == len(portrait_set)  # a wrong order would show
        for other in evaluations.values():
            np.testing.assert_array_equal(other.scores[key], values)


@pytest.mark.parametrize("shape", [SHAPE, TALL])
def test_evaluate_follows_the_definition(portrait_set, shape):
    pair = portrait_set.pairs[2]
    dataset = Dataset(portrait_set.path, portrait_set.split, [pair])
    predictor = brightness_predictor(shape)
    evaluation = evaluate(predictor, dataset, TARGET, all_metrics=True, keep_alphas=True)
    image, mask = read_pair(pair)
    alpha = predictor.run_image(image)
    truth = resize_bilinear(mask, shape, align_corners=True)
    target_alpha = resize_bilinear(alpha, TARGET, align_corners=False)
    target_truth = resize_bilinear(mask, TARGET, align_corners=False)
    expected = {(name, "network"): METRICS[name].compute(alpha, truth) for name in MAIN_METRICS}
    for name, metric in METRICS.items():
        expected[name, "target"] = metric.compute(target_alpha, target_truth)
    assert evaluation.scores.keys() == expected.keys()
    for key, value in expected.items():
        assert evaluation.scores[key] == pytest.approx(value, abs=1e-10)
    ((sample, example_alpha, seconds),) = evaluation.examples
    assert sample.image.shape == (*shape, 3)
    np.testing.assert_array_equal(sample.truth, truth)
    np.testing.assert_array_equal(example_alpha, alpha)
    assert 1000 * seconds == pytest.approx(evaluation.predict_ms)
    np.testing.assert_array_equal(evaluation.alphas[0], alpha)


def test_evaluate_without_target_shape(portrait_set):
    evaluation = evaluate(brightness_predictor(TALL), portrait_set, None)
    assert evaluation.shapes == {"network": TALL}
    assert set(evaluation.scores) == {("mad", "network"), ("gauss_grad", "network")}
    complete = evaluate(brightness_predictor(TALL), portrait_set, TARGET)
    for key, values in evaluation.scores.items():
        np.testing.assert_array_equal(values, complete.scores[key])


def test_evaluate_scores_alphas_of_matte(portrait_set):
    predictor = brightness_predictor(SHAPE)
    evaluation = evaluate(predictor, portrait_set, TARGET, matte=predictor.run_image)
    expected = evaluate(predictor, portrait_set, TARGET)
    for key, values in expected.scores.items():
        np.testing.assert_allclose(evaluation.scores[key], values, atol=1e-6)


def test_evaluate_reads_each_file_once(portrait_set, monkeypatch):
    opened = []
    for module in (images, masks):
        call_before(monkeypatch, module, "read_bytes", opened.append)
    evaluate(brightness_predictor(SHAPE), portrait_set, TARGET, batch_size=4)
    paths = [path for pair in portrait_set.pairs for path in pair.files]
    assert Counter(opened) == dict.fromkeys(paths, 1)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_evaluate_reports_all_unusable_pairs(portraits, tmp_path, batch_size):
    shutil.copytree(portraits, str(tmp_path / "copy"))
    pairs = find_dataset(str(tmp_path / "copy"), "test").pairs
    os.unlink(pairs[0].mask)
    for path in (pairs[1].image, pairs[5].mask):
        with open(path, "wb") as file:
            file.write(b"no image")
    cv2.imwrite(pairs[3].mask, np.eye(30, 20, dtype=np.uint8))
    dataset = find_dataset(str(tmp_path / "copy"), "test")
    tokens = ["portrait0_0000.jpg", pairs[1].image, pairs[5].mask]
    with assert_raises(MmnetError, *tokens, "portrait0_0003.jpg", "200x150", "30x20"):
        evaluate(brightness_predictor(SHAPE), dataset, TARGET, batch_size=batch_size)


@pytest.mark.parametrize(
    "run, tokens",
    [
        pytest.param(
            lambda images: images[:, 0, :, :1], ("[6, 64]", "[6, 64, 64]"), id="wrong shape"
        ),
        pytest.param(lambda images: images[..., :1], ("alpha", "0..1"), id="wrong range"),
    ],
)
def test_evaluate_refuses_wrong_alphas(portrait_set, run, tokens):
    with assert_raises(MmnetError, *tokens):
        evaluate(predictor_of(run), portrait_set)


def test_evaluate_raises_errors_of_the_predictor(portrait_set):
    def fail(images):
        raise RuntimeError("broken network")

    with pytest.raises(RuntimeError, match="broken network"):
        evaluate(predictor_of(fail), portrait_set)


def test_tag_is_the_published_name(portrait_set):
    evaluation = evaluate(brightness_predictor(SHAPE), portrait_set, (800, 600))
    metrics = [evaluation.tag((name, "target")).split("/", 1) for name in METRICS]
    names = ["MAD", "GAUSS_GRAD", "SAD", "MSE", "GRAD", "CONN", "MIOU", "FLAWS", "FLAW_AREA"]
    assert metrics == [[name, "test/800_600"] for name in names]
    for key, (tag, mean) in zip(KEYS, evaluation.means().items()):
        assert tag == evaluation.tag(key)
        assert mean == np.mean(evaluation.scores[key])
    assert evaluation.tag(("mad", "network")) == "MAD/test"


@pytest.fixture(scope="module")
def mmnet_predictor():
    return CheckpointPredictor(Network(), Device(exact=False))


@pytest.mark.parametrize("step", [304500, 1898000])
def test_evaluate_equals_golden_scores(test_data, mmnet_predictor, step):
    prefix = os.path.join(test_data, "checkpoints", f"MMNetModel-{step}")
    mmnet_predictor.load(read_weights(prefix, Network()))
    assert mmnet_predictor.step == step
    dataset = find_dataset(os.path.join(test_data, "soft"), "test")
    evaluation = evaluate(mmnet_predictor, dataset)
    golden = read_golden_scores(test_data, step)
    assert list(evaluation.means()) == list(golden)
    for key, values in evaluation.scores.items():
        # The golden file has 8 decimals; the rest is float32 rounding inside the network.
        expected = golden[evaluation.tag(key)]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6, err_msg=str(key))
