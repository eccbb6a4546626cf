"""Read background images, and place people in front of them. No TensorFlow."""

import math
import os
from typing import List, Tuple

import cv2
import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.foreground import estimate_foreground
from mmnet.io.images import list_images, read_image
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress

EDGE_SIGMA = 0.004  # softness of the new edge, as a fraction of the image's longer side
MIN_ZOOM = 0.5  # side of the smallest crop of a background, as a fraction of the largest
BACKGROUND_FLIP_PROBABILITY = 0.5
BLUR_PROBABILITY = 0.3
MIN_BLUR, BLUR_RANGE = 0.5, 10.0  # in edge sigmas; the range is per unit of the random number


def read_backgrounds(folder: str, shape: Tuple[int, int]) -> List[np.ndarray]:
    """Read all images of a folder as uint8 [h,w,3].

    Images that are larger than ``shape`` (height, width) are shrunk until they just cover it.

    Raises:
        MmnetError: the folder contains no image, or an unreadable one.
    """
    names = list_images(folder)
    if not names:
        raise MmnetError(f"{folder}: contains no image")

    def read(name):
        image = read_image(os.path.join(folder, name))
        scale = max(shape[0] / image.shape[0], shape[1] / image.shape[1])
        if scale >= 1:
            return image
        size = math.ceil(image.shape[1] * scale), math.ceil(image.shape[0] * scale)
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    return list(progress(parallel_map(read, names), len(names), "reading backgrounds"))


def swap_background(
    image: np.ndarray, mask: np.ndarray, background: np.ndarray, random: np.random.RandomState
) -> Tuple[np.ndarray, np.ndarray]:
    """Place the people of a sample in front of a random crop of a background, uint8 [h,w,3].

    The people are cut out slightly inside their outline, with a soft edge and estimated foreground
    colours, so the network cannot learn to detect halos of the old background. The new mask is the
    alpha of this composition.

    Returns:
        (image uint8 [H,W,3], mask uint8 [H,W]).
    """
    zoom, left, top, flip, blur = random.random_sample(5)
    height, width = mask.shape
    edge_sigma = EDGE_SIGMA * max(mask.shape)
    eroded = cv2.erode(mask, np.ones((3, 3), np.uint8))
    new_mask = cv2.GaussianBlur(eroded, (0, 0), edge_sigma)
    alpha = new_mask / np.float32(255)

    max_scale = min(background.shape[0] / height, background.shape[1] / width)
    scale = max_scale * (1 - (1 - MIN_ZOOM) * zoom)
    rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
    top = int(top * (background.shape[0] - rows))
    left = int(left * (background.shape[1] - columns))
    scene = background[top : top + rows, left : left + columns]
    scene = cv2.resize(scene, (width, height), interpolation=cv2.INTER_LINEAR)
    if flip < BACKGROUND_FLIP_PROBABILITY:
        scene = cv2.flip(scene, 1)
    if blur < BLUR_PROBABILITY:
        scene = cv2.GaussianBlur(scene, (0, 0), (MIN_BLUR + BLUR_RANGE * blur) * edge_sigma)
    foreground = estimate_foreground(image, alpha)
    return cv2.blendLinear(foreground, scene, alpha, 1 - alpha), new_mask
