"""Tests of mmnet.evaluation.report."""

import numpy as np
import pytest

from helpers import assert_message
from mmnet.datasets.pairs import Dataset, Pair
from mmnet.evaluation.comparison import compare_evaluations
from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.report import format_comparisons, format_evaluation, published_scores

EVALUATION = Evaluation(
    Dataset("data/faces", "test", [Pair(stem, "", None) for stem in ("a", "b, c", "d")]),
    "a run/MMNetModel-7",
    7,
    {"network": (288, 480), "target": (800, 600)},
    {
        ("mad", "network"): np.array([0.01, 0.03, 0.02]),
        ("gauss_grad", "network"): np.array([0.001, 0.002, 0.003]),
        ("mad", "target"): np.array([0.02, 0.04, 0.03]),
        ("gauss_grad", "target"): np.array([0.002, 0.002, 0.002]),
    },
)


def test_published_scores():
    assert published_scores(EVALUATION) == {
        "MAD/test": pytest.approx(0.02),
        "GAUSS_GRAD/test": pytest.approx(0.002),
        "MAD/test/800_600": pytest.approx(0.03),
        "GAUSS_GRAD/test/800_600": pytest.approx(0.002),
        "pictures": 3,
        "checkpoint": "a run/MMNetModel-7",
        "global_step": 7,
    }


def test_format_evaluation_has_means_intervals_and_worst_images():
    lines = format_evaluation(EVALUATION, worst=2).splitlines()
    assert_message(lines[0], "a run/MMNetModel-7", "step 7", "3 images")
    assert lines[2].split() == [
        "MAD",
        "(0..1)",
        "288x480",
        "0.020000",
        "0.010000",
        "..",
        "0.030000",
    ]
    assert_message(lines[-1], "800x600", "b, c 0.0400, d 0.0300")
    assert len(format_evaluation(EVALUATION, worst=0).splitlines()) == 6


def test_format_evaluation_of_untrained_weights():
    evaluation = EVALUATION._replace(source=None, global_step=None)
    assert format_evaluation(evaluation).startswith("untrained weights, 3 images")


def test_format_comparisons():
    scores = {key: values - 0.001 for key, values in EVALUATION.scores.items()}
    better = EVALUATION._replace(source="a run/MMNetModel-9", scores=scores)
    text = format_comparisons(compare_evaluations([EVALUATION, better]))
    header, mad, gradient_error = text.splitlines()
    assert_message(header, "a run/MMNetModel-7")
    assert_message(mad, "a run/MMNetModel-9", "faces/test", "MAD (0..1)", "-0.001000", "better")
    assert_message(gradient_error, "gradient error (0..1)", "better")
