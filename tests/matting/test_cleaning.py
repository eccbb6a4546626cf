"""Tests of mmnet.matting.cleaning."""

import numpy as np
import pytest

from helpers.matting import brightness_predictor
from mmnet.io.images import Photo
from mmnet.matting.cleaning import clean_alpha
from mmnet.matting.photo import MattingOptions, matte_photo


def person_alpha():
    """Return an alpha [200,300]: a person with a soft edge of three pixels."""
    alpha = np.zeros((200, 300), np.float32)
    alpha[40:, 100:200] = 1
    alpha[40:, 97:100] = alpha[40:, 202:199:-1] = [0.25, 0.5, 0.75]
    return alpha


@pytest.mark.parametrize(
    "area, value, expected",
    [
        pytest.param(np.s_[100:140, 10:60], 0.4, 0, id="smudge outside"),
        pytest.param(np.s_[160:200, 130:170], 0.7, 1, id="smudge inside, at the border"),
        pytest.param(np.s_[100:103, 20:23], 0.8, 0, id="island"),
        pytest.param(np.s_[100:104, 150:154], 0.2, 1, id="hole"),
        pytest.param(np.s_[100:104, 150:154], 0.05, 0.05, id="small opening"),
        pytest.param(np.s_[80:160, 130:170], 0.0, 0, id="large opening"),
        pytest.param(np.s_[10:14, 20:24], 0.95, 0.95, id="confident island"),
    ],
)
def test_clean_alpha_decides_areas(area, value, expected):
    alpha = person_alpha()
    alpha[area] = value
    cleaned = clean_alpha(alpha)
    centre = tuple((interval.start + interval.stop) // 2 for interval in area)
    assert cleaned[centre] == pytest.approx(expected, abs=0.01)
    assert cleaned.dtype == np.float32 and cleaned.min() >= 0 and cleaned.max() <= 1
    assert alpha[centre] == np.float32(value)  # the argument is not changed


@pytest.mark.parametrize("alpha", [person_alpha(), np.zeros((1, 1)), np.ones((3, 500))])
def test_clean_alpha_keeps_soft_edges(alpha):
    np.testing.assert_array_equal(clean_alpha(np.float32(alpha)), np.float32(alpha))


def test_uncertain_network_keeps_its_person():
    alpha = 0.8 * person_alpha()
    alpha[100:103, 20:23] = 0.3
    assert clean_alpha(alpha).max() < 0.05
    cleaned = clean_alpha(alpha, is_calibrated=False)
    assert cleaned[101, 21] == 0 and cleaned[120, 150] == pytest.approx(1, abs=0.01)
    assert clean_alpha(alpha / 2, is_calibrated=False).max() < 0.05  # nobody


def test_matte_photo_cleans_only_if_enabled():
    image = np.full((64, 64, 3), 102, np.uint8)
    steps = MattingOptions(second_pass=False, refine_edges=False)
    assert matte_photo(Photo(image), brightness_predictor(), steps).max() < 0.1
    alpha = matte_photo(Photo(image), brightness_predictor(), steps._replace(clean_alpha=False))
    np.testing.assert_allclose(alpha, 0.4, atol=1e-6)
