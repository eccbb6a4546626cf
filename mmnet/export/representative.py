"""Representative images: training images on which the ranges of an int8 model are measured."""

from typing import Any, Dict, NamedTuple, Optional, Sequence

import numpy as np

from mmnet.datasets.pairs import Dataset, Pair, pick_evenly
from mmnet.io.errors import MmnetError
from mmnet.io.images import pad_channels, read_image, to_unit_range
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network
from mmnet.networks.quantization import quantization_ranges
from mmnet.tf.compat import converts_fake_quantization, tf
from mmnet.weights.ranges import measure_ranges
from mmnet.weights.values import Weights


class RepresentativeImages(NamedTuple):
    """Images for the ranges of activations, and how the ranges are measured."""

    images: np.ndarray  # float32 [N,H,W,C], 0..255
    method: str  # "minmax" or "entropy"
    record: Dict[str, Any]  # for the card: method, dataset, split, number and hash of the images

    def as_input(self, preprocess: str) -> np.ndarray:
        """Return the images as a model with this ``preprocess`` takes them."""
        return to_unit_range(self.images) if preprocess == "outside" else self.images


def read_representative_images(
    dataset: Dataset, network: Network, count: int, *, method: str = "minmax"
) -> RepresentativeImages:
    """Read ``count`` images that are evenly spread over a dataset, at the network's shape."""
    pairs = pick_evenly(dataset.pairs, count)
    record = {
        "method": method,
        "dataset_path": dataset.path,
        "split": dataset.split,
        "pictures": len(pairs),
        "pictures_sha256": Dataset(dataset.path, dataset.split, pairs).fingerprint,
    }
    return RepresentativeImages(read_images(pairs, network), method, record)


def read_images(pairs: Sequence[Pair], network: Network) -> np.ndarray:
    """Read the images of pairs at the network's shape: float32 [N,H,W,C], 0..255."""
    images = [
        resize_bilinear(read_image(pair.image), network.shape, align_corners=True)
        for pair in progress(pairs, len(pairs), "reading images")
    ]
    return pad_channels(np.stack(images), network.channels)


def int8_ranges(
    weights: Weights, representative: Optional[RepresentativeImages]
) -> Optional[Dict[str, Any]]:
    """Return the ranges to write into the graph of an int8 model: variable name -> value.

    None: the converter measures the ranges. TensorFlow 1.15 cannot convert ranges in the graph.
    """
    if weights.network.views and (representative is None or representative.method != "minmax"):
        raise MmnetError("int8 with several views needs the calibration method minmax", "views")
    if representative is not None and representative.method == "minmax":
        return None
    if not converts_fake_quantization():
        reason = "a checkpoint that was trained for 8 bits"
        if representative is not None:
            reason = f"the calibration method {representative.method}"
        raise MmnetError(
            f"TensorFlow {tf.__version__} cannot convert the ranges of {reason}; export with "
            "TensorFlow 2.x, or a float checkpoint with the calibration method minmax"
        )
    if representative is None:
        return quantization_ranges(weights.values)
    return measure_ranges(weights, representative.images, representative.method)
