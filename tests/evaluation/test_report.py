"""Tests of mmnet.evaluation.report."""

import numpy as np
import pytest

from helpers import assert_message
from helpers.results import make_evaluation
from mmnet.evaluation.comparison import compare_evaluations
from mmnet.evaluation.report import format_comparisons, format_evaluation, published_scores

EVALUATION = make_evaluation(
    [0.01, 0.03, 0.02], [0.001, 0.002, 0.003], stems=["a", "b, c", "d"], source="a run/MMNetModel-7"
)
EVALUATION.scores["mad", "target"] = np.array([0.02, 0.04, 0.03])


def test_published_scores():
    assert published_scores(EVALUATION) == {
        "MAD/test": pytest.approx(0.02),
        "GAUSS_GRAD/test": pytest.approx(0.002),
        "MAD/test/80_60": pytest.approx(0.03),
        "GAUSS_GRAD/test/80_60": pytest.approx(0.002),
        "pictures": 3,
        "checkpoint": "a run/MMNetModel-7",
        "global_step": 5,
    }


def test_format_evaluation_has_means_intervals_and_worst_images():
    lines = format_evaluation(EVALUATION, worst=2).splitlines()
    assert_message(lines[0], "a run/MMNetModel-7", "step 5", "3 images")
    assert " ".join(lines[2].split()) == "MAD (0..1) 64x96 0.020000 0.010000 .. 0.030000"
    assert_message(lines[-1], "80x60", "b, c 0.0400, d 0.0300")
    assert len(format_evaluation(EVALUATION, worst=0).splitlines()) == 6
    untrained = EVALUATION._replace(source=None, global_step=None)
    assert format_evaluation(untrained).startswith("untrained weights, 3 images")
    named = EVALUATION._replace(name="mmnet-persons")
    assert format_evaluation(named).startswith("mmnet-persons, step 5, 3 images")


def test_format_comparisons():
    scores = {key: values - 0.001 for key, values in EVALUATION.scores.items()}
    better = EVALUATION._replace(source="a run/MMNetModel-9", scores=scores)
    evaluations = [EVALUATION, better]
    header, mad, gradient_error = format_comparisons(compare_evaluations(evaluations)).splitlines()
    assert_message(header, "a run/MMNetModel-7")
    assert_message(mad, "a run/MMNetModel-9", "faces/test", "MAD (0..1)", "-0.001000", "better")
    assert_message(gradient_error, "gradient error (0..1)", "better")
    named = [evaluation._replace(name="mmnet-fast") for evaluation in evaluations]
    for line in format_comparisons(compare_evaluations(named)).splitlines():
        assert ("MMNetModel" in line, "mmnet-fast" in line) == (False, True)
