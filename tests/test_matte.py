"""The alpha of a photo of any shape, at its own size."""

import os

import numpy as np
import pytest

from mmnet.data.images import load_mask
from mmnet.data.pairs import find_data_set
from mmnet.inference.card import Card
from mmnet.inference.open import open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.network import Network
from mmnet.photos.load import load_photo
from mmnet.photos.matte import matte_of


def brightness(shape, seen=None):
    """A Predictor that needs no network. seen: a list, to which it adds what it sees."""

    def run(images):
        if seen is not None:
            seen.append(images)
        return images.mean(axis=3, keepdims=True) / 255

    return Predictor(run, Card(Network(shape=shape)))


@pytest.mark.parametrize("network_shape", [(256, 256), (256, 192), (256, 320)])
@pytest.mark.parametrize(
    "shape", [(80, 60), (300, 300), (40, 200), (200, 40), (1000, 1600), (7, 500), (1, 1)]
)
def test_matte_lies_on_the_photo_in_every_shape(shape, network_shape):
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    ramp = 0.5 * y / max(1, shape[0] - 1) + 0.5 * x / max(1, shape[1] - 1)
    image = np.dstack([np.rint(255 * ramp)] * 3).astype(np.uint8)
    alpha = matte_of(image, brightness(network_shape))
    assert alpha.shape == shape and alpha.dtype == np.float32
    # Two resizes of a smooth ramp: a shift or a stretch of one pixel in twenty would show.
    np.testing.assert_allclose(alpha, image[..., 0] / 255, atol=0.05)


def test_what_the_network_sees():
    seen = []
    matte_of(np.zeros((80, 60, 3), np.uint8), brightness((64, 64), seen))
    assert seen[0].shape == (1, 64, 64, 3) and seen[0].dtype == np.float32
    matte_of(np.zeros((80, 60, 3), np.uint8), brightness((64, 96), seen))
    assert seen[1].shape == (1, 64, 96, 3)
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:10] = 255
    # Mirrored to 60x60: dark, bright | bright, dark | dark, bright, no black bars.
    matte_of(wide, brightness((60, 60), seen))
    rows = seen[2][0, :, 30, 0]
    assert rows[25] == 255 and rows[35] == 0 and rows[15] == 255
    assert rows[5] == 0 and rows[45] == 0 and rows[55] == 255
    # A photo's shape alone decides how it is mirrored, not the network's.
    matte_of(wide, brightness((60, 90), seen))
    np.testing.assert_array_equal(seen[3][0, :, 45, 0], rows)


def test_real_portraits(test_data):
    """At its own size a photo scores nearly as at 800x600 in numbers.md (.0205).

    The way there and back is sound.
    """
    predictor = open_predictor(os.path.join(test_data, "checkpoints"))
    errors = []
    for pair in find_data_set(os.path.join(test_data, "soft"), "test").pairs:
        alpha = matte_of(load_photo(pair.image), predictor)
        errors.append(np.abs(alpha - load_mask(pair.mask)).mean())
    assert np.mean(errors) == pytest.approx(0.0205, abs=0.001)
