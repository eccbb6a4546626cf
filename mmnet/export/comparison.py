"""Compare an exported model with its checkpoint, within the bounds of its precision."""

from typing import NamedTuple, Optional

import numpy as np

from mmnet.datasets.pairs import Dataset
from mmnet.datasets.synthetic import draw_portraits
from mmnet.io.images import read_image
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network
from mmnet.tf.device import Device

EXACT = Device(exact=True)  # computes without approximations that are faster
COMPARED_IMAGES = 4
SYNTHETIC_SHAPE = (400, 300)  # synthetic images, before they are resized


class Bound(NamedTuple):
    """Limit for the difference of alphas. A NaN never satisfies it."""

    statistic: str  # "largest" or "mean", over all pixels
    limit: float


# Quantized weights change few pixels at borders of hair a lot, so only the mean is limited.
BOUNDS = {
    "unfolded": Bound("largest", 1e-5),  # operations and numbers are unchanged
    "float32": Bound("largest", 1e-4),  # folding batch norm rounds the weights once more
    "float16": Bound("mean", 1e-3),
    "dynamic": Bound("mean", 1e-2),
    "int8": Bound("mean", 1e-2),
}


def bound_violation(
    precision: str, *, largest: float, mean: float, is_folded: bool = True
) -> Optional[str]:
    """Return a message if the absolute difference of alphas violates its bound, else None.

    ``is_folded``: batch norm is folded into the weights of the model.
    """
    is_unfolded = precision == "float32" and not is_folded
    bound = BOUNDS["unfolded" if is_unfolded else precision]
    value = largest if bound.statistic == "largest" else mean
    if value <= bound.limit:
        return None
    return (
        f"the {bound.statistic} difference of alpha from the checkpoint is {value:.3g}; for "
        f"{precision} it must be at most {bound.limit:g}"
    )


def comparison_images(dataset: Optional[Dataset], network: Network) -> np.ndarray:
    """Return the first images of a dataset, or synthetic images: float32 [N,H,W,3], 0..255."""
    if dataset is not None:
        images = [read_image(pair.image) for pair in dataset.pairs[:COMPARED_IMAGES]]
    else:
        images = draw_portraits(COMPARED_IMAGES, SYNTHETIC_SHAPE)
    return np.stack([resize_bilinear(image, network.shape, align_corners=True) for image in images])
