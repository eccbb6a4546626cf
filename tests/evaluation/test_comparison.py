"""Tests of mmnet.evaluation.comparison."""

import numpy as np
import pytest

from helpers.results import make_evaluation
from mmnet.evaluation.comparison import (
    bootstrap_interval,
    compare_evaluations,
    compare_scores,
    measure_difference,
)


def test_bootstrap_interval_is_near_the_normal_interval():
    values = np.random.RandomState(1).normal(5, 2, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.04)
    assert bootstrap_interval(values) == (low, high)  # does not depend on chance
    assert bootstrap_interval(np.array([3.0])) == (3.0, 3.0)


@pytest.mark.parametrize(
    "values, verdict",
    [
        ([0.05, 0.14, 0.26, 0.33], "better"),
        ([0.15, 0.26, 0.34, 0.47], "worse"),
        ([0.05, 0.24, 0.26, 0.43], "not significant"),
    ],
)
def test_compare_scores_has_verdict(values, verdict):
    score = compare_scores(np.array(values), np.array([0.1, 0.2, 0.3, 0.4]))
    assert score.mean == np.mean(values)
    assert score.difference == pytest.approx(np.mean(values) - 0.25)
    low, high = score.interval
    assert low <= score.difference <= high
    assert score.verdict == verdict


def test_compare_evaluations_with_the_first_of_the_dataset():
    reference = make_evaluation([0.1, 0.2, 0.3, 0.4])
    better = make_evaluation([0.05, 0.14, 0.26, 0.33], [0.02, 0.00, 0.02, 0.00])
    other_dataset = make_evaluation([0.1] * 4, path="data/people")
    mad, gradient_error = compare_evaluations([reference, better, other_dataset])
    assert (mad.metric, mad.evaluation, mad.reference) == ("mad", better, reference)
    assert mad.score.difference == pytest.approx(-0.055)
    assert mad.score.verdict == "better"
    assert gradient_error.score.difference == pytest.approx(0)
    assert gradient_error.score.verdict == "not significant"


def test_compare_evaluations_skips_other_images():
    reference = make_evaluation([0.1, 0.2, 0.3])
    other_images = make_evaluation([0.1, 0.2, 0.3], stems="xyz")
    assert compare_evaluations([reference, other_images]) == []


def test_measure_difference_measures_alphas_and_scores():
    alphas = [np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)]
    changed = [alphas[0] + 0.5, np.array([[0.75, 1], [1, 1]], np.float32)]
    reference = make_evaluation([0.1, 0.3], alphas=alphas)
    model = make_evaluation([0.2, 0.3], alphas=changed)
    difference = measure_difference(model, reference)
    assert difference.largest_difference == 0.5
    assert difference.mean_difference == pytest.approx((4 * 0.5 + 0.25) / 8)
    score = difference.scores["mad"]
    assert (score.mean, score.difference) == (pytest.approx(0.25), pytest.approx(0.05))
    assert score.interval == bootstrap_interval(np.array([0.2, 0.3]) - np.array([0.1, 0.3]))
    assert difference.scores["gauss_grad"].difference == 0


def test_measure_difference_propagates_nan():
    reference = make_evaluation([0.1], alphas=[np.zeros((2, 2), np.float32)])
    model = make_evaluation([0.1], alphas=[np.full((2, 2), np.nan, np.float32)])
    assert np.isnan(measure_difference(model, reference).largest_difference)
