"""Tests of mmnet.evaluation.calibration."""

import pytest

from helpers import assert_raises
from helpers.matting import brightness_predictor
from mmnet.datasets.pairs import Dataset
from mmnet.evaluation.calibration import (
    LOGIT_SCALES,
    LogitScaleScore,
    score_logit_scales,
    select_logit_scale,
)
from mmnet.evaluation.evaluate import evaluate
from mmnet.io.errors import MmnetError
from mmnet.matting.refine import scale_alpha_logits


def test_scores_equal_those_of_scaled_alphas(portrait_set):
    predictor = brightness_predictor((64, 64))
    scores = score_logit_scales(predictor, portrait_set, batch_size=4)
    assert [score.logit_scale for score in scores] == list(LOGIT_SCALES)
    for score in (scores[0], scores[4]):

        def matte(image, scale=score.logit_scale):
            return scale_alpha_logits(predictor.run_image(image), scale)

        evaluation = evaluate(predictor, portrait_set, None, matte=matte)
        means = [evaluation.scores[name, "network"].mean() for name in ("mad", "gauss_grad")]
        assert [score.mad, score.gradient_error] == pytest.approx(means, abs=1e-6)


def test_scores_need_usable_pairs(portrait_set):
    pairs = [portrait_set.pairs[0]._replace(mask="no mask.png")]
    with assert_raises(MmnetError, "no mask.png"):
        score_logit_scales(brightness_predictor(), Dataset(portrait_set.path, "test", pairs))


@pytest.mark.parametrize(
    "mads, expected",
    [
        pytest.param([0.5, 0.3, 0.2], 2.0, id="lowest MAD"),
        pytest.param([0.5, 0.201, 0.2], 1.5, id="smallest scale within tolerance"),
        pytest.param([0.2, 0.3, 0.5], 1.0, id="no scaling"),
    ],
)
def test_select_logit_scale(mads, expected):
    scores = [LogitScaleScore(*item, 0.0) for item in zip((1.0, 1.5, 2.0), mads)]
    assert select_logit_scale(scores).logit_scale == expected
    assert select_logit_scale(scores[::-1]).logit_scale == expected
