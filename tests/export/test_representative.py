"""What int8's ranges are measured on."""

import numpy as np
import pytest

from helpers import SMALL
from mmnet.datasets.pairs import Dataset
from mmnet.export import representative as calibration_module
from mmnet.export.representative import (
    Calibration,
    check_training_split,
    input_of,
    ranges_for,
    read_calibration,
)
from mmnet.io.images import read_image
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network
from mmnet.weights.values import Weights


@pytest.mark.parametrize("split", ["val", "test", "Validation"])
def test_what_scores_come_from_is_refused(split):
    with pytest.raises(ValueError, match="%s: scores are .* calibrate on training" % split):
        check_training_split(split)
    check_training_split("train")


@pytest.mark.parametrize("shape", [SMALL.shape, (64, 96)])
def test_pictures_are_evenly_spread_and_told(portrait_set, shape):
    network = Network(shape=shape)
    calibration = read_calibration(portrait_set, network, 3, "entropy")
    chosen = [portrait_set.pairs[index] for index in (0, 2, 5)]
    expected = [resize_bilinear(read_image(pair.image), shape, True) for pair in chosen]
    np.testing.assert_array_equal(calibration.images, expected)
    assert calibration.method == "entropy"
    assert calibration.about == {
        "method": "entropy",
        "dataset_path": portrait_set.path,
        "split": "test",
        "pictures": 3,
        "pictures_sha256": Dataset("elsewhere", "train", chosen).fingerprint,
    }
    assert len(calibration.about["pictures_sha256"]) == 64
    everything = read_calibration(portrait_set, network, 100)
    assert everything.about["pictures"] == len(everything.images) == len(portrait_set)
    assert everything.about["pictures_sha256"] == portrait_set.fingerprint
    np.testing.assert_array_equal(input_of(calibration, "inside"), calibration.images)
    outside = input_of(calibration, "outside")
    np.testing.assert_allclose(outside, calibration.images / 255, atol=1e-6)


def test_where_ranges_come_from(monkeypatch):
    name = "MMNet/init_block/conv/quantization/highest"
    weights = Weights(SMALL, {name: 6.0, "MMNet/init_block/conv/weights": 1.0})
    minmax = Calibration(np.zeros((1, 64, 64, 3), "f"), "minmax", {})
    for converts in (lambda: True, lambda: False):
        monkeypatch.setattr(calibration_module, "converts_fake_quantization", converts)
        assert ranges_for(weights, minmax) is None  # the converter measures them
    for calibration, needing in (
        (None, "a checkpoint of train --quantize"),
        (minmax._replace(method="entropy"), "--calibration_method entropy"),
    ):
        with pytest.raises(ValueError, match="takes no given ranges, as %s needs" % needing):
            ranges_for(weights, calibration)
    monkeypatch.setattr(calibration_module, "converts_fake_quantization", lambda: True)
    assert ranges_for(weights, None) == {name: 6.0}
