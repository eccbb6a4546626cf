import csv
import os

import numpy as np
import pytest

from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import load_pairs, read_pair
from mmnet.delivery.predictor import CheckpointPredictor
from mmnet.scoring import metrics
from mmnet.scoring.evaluate import evaluate


def grey(images):
    """A Predict that needs no network: the picture's brightness."""
    return np.asarray(images).mean(axis=3) / 255


def test_every_picture_exactly_once_in_any_batch_size(portraits):
    pairs = load_pairs(portraits, "test")
    runs = {}
    for batch_size in (1, 4, 6, 64):
        seen = []
        result = evaluate(lambda images: seen.append(len(images)) or grey(images), pairs, size=64,
                          target_eval_shape=(40, 30), batch_size=batch_size)
        assert sum(seen) == len(pairs) and max(seen) <= batch_size
        assert result.stems == [pair.stem for pair in pairs]
        runs[batch_size] = result.scores
    assert set(runs[1]) == {"mad_64", "gauss_grad_64", "mad_40_30", "gauss_grad_40_30"}
    for column, values in runs[1].items():
        assert len(set(values)) == len(pairs)  # of different pictures: an order mixed up would show
        for other in runs.values():
            np.testing.assert_array_equal(other[column], values)


def test_scores_are_those_of_the_definition(portraits):
    pair = load_pairs(portraits, "test")[2]
    result = evaluate(grey, [pair], size=64, target_eval_shape=(40, 30), all_metrics=True)
    image, mask = read_pair(pair)
    alpha = grey(resize_bilinear(image, (64, 64), True)[None])[0]
    target = resize_bilinear(alpha, (40, 30), False), resize_bilinear(mask, (40, 30), False)
    assert result.scores["mad_64"] == metrics.mad(alpha, resize_bilinear(mask, (64, 64), True))
    for name in ("mad", "gauss_grad", "sad", "mse", "grad", "conn", "miou"):
        assert result.scores[name + "_40_30"] == getattr(metrics, name)(*target)
    example = result.examples[0]
    assert example.stem == pair.stem and example.image.shape == (64, 64, 3) and example.truth.shape == (64, 64)


def test_a_predictor_that_breaks_its_contract_is_named(portraits):
    pairs = load_pairs(portraits, "test")
    with pytest.raises(ValueError, match=r"alphas \[6, 64, 64\] .* not \[6, 64\]"):
        evaluate(lambda images: grey(images)[:, 0], pairs, size=64)
    with pytest.raises(ValueError, match="alpha is in 0..1"):
        evaluate(lambda images: grey(images) * 255, pairs, size=64)


@pytest.fixture(scope="module")
def predictor():
    return CheckpointPredictor()


@pytest.mark.parametrize("step", [304500, 1898000])
def test_golden_scores(test_data, predictor, step):
    with open(os.path.join(test_data, "golden", "metrics.csv")) as file:
        golden = {row["stem"]: row for row in csv.DictReader(file) if row["checkpoint"] == str(step)}
    assert predictor.restore(os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step))[1] == step
    result = evaluate(predictor, load_pairs(os.path.join(test_data, "soft"), "test"))
    assert result.stems == sorted(golden)
    for column, values in result.scores.items():
        expected = [float(golden[stem][column]) for stem in result.stems]
        # The golden file has 8 decimals; what is left is float32 rounding inside the network.
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6, err_msg=column)
