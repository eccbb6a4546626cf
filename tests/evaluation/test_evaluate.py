import csv
import os
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from helpers.brief import WHOLE, using

from mmnet.datasets.pairs import Dataset, find_dataset, read_pair
from mmnet.evaluation import metrics
from mmnet.evaluation.evaluate import evaluate
from mmnet.evaluation.report import column_of
from mmnet.inference.card import Card
from mmnet.inference.checkpoints import CheckpointPredictor
from mmnet.inference.predictor import Predictor
from mmnet.io import images as images_module
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network
from mmnet.tf.device import Device
from mmnet.weights.values import read_weights

SHAPE, TALL = (64, 64), (96, 64)


def brightness(images):
    return np.asarray(images).mean(axis=3) / 255


def grey(shape, seen=None):
    """A Predictor that needs no network: the picture's brightness.

    seen: a list, to which the length of each batch is added.
    """

    def run(images):
        if seen is not None:
            seen.append(len(images))
        return brightness(images)[..., None]

    return Predictor(run, Card(Network(shape=shape)))


class Raw:
    """What has a network's shape and gives what a function gives, right or wrong."""

    network = Network(shape=SHAPE)

    def __init__(self, function):
        self.function = function

    def __call__(self, images):
        return self.function(images)


@pytest.mark.parametrize("shape", [SHAPE, TALL])
def test_every_picture_exactly_once_in_any_batch_size(portrait_set, shape):
    runs = {}
    for batch_size in (1, 4, 6, 64):
        seen = []
        result = evaluate(grey(shape, seen), portrait_set, (40, 30), batch_size)
        assert sum(seen) == len(portrait_set) and max(seen) <= batch_size
        assert result.stems == [pair.stem for pair in portrait_set.pairs]
        assert result.shapes == {"network": shape, "target": (40, 30)}
        runs[batch_size] = result.scores
    assert set(runs[1]) == {
        ("mad", "network"),
        ("gauss_grad", "network"),
        ("mad", "target"),
        ("gauss_grad", "target"),
    }
    for key, values in runs[1].items():
        # Of different pictures: an order mixed up would show.
        assert len(set(values)) == len(portrait_set)
        for other in runs.values():
            np.testing.assert_array_equal(other[key], values)


@pytest.mark.parametrize("shape", [SHAPE, TALL])
def test_scores_are_those_of_the_definition(portrait_set, shape):
    pair = portrait_set.pairs[2]
    one = Dataset(portrait_set.path, portrait_set.split, [pair])
    result = evaluate(grey(shape), one, target_shape=(40, 30), all_metrics=True)
    image, mask = read_pair(pair)
    seen, truth = resize_bilinear(image, shape, True), resize_bilinear(mask, shape, True)
    alpha = brightness(seen[None])[0]
    target = resize_bilinear(alpha, (40, 30), False), resize_bilinear(mask, (40, 30), False)
    for name in ("mad", "gauss_grad"):
        assert result.scores[name, "network"] == getattr(metrics, name)(alpha, truth)
    for name in ("mad", "gauss_grad", "sad", "mse", "grad", "conn", "miou"):
        assert result.scores[name, "target"] == getattr(metrics, name)(*target)
    example = result.examples[0]
    assert example.stem == pair.stem and example.image.shape == shape + (3,)
    np.testing.assert_array_equal(example.truth, truth)
    np.testing.assert_array_equal(example.alpha, alpha)


def test_without_a_target_shape_the_networks_alone_is_scored(portrait_set):
    result = evaluate(grey(TALL), portrait_set, None)
    assert set(result.scores) == {("mad", "network"), ("gauss_grad", "network")}
    assert result.shapes == {"network": TALL}
    both = evaluate(grey(TALL), portrait_set, (40, 30))
    for key, values in result.scores.items():
        np.testing.assert_array_equal(values, both.scores[key])


def test_each_file_is_read_exactly_once(portrait_set, monkeypatch):
    opened, read_bytes = [], images_module.read_bytes

    def counted(path):
        opened.append(path)
        return read_bytes(path)

    monkeypatch.setattr(images_module, "read_bytes", counted)
    evaluate(grey(SHAPE), portrait_set, (40, 30), 4)
    files = [path for pair in portrait_set.pairs for path in (pair.image, pair.mask)]
    assert Counter(opened) == dict.fromkeys(files, 1)


def test_everything_wrong_with_the_data_set_is_said_at_once(portraits, tmp_path):
    shutil.copytree(portraits, str(tmp_path / "own"))
    pairs = find_dataset(str(tmp_path / "own"), "test").pairs
    os.unlink(pairs[0].mask)
    for path in (pairs[1].image, pairs[5].mask):
        with open(path, "wb") as file:
            file.write(b"no picture")
    cv2.imwrite(pairs[3].mask, np.eye(30, 20, dtype=np.uint8))
    data_set = find_dataset(str(tmp_path / "own"), "test")
    for batch_size in (1, 64):
        with pytest.raises(ValueError) as caught:
            evaluate(grey(SHAPE), data_set, (40, 30), batch_size)
        said = str(caught.value)
        assert "\n" not in said
        assert "1 images without a mask (portrait0_0000.jpg)" in said
        assert "2 unreadable files (" in said
        for path in (pairs[1].image, pairs[5].mask):
            assert "%s: not a JPEG" % path in said
        assert "1 pairs of different sizes" in said
        assert "portrait0_0003.jpg 200x150 with mask 30x20" in said


def test_a_predictor_that_breaks_its_contract_is_named(portrait_set):
    with pytest.raises(ValueError, match=r"alphas \[6, 64, 64\] .* not \[6, 64\]"):
        evaluate(Raw(lambda images: brightness(images)[:, 0]), portrait_set)
    with pytest.raises(ValueError, match="alpha is in 0..1"):
        evaluate(Raw(lambda images: brightness(images) * 255), portrait_set)
    result = evaluate(Raw(brightness), portrait_set, (40, 30))
    expected = evaluate(grey(SHAPE), portrait_set, (40, 30))
    np.testing.assert_array_equal(result.scores["mad", "target"], expected.scores["mad", "target"])


def test_a_predictor_refuses_pictures_of_another_shape():
    with pytest.raises(ValueError, match=r"images \[N,96,64,3\], not \[1, 64, 96, 3\]"):
        grey(TALL)(np.zeros((1, 64, 96, 3)))


@pytest.fixture(scope="module")
def predictor():
    with using(WHOLE):
        return CheckpointPredictor(Network(), Device(exact=False))


@pytest.mark.parametrize("step", [304500, 1898000])
def test_golden_scores(test_data, predictor, step):
    with open(os.path.join(test_data, "golden", "metrics.csv")) as file:
        rows = [row for row in csv.DictReader(file) if row["checkpoint"] == str(step)]
    golden = {row["stem"]: row for row in rows}
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step)
    predictor.load(read_weights(prefix, Network()))
    assert predictor.step == step
    result = evaluate(predictor, find_dataset(os.path.join(test_data, "soft"), "test"))
    assert result.stems == sorted(golden)
    columns = {column_of(key, result.shapes): values for key, values in result.scores.items()}
    assert set(columns) == {"mad_256", "gauss_grad_256", "mad_800_600", "gauss_grad_800_600"}
    for column, values in columns.items():
        expected = [float(golden[stem][column]) for stem in result.stems]
        # The golden file has 8 decimals; what is left is float32 rounding inside the network.
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6, err_msg=column)
