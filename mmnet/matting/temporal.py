"""Temporal filters: reduce the flicker of alphas in clips. No TensorFlow.

docs/benchmarks.md, "Temporal filters", compares them (MAD, dtSSD).
"""

from typing import Any, Dict, NamedTuple, Optional

import cv2
import numpy as np

from mmnet.io.resize import shrink

# Weight of the previous alpha.
EXPONENTIAL_WEIGHT = 0.3
MOTION_WEIGHT = 0.85

FLOW_SIZE = 320  # pixels of the longer side at which optical flow is computed
MIN_FLOW_SIDE = 32  # pixels; OpenCV's optical flow crashes for images with fewer rows
COLOUR_TOLERANCE = 10.0  # levels (0..255): scale of the colour change between two frames
COLOUR_WINDOW = (5, 5)  # pixels over which the colour change is averaged


class MattedFrame(NamedTuple):
    """A frame and its alphas. The filter and the network use that of the previous frame."""

    image: np.ndarray  # [h,w,3], RGB 0..255
    alpha: np.ndarray  # float32 [h,w], 0..1; filtered, after the filter
    network_alpha: Optional[np.ndarray] = None  # unfiltered; input of four-channel networks
    state: Optional[Dict[str, Any]] = None  # of a recurrent network
    track: Any = None  # where the people are: tracking.Track


def smooth_exponential(alpha: np.ndarray, image: np.ndarray, previous: MattedFrame) -> np.ndarray:
    """Average the alpha with the previous one. Moving people leave a trail."""
    weight = np.float32(EXPONENTIAL_WEIGHT)
    return weight * previous.alpha + (1 - weight) * alpha


def smooth_along_motion(alpha: np.ndarray, image: np.ndarray, previous: MattedFrame) -> np.ndarray:
    """Average the alpha with the previous one, moved along the optical flow.

    The weight of the previous alpha falls with the difference between the current image and the
    moved previous image, for example if the background appears behind a person. Optical flow: dense
    inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016).

    Args:
        alpha: float32 [h,w], 0..1, of the network.
        image: [h,w,3], RGB 0..255.
        previous: the previous frame, of the same size.
    """
    small = shrink(cv2.convertScaleAbs(image), FLOW_SIZE)  # uint8
    previous_small = shrink(cv2.convertScaleAbs(previous.image), FLOW_SIZE)
    positions = _previous_positions(small, previous_small)
    red, green, blue = cv2.split(cv2.absdiff(small, _sample(previous_small, positions)))
    difference = cv2.max(cv2.max(red, green), blue)  # far faster than numpy's max over colours
    difference = cv2.blur(difference.astype(np.float32), COLOUR_WINDOW)
    weight = np.float32(MOTION_WEIGHT) * np.exp(-np.square(difference / COLOUR_TOLERANCE))
    if weight.shape != alpha.shape:
        size = alpha.shape[::-1]
        scale = np.array(size, np.float32) / np.array(weight.shape[::-1], np.float32)
        positions = (positions + 0.5) * scale - 0.5  # pixel centres are at .5
        positions = cv2.resize(positions, size, interpolation=cv2.INTER_LINEAR)
        weight = cv2.resize(weight, size, interpolation=cv2.INTER_LINEAR)
    return alpha + weight * (_sample(previous.alpha, positions) - alpha)


FILTERS = {"none": None, "exponential": smooth_exponential, "motion": smooth_along_motion}


def _previous_positions(image, previous_image):
    """Return float32 [h,w,2]: for each pixel of the image its (x, y) in the previous image."""
    height, width = image.shape[:2]
    pad = 0, max(0, MIN_FLOW_SIDE - height), 0, max(0, MIN_FLOW_SIDE - width)
    grey, previous_grey = (
        cv2.copyMakeBorder(cv2.cvtColor(array, cv2.COLOR_RGB2GRAY), *pad, cv2.BORDER_REPLICATE)
        for array in (image, previous_image)
    )
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = flow.calc(grey, previous_grey, None)[:height, :width]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return flow + np.dstack([x, y])


def _sample(array, positions):
    return cv2.remap(array, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
