"""What int8's ranges are measured on: training pictures, never those that scores come from."""

from typing import NamedTuple

import numpy as np

from mmnet.datasets.pairs import Dataset, pick_evenly
from mmnet.io.errors import MmnetError
from mmnet.io.images import pad_channels, read_image, to_unit_range
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear
from mmnet.networks.quantization import quantization_ranges
from mmnet.tf.compat import converts_fake_quantization, tf
from mmnet.weights.ranges import measure_ranges

HELD_OUT = ("test", "val", "validation")  # splits that an int8 model must not have seen


class Calibration(NamedTuple):
    """Pictures to measure ranges on, and how."""

    images: np.ndarray  # float32 [N,H,W,C] 0..255
    method: str  # "minmax" or "entropy"
    about: dict  # method, dataset, split, number of pictures and a hash that tells them


def check_training_split(split):
    """Raise ValueError for a split that scores are measured on."""
    if split.lower() in HELD_OUT:
        raise MmnetError(
            "--calibration_split %s: scores are measured on that; calibrate on training pictures"
            % split
        )


def read_calibration(data_set, network, pictures, method="minmax"):
    """A Calibration on so many pictures of a Dataset, evenly spread, at the network's shape."""
    pairs = pick_evenly(data_set.pairs, pictures)
    about = {
        "method": method,
        "dataset_path": data_set.path,
        "split": data_set.split,
        "pictures": len(pairs),
        "pictures_sha256": Dataset(data_set.path, data_set.split, pairs).fingerprint,
    }
    return Calibration(read_images(pairs, network), method, about)


def read_images(pairs, network):
    """The images of pairs at a network's shape: float32 [N,H,W,C] 0..255."""
    images = [
        resize_bilinear(read_image(pair.image), network.shape, align_corners=True)
        for pair in progress(pairs, len(pairs), "reading pictures")
    ]
    return pad_channels(np.stack(images), network.channels)


def ranges_for(weights, calibration):
    """The ranges that an int8 model gets, by name; None: the converter measures them itself."""
    if calibration is not None and calibration.method == "minmax":
        return None
    if not converts_fake_quantization():
        needing = (
            "--calibration_method entropy" if calibration else "a checkpoint of train --quantize"
        )
        raise MmnetError(
            "TensorFlow %s's TFLite converter takes no given ranges, as %s needs: export with "
            "TensorFlow 2.x (a checkpoint is the same there), or a float checkpoint with "
            "--calibration_method minmax" % (tf.__version__, needing)
        )
    if calibration is None:
        return quantization_ranges(weights.values)
    return measure_ranges(weights, calibration.images, calibration.method)


def input_of(calibration, preprocess):
    """The pictures of a Calibration as a model takes them."""
    return to_unit_range(calibration.images) if preprocess == "outside" else calibration.images
