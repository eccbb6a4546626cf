"""Tests of mmnet.export.comparison."""

import numpy as np
import pytest

from helpers import SMALL, assert_message
from mmnet.export.comparison import BOUNDS, bound_violation, comparison_images


@pytest.mark.parametrize("is_folded", [True, False])
@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8"])
def test_bound_violation(precision, is_folded):
    is_unfolded = precision == "float32" and not is_folded
    bound = BOUNDS["unfolded" if is_unfolded else precision]
    for value in (2 * bound.limit, float("nan")):
        problem = bound_violation(precision, largest=value, mean=value, is_folded=is_folded)
        assert_message(problem, bound.statistic, precision, f"{bound.limit:g}")
    for value in (0.0, bound.limit):
        difference = {"largest": 1.0, "mean": 1.0, bound.statistic: value}
        assert bound_violation(precision, is_folded=is_folded, **difference) is None


def test_comparison_images_are_deterministic(portrait_set):
    synthetic = comparison_images(None, SMALL)
    assert synthetic.shape == (4, 64, 64, 3) and synthetic.dtype == np.float32
    np.testing.assert_array_equal(synthetic, comparison_images(None, SMALL))
    assert comparison_images(portrait_set, SMALL).shape == (4, 64, 64, 3)
