"""Tests of mmnet.export.representative."""

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from mmnet.datasets.pairs import Dataset
from mmnet.export import representative as representative_module
from mmnet.export.representative import (
    RepresentativeImages,
    int8_ranges,
    read_representative_images,
)
from mmnet.io.errors import MmnetError
from mmnet.io.images import read_image
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network
from mmnet.weights.values import Weights


@pytest.mark.parametrize("shape", [SMALL.shape, (64, 96)])
def test_images_are_evenly_spread_and_recorded(portrait_set, shape):
    network = Network(shape=shape)
    representative = read_representative_images(portrait_set, network, 3, method="entropy")
    pairs = [portrait_set.pairs[index] for index in (0, 2, 5)]
    expected = [resize_bilinear(read_image(pair.image), shape, True) for pair in pairs]
    np.testing.assert_array_equal(representative.images, expected)
    assert representative.method == "entropy"
    assert representative.record == {
        "method": "entropy",
        "dataset_path": portrait_set.path,
        "split": "test",
        "pictures": 3,
        "pictures_sha256": Dataset("elsewhere", "train", pairs).fingerprint,
    }
    np.testing.assert_array_equal(representative.as_input("inside"), representative.images)
    outside = representative.as_input("outside")
    np.testing.assert_allclose(outside, representative.images / 255, atol=1e-6)


def test_images_are_at_most_the_whole_dataset(portrait_set):
    representative = read_representative_images(portrait_set, SMALL, 100)
    assert representative.record["pictures"] == len(representative.images) == len(portrait_set)
    assert representative.record["pictures_sha256"] == portrait_set.fingerprint


def test_ranges_come_from_the_checkpoint_the_converter_or_the_images(monkeypatch):
    name = "Tiny/init_block/conv/quantization/highest"
    weights = Weights(SMALL, {name: 6.0, "Tiny/init_block/conv/weights": 1.0})
    minmax = RepresentativeImages(np.zeros((1, 64, 64, 3), "f"), "minmax", {})
    entropy = minmax._replace(method="entropy")
    monkeypatch.setattr(representative_module, "measure_ranges", lambda *_: {name: 5.0})

    monkeypatch.setattr(representative_module, "converts_fake_quantization", lambda: True)
    assert int8_ranges(weights, minmax) is None  # the converter measures them
    assert int8_ranges(weights, None) == {name: 6.0}
    assert int8_ranges(weights, entropy) == {name: 5.0}

    monkeypatch.setattr(representative_module, "converts_fake_quantization", lambda: False)
    assert int8_ranges(weights, minmax) is None
    for representative, token in ((None, "8 bits"), (entropy, "entropy")):
        with assert_raises(MmnetError, "TensorFlow", token):
            int8_ranges(weights, representative)
