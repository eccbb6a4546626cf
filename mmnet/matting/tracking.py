"""Follow the people of a clip, so that most frames need one network run. No TensorFlow.

The network sees the box that contained the people in an earlier frame. It sees the whole frame
again after some frames, if a person comes near the border of the box, and if the scene changes.
docs/benchmarks.md, "Clips".
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from mmnet.inference.predictor import Predictor
from mmnet.io.resize import shrink
from mmnet.matting.photo import (
    Box,
    blend_second_pass,
    fade_length,
    people_box,
    run_network,
    run_second_pass,
)

MAX_AGE = 10  # frames from one network run on the whole frame to the next
COMPARISON_SIZE = 32  # pixels of the longer side at which two frames are compared
MAX_CHANGE = 25.0  # levels (0..255); a larger mean change of the colours is a new scene


class Track(NamedTuple):
    """Where the people of a clip are."""

    box: Box
    image: np.ndarray  # the last frame, uint8 [h,w,3]
    age: int = 1  # frames since the network saw a whole frame


class TrackedFrame(NamedTuple):
    alpha: np.ndarray  # float32 [h,w], 0..1
    track: Optional[Track] = None  # None: the network must see the next frame as a whole


def matte_whole_frame(
    image: np.ndarray,
    predictor: Predictor,
    previous_alpha: Optional[np.ndarray] = None,
    state: Optional[Dict[str, Any]] = None,
    *,
    second_pass: bool = True,
) -> TrackedFrame:
    """Run the network on a frame, uint8 [h,w,3], and on its people, and start their track.

    ``previous_alpha`` and ``state``: see Predictor.run_image. A state belongs to whole frames.
    """
    alpha = run_network(image, predictor, previous_alpha, state)
    box = people_box(alpha) if second_pass and not predictor.is_recurrent else None
    if box is None:
        return TrackedFrame(alpha)
    alpha = run_second_pass(alpha, image, predictor, box, previous_alpha)
    return TrackedFrame(alpha, Track(box, image))


def follow_track(
    track: Optional[Track],
    image: np.ndarray,
    predictor: Predictor,
    previous_alpha: Optional[np.ndarray],
) -> Optional[TrackedFrame]:
    """Run the network on the box of a track. The alpha outside the box is the previous one.

    Return None if the network must see the whole frame.
    """
    if track is None or previous_alpha is None:
        return None
    if track.age >= MAX_AGE or is_new_scene(image, track.image):
        return None
    box = track.box
    box_alpha = run_network(image[box], predictor, previous_alpha[box])
    distance = border_distance(box_alpha, box, previous_alpha.shape)
    if distance == 0:  # a part of a person may be outside
        return None
    alpha = blend_second_pass(previous_alpha, box_alpha, box)
    if distance < fade_length(box_alpha):
        return TrackedFrame(alpha)
    return TrackedFrame(alpha, Track(box, image, track.age + 1))


def is_new_scene(image: np.ndarray, previous_image: np.ndarray) -> bool:
    """Return whether most colours of two images, uint8 [h,w,3], differ."""
    small, previous_small = shrink(image, COMPARISON_SIZE), shrink(previous_image, COMPARISON_SIZE)
    return cv2.norm(small, previous_small, cv2.NORM_L1) > MAX_CHANGE * small.size


def border_distance(box_alpha: np.ndarray, box: Box, shape: Tuple[int, ...]) -> int:
    """Return the pixels between the people and the sides of the box inside a frame of ``shape``."""
    person = box_alpha > 0.5
    distances = [max(shape)]
    for axis, (side, limit) in enumerate(zip(box, shape)):
        lines = np.flatnonzero(person.any(axis=1 - axis))  # rows or columns
        if len(lines) and side.start > 0:
            distances.append(int(lines[0]))
        if len(lines) and side.stop < limit:
            distances.append(side.stop - side.start - 1 - int(lines[-1]))
    return min(distances)
