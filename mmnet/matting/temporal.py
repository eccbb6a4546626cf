"""Alphas of a clip made steady from frame to frame. No TensorFlow.

Over eight made-up clips at 256x256, with the weights in the box (MAD, dtSSD): each frame alone
.0246, .0953; exponential .0284, .0916; motion .0246, .0861.
"""

from typing import NamedTuple, Optional

import cv2
import numpy as np

from mmnet.io.resize import shrink

KEPT = {"exponential": 0.3, "motion": 0.85}  # share of the alpha before
LONGEST = 256  # pixels of the longer side at which motion is looked for
TOLERANCE = 10.0  # levels 0..255 by which the same point may change its colour
WINDOW = (5, 5)  # whose mean difference counts


class Before(NamedTuple):
    """What a frame leaves to the next one."""

    image: np.ndarray  # [h,w,3] RGB 0..255
    alpha: np.ndarray  # float32 [h,w] 0..1, after the filter
    unfiltered: Optional[np.ndarray] = None  # the network's, for one that sees it


def exponential(alpha, image, before):
    """Exponential smoothing: what moves leaves a trail."""
    kept = np.float32(KEPT["exponential"])
    return kept * before.alpha + (1 - kept) * alpha


def motion(alpha, image, before):
    """Smoothing along the motion, where it is known: nothing trails.

    The alpha before is moved with the picture (dense inverse search: Kroeger et al., "Fast Optical
    Flow using Dense Inverse Search", ECCV 2016). It counts where the picture before, moved the same
    way, looks like this one; where it does not, because something has come into sight, this frame's
    alpha stays.

    Args:
        alpha: float32 [h,w] 0..1, the network's. image: [h,w,3] RGB 0..255. before: Before, of the
            same size.

    Returns:
        float32 [h,w] 0..1.
    """
    small, small_before = (shrink(as_bytes(each), LONGEST) for each in (image, before.image))
    where = _positions(small, small_before)
    moved = cv2.remap(small_before, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = cv2.blur(cv2.absdiff(small, moved).max(axis=2).astype(np.float32), WINDOW)
    weight = np.float32(KEPT["motion"]) * np.exp(-np.square(difference / TOLERANCE))
    where, weight = _enlarged(where, weight, alpha.shape)
    kept = cv2.remap(before.alpha, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return alpha + weight * (kept - alpha)


FILTERS = {"none": None, "exponential": exponential, "motion": motion}


def as_bytes(image):
    return image if image.dtype == np.uint8 else np.rint(image.clip(0, 255)).astype(np.uint8)


def _positions(image, before):
    """float32 [h,w,2]: x and y in the picture before of each pixel of this one."""
    grey, grey_before = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (image, before))
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    height, width = grey.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return search.calc(grey, grey_before, None) + np.dstack([x, y])


def _enlarged(where, weight, shape):
    """Positions and weights for an alpha of another size; pixel centres at .5."""
    if weight.shape == shape:
        return where, weight
    size = shape[::-1]
    scale = np.array(size, np.float32) / np.array(weight.shape[::-1], np.float32)
    where = (cv2.resize(where, size, interpolation=cv2.INTER_LINEAR) + 0.5) * scale - 0.5
    return where, cv2.resize(weight, size, interpolation=cv2.INTER_LINEAR)
