"""The alpha of a photo of any shape, at its own size."""

import os

import numpy as np
import pytest

from helpers.matting import brightness
from mmnet.datasets.pairs import find_dataset
from mmnet.inference.open import open_predictor
from mmnet.io.images import load_mask
from mmnet.matting.load import load_photo
from mmnet.matting.photo import Box, MattingOptions, matte_photo, merged, people_box

ONE_LOOK = MattingOptions(second_pass=False, refinement=False)


@pytest.mark.parametrize("network_shape", [(256, 256), (256, 192), (256, 320)])
@pytest.mark.parametrize(
    "shape", [(80, 60), (300, 300), (40, 200), (200, 40), (1000, 1600), (7, 500), (1, 1)]
)
def test_matte_lies_on_the_photo_in_every_shape(shape, network_shape):
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    ramp = 0.5 * y / max(1, shape[0] - 1) + 0.5 * x / max(1, shape[1] - 1)
    image = np.dstack([np.rint(255 * ramp)] * 3).astype(np.uint8)
    alpha = matte_photo(image, brightness(network_shape), ONE_LOOK)
    assert alpha.shape == shape and alpha.dtype == np.float32
    # Two resizes of a smooth ramp: a shift or a stretch of one pixel in twenty would show.
    np.testing.assert_allclose(alpha, image[..., 0] / 255, atol=0.05)


def test_what_the_network_sees():
    seen = []
    matte_photo(np.zeros((80, 60, 3), np.uint8), brightness((64, 64), seen))
    assert seen[0].shape == (1, 64, 64, 3) and seen[0].dtype == np.float32
    matte_photo(np.zeros((80, 60, 3), np.uint8), brightness((64, 96), seen))
    assert seen[1].shape == (1, 64, 96, 3)
    wide = np.zeros((10, 60, 3), np.uint8)
    wide[:5] = 255
    # Mirrored to 30x60: dark, bright | bright, dark | dark, bright, no black bars.
    matte_photo(wide, brightness((60, 60), seen))
    rows = seen[2][0, :, 30, 0]
    assert rows[25] == 255 and rows[35] == 0 and rows[15] == 255
    assert rows[5] == 0 and rows[45] == 0 and rows[55] == 255
    # A photo's shape alone decides how it is mirrored, not the network's.
    matte_photo(wide, brightness((60, 90), seen))
    np.testing.assert_array_equal(seen[3][0, :, 45, 0], rows)


def test_real_portraits(test_data):
    """At its own size a photo scores nearly as at 800x600 in numbers.md (.0205).

    The way there and back is sound.
    """
    predictor = open_predictor(os.path.join(test_data, "checkpoints"))
    errors = []
    for pair in find_dataset(os.path.join(test_data, "soft"), "test").pairs:
        alpha = matte_photo(load_photo(pair.image), predictor, ONE_LOOK)
        errors.append(np.abs(alpha - load_mask(pair.mask)).mean())
    assert np.mean(errors) == pytest.approx(0.0205, abs=0.001)


def person_in(shape, box):
    """An alpha of ``shape`` that is 1 inside a Box."""
    alpha = np.zeros(shape, np.float32)
    alpha[box.top : box.bottom, box.left : box.right] = 1
    return alpha


def test_the_part_with_people():
    alpha = person_in((400, 800), Box(150, 500, 350, 580))
    part = people_box(alpha)
    rows, columns = part.bottom - part.top, part.right - part.left
    assert part.top <= 120 and part.bottom >= 380  # a margin of 15 % of 200
    assert rows / columns == pytest.approx(4 / 3, abs=0.02)
    assert part.left < 500 and part.right > 580
    # Moved into the photo where it would stick out, and cut where it cannot be moved.
    corner = people_box(person_in((400, 800), Box(300, 760, 400, 800)))
    assert (corner.bottom, corner.right) == (400, 800)
    assert people_box(person_in((400, 800), Box(0, 0, 400, 100))).bottom == 400
    # A speck beside a person is none; a second person is.
    alpha[10:15, 10:15] = 1
    assert people_box(alpha) == part
    alpha[150:300, 300:380] = 1
    assert people_box(alpha).left < 300


def test_no_second_pass_where_there_is_nothing_to_see_closer():
    assert people_box(np.zeros((40, 30), np.float32)) is None
    assert people_box(person_in((400, 300), Box(60, 40, 400, 260))) is None


def test_two_looks_are_merged_without_a_seam():
    alpha = np.zeros((100, 200), np.float32)
    part = Box(20, 50, 100, 110)
    result = merged(alpha, np.ones((80, 60), np.float32), part)
    assert alpha.max() == 0  # it is not written to
    assert result[60, 80] == 1 and result[99, 80] == 1  # the photo's own border does not fade
    assert result[:20].max() == 0 and result[:, :50].max() == 0 and result[:, 110:].max() == 0
    steps = [np.abs(np.diff(result, axis=axis)).max() for axis in (0, 1)]
    assert 0 < max(steps) < 0.25


def test_the_second_look_is_taken_of_the_photo(monkeypatch):
    """It sees the part at more pixels, and can be turned off."""
    image = np.zeros((300, 600, 3), np.uint8)
    image[120:220, 400:440] = 255
    seen = []
    predictor = brightness((64, 64), seen)
    alpha = matte_photo(image, predictor)
    assert len(seen) == 2 and seen[1].mean() > 2 * seen[0].mean()
    seen.clear()
    rough = matte_photo(image, predictor, MattingOptions(second_pass=False))
    assert len(seen) == 1
    truth = image[..., 0] / 255
    assert np.abs(alpha - truth).mean() < 0.7 * np.abs(rough - truth).mean()
