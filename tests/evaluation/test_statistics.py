"""Tests of mmnet.evaluation.statistics."""

import numpy as np
import pytest

from mmnet.evaluation.statistics import bootstrap_interval, compare_scores


def test_bootstrap_interval_is_near_the_normal_interval():
    values = np.random.RandomState(1).normal(5, 2, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.04)
    assert high == pytest.approx(values.mean() + half, abs=0.04)
    assert bootstrap_interval(values) == (low, high)  # does not depend on chance


def test_bootstrap_interval_of_one_value():
    assert bootstrap_interval([3.0]) == (3.0, 3.0)


@pytest.mark.parametrize(
    "values, verdict",
    [
        ([0.05, 0.14, 0.26, 0.33], "better"),
        ([0.15, 0.26, 0.34, 0.47], "worse"),
        ([0.05, 0.24, 0.26, 0.43], "not significant"),
    ],
)
def test_compare_scores_has_verdict(values, verdict):
    reference = np.array([0.1, 0.2, 0.3, 0.4])
    score = compare_scores(np.array(values), reference)
    assert score.mean == np.mean(values)
    assert score.difference == pytest.approx(np.mean(values) - 0.25)
    low, high = score.interval
    assert low <= score.difference <= high
    assert score.verdict == verdict
