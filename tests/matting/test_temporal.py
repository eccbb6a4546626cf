"""Alphas made steady from frame to frame."""

import numpy as np
import pytest
from mmnet.commands.settings import VERBS

from mmnet.matting.temporal import FILTERS, KEPT, Before, exponential, motion


def scene(shift, shape=(120, 160), seed=0):
    """(image uint8 [H,W,3], truth [H,W]): a textured disc, ``shift`` pixels from the middle."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    noise = np.random.RandomState(seed)
    ground, person = (noise.randint(0, 120, (40, 40, 3)) + level for level in (0, 120))
    truth = np.hypot(x - width / 2 - shift, y - height / 2) < 0.3 * height
    near = person[(y // 6) % 40, ((x - shift) // 6) % 40]
    image = np.where(truth[..., None], near, ground[(y // 8) % 40, (x // 8) % 40])
    return image.astype(np.uint8), truth.astype(np.float32)


@pytest.mark.parametrize("shape", [(120, 160), (300, 400)])
def test_a_flicker_dies_down_where_nothing_moves(shape):
    image, truth = scene(0, shape)
    flicker = np.clip(truth + 0.2 * np.random.RandomState(1).rand(*shape), 0, 1).astype(np.float32)
    result = motion(flicker, image, Before(image, truth))
    assert result.dtype == np.float32 and result.shape == shape
    np.testing.assert_allclose(result, truth + (1 - KEPT["motion"]) * (flicker - truth), atol=1e-5)


def test_what_moves_leaves_no_trail():
    (before, truth_before), (image, truth) = scene(0), scene(8)
    smeared = exponential(truth, image, Before(before, truth_before))
    followed = motion(truth, image, Before(before, truth_before))
    wrong = [np.abs(one - truth).mean() for one in (smeared, followed)]
    assert wrong[1] < 0.35 * wrong[0]


def test_what_comes_into_sight_is_seen_at_once():
    before, _ = scene(0, seed=3)
    image, truth = scene(0, seed=4)
    result = motion(truth, image, Before(before, 1 - truth))
    assert np.abs(result - truth).mean() < 0.05 * KEPT["motion"]


def test_images_of_both_kinds():
    image, truth = scene(0)
    as_float = image.astype(np.float32)
    same = motion(truth, as_float, Before(as_float, truth))
    np.testing.assert_allclose(same, motion(truth, image, Before(image, truth)), atol=1e-6)


def test_the_settings_know_each():
    for verb in ("predict", "evaluate"):
        for name in FILTERS:
            kind = VERBS[verb].__dataclass_fields__["temporal_filter"].metadata["kind"]
            assert kind(name) == name
