"""Tests of mmnet.evaluation.comparison."""

import numpy as np
import pytest

from mmnet.datasets.pairs import Dataset, Pair
from mmnet.evaluation.comparison import compare_evaluations, measure_difference
from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.statistics import bootstrap_interval


def make_evaluation(mad, gradient_error=(0.01, 0.01, 0.01, 0.01), *, path="faces", alphas=()):
    """Return an Evaluation with the same scores at both shapes."""
    pairs = [Pair(f"{path}{index}", "", None) for index in range(len(mad))]
    values = {"mad": np.array(mad), "gauss_grad": np.array(gradient_error)}
    scores = {(name, place): values[name] for name in values for place in ("network", "target")}
    shapes = {"network": (64, 64), "target": (80, 60)}
    return Evaluation(Dataset(path, "test", pairs), None, None, shapes, scores, alphas=alphas)


def test_compare_evaluations_with_the_first_of_the_dataset():
    reference = make_evaluation([0.1, 0.2, 0.3, 0.4])
    better = make_evaluation([0.05, 0.14, 0.26, 0.33], [0.02, 0.00, 0.02, 0.00])
    other_dataset = make_evaluation([0.1] * 4, path="people")
    mad, gradient_error = compare_evaluations([reference, better, other_dataset])
    assert (mad.metric, mad.evaluation, mad.reference) == ("mad", better, reference)
    assert mad.difference.mean == pytest.approx(-0.055)
    assert mad.difference.verdict == "better"
    assert gradient_error.difference.mean == pytest.approx(0)
    assert gradient_error.difference.verdict == "not significant"


def test_compare_evaluations_skips_other_images():
    reference = make_evaluation([0.1, 0.2, 0.3, 0.4])
    other_images = make_evaluation([0.1] * 4, path="others")
    other_images = other_images._replace(
        dataset=Dataset("faces", "test", other_images.dataset.pairs)
    )
    assert compare_evaluations([reference, other_images]) == []


def test_measure_difference_measures_alphas_and_scores():
    alphas = [np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)]
    changed = [alphas[0] + 0.5, alphas[1]]
    changed[1] = changed[1] - np.array([[0.25, 0], [0, 0]], np.float32)
    reference = make_evaluation([0.1, 0.3], [0.01, 0.02], alphas=alphas)
    model = make_evaluation([0.2, 0.3], [0.01, 0.02], alphas=changed)
    difference = measure_difference(model, reference)
    assert difference.largest_difference == 0.5
    assert difference.mean_difference == pytest.approx((4 * 0.5 + 0.25) / 8)
    score = difference.scores["mad"]
    assert (score.mean, score.difference) == (pytest.approx(0.25), pytest.approx(0.05))
    assert score.interval == bootstrap_interval(np.array([0.2, 0.3]) - np.array([0.1, 0.3]))
    assert difference.scores["gauss_grad"].difference == 0


def test_measure_difference_propagates_nan():
    alphas = [np.zeros((2, 2), np.float32)]
    reference = make_evaluation([0.1], [0.01], alphas=alphas)
    model = make_evaluation([0.1], [0.01], alphas=[alphas[0] + np.nan])
    assert np.isnan(measure_difference(model, reference).largest_difference)
