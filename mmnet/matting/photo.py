"""Compute the alpha of a photo of any shape, at the photo's own size. No TensorFlow.

1. Shrink the photo to WORKING_SIZE and run the network on the whole photo.
2. Run the network again on the box that contains the people, and blend the result in.
3. Remove smudges, islands and holes (cleaning.py).
4. Enlarge the alpha to the size of the photo and refine its edges with the photo (refine.py).
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from mmnet.inference.predictor import Predictor
from mmnet.io.images import Photo, compose_over_grey
from mmnet.io.resize import resize_bilinear, shrink
from mmnet.matting.cleaning import clean_alpha
from mmnet.matting.refine import enlarge_alpha

WORKING_SIZE = 800  # pixels of the longer side: the size of the training portraits

# A photo whose aspect ratio (height / width) lies between these limits is squeezed into the
# network input. Selected on persons/val: docs/benchmarks.md, "Aspect ratio".
MAX_ASPECT_RATIO = 2.0
MIN_ASPECT_RATIO = 0.5

# Second pass. Selected on persons/val: docs/benchmarks.md, "Second pass".
BOX_MARGIN = 0.15  # on each side of the people, as a fraction of their longer side
BOX_ASPECT_RATIO = 4 / 3  # height / width of the box
MAX_BOX_AREA = 0.7  # fraction of the photo; a larger box gains nothing from a second pass
MIN_PERSON_AREA = 0.1  # fraction of the largest region; smaller regions are not people

Box = Tuple[slice, slice]  # rows and columns of a rectangle: alpha[box]


class MattingOptions(NamedTuple):
    """Processing steps in addition to one network run."""

    second_pass: bool = True
    refine_edges: bool = True
    estimate_foreground: bool = True  # replace background colours in semi-transparent pixels
    clean_alpha: bool = True  # remove smudges, islands and holes; photos only


def matte_photo(
    photo: Photo,
    predictor: Predictor,
    options: MattingOptions = MattingOptions(),
    small: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Compute the alpha of a photo, float32 [H,W], 0..1, at its own size.

    The network sees the photo over mid-grey. The alpha is multiplied by the photo's opacity.
    ``small``: the image of the photo, shrunk to WORKING_SIZE, if it is known.
    """
    image = photo.image
    if photo.opacity is not None:
        image, small = compose_over_grey(image, photo.opacity), None
    small = shrink(image, WORKING_SIZE) if small is None else small
    alpha = matte_at_working_size(small, predictor, second_pass=options.second_pass)
    if options.clean_alpha:
        alpha = clean_alpha(alpha, is_calibrated=predictor.card.signature is None)
    alpha = enlarge_alpha(alpha, small, image, refine=options.refine_edges)
    return alpha if photo.opacity is None else alpha * (photo.opacity / np.float32(255))


def matte_at_working_size(
    small: np.ndarray, predictor: Predictor, *, second_pass: bool = True
) -> np.ndarray:
    """Compute the alpha, float32 [h,w], 0..1, of a photo of at most WORKING_SIZE pixels.

    Args:
        small: uint8 [h,w,3], RGB.
        predictor: a trained network.
        second_pass: run the network again on the box that contains the people.
    """
    alpha = run_network(small, predictor)
    box = people_box(alpha) if second_pass else None
    return alpha if box is None else run_second_pass(alpha, small, predictor, box)


def run_second_pass(
    alpha: np.ndarray,
    small: np.ndarray,
    predictor: Predictor,
    box: Box,
    previous_alpha: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Return the alpha of the first pass, with the result of the network inside a box.

    previous_alpha: float32 [h,w], 0..1, of the previous frame; input of four-channel networks.
    """
    previous_crop = None if previous_alpha is None else previous_alpha[box]
    return blend_second_pass(alpha, run_network(small[box], predictor, previous_crop), box)


def run_network(
    image: np.ndarray,
    predictor: Predictor,
    previous_alpha: Optional[np.ndarray] = None,
    state: Optional[Dict[str, Any]] = None,
) -> np.ndarray:
    """Run the network once on an image of any shape, and return the alpha at the image's size.

    The network was trained with photos squeezed into its input shape, so images inside the
    aspect-ratio limits are squeezed too. Wider or taller images are first extended to the limit
    by mirroring at their borders. Mirroring keeps the person's proportions and adds no false edge.
    """
    height, width = image.shape[:2]
    pad_y = (max(0, round(width * MIN_ASPECT_RATIO) - height) + 1) // 2
    pad_x = (max(0, round(height / MAX_ASPECT_RATIO) - width) + 1) // 2

    padded = _mirror_borders(image, pad_y, pad_x)
    if previous_alpha is not None:
        previous_alpha = _mirror_borders(previous_alpha, pad_y, pad_x)
    alpha = predictor.run_image(padded, previous_alpha, state)
    alpha = resize_bilinear(alpha, padded.shape[:2], align_corners=True)
    return alpha[pad_y : pad_y + height, pad_x : pad_x + width]


def _mirror_borders(array, pad_y, pad_x):
    return cv2.copyMakeBorder(array, pad_y, pad_y, pad_x, pad_x, cv2.BORDER_REFLECT_101)


def people_box(alpha: np.ndarray) -> Optional[Box]:
    """Return the box around all people with a margin, or None if a second pass gains nothing.

    The result is None if the alpha contains no person, or if the box covers nearly the whole photo.
    """
    _, _, regions, _ = cv2.connectedComponentsWithStats((alpha > 0.5).astype(np.uint8))
    people = regions[1:]  # region 0 is the background
    if len(people) == 0:
        return None
    areas = people[:, cv2.CC_STAT_AREA]
    people = people[areas >= MIN_PERSON_AREA * areas.max()]
    left, top = people[:, cv2.CC_STAT_LEFT].min(), people[:, cv2.CC_STAT_TOP].min()
    right = (people[:, cv2.CC_STAT_LEFT] + people[:, cv2.CC_STAT_WIDTH]).max()
    bottom = (people[:, cv2.CC_STAT_TOP] + people[:, cv2.CC_STAT_HEIGHT]).max()

    margin = BOX_MARGIN * max(right - left, bottom - top)
    height, width = bottom - top + 2 * margin, right - left + 2 * margin
    box_height = max(height, width * BOX_ASPECT_RATIO)
    box_width = max(width, height / BOX_ASPECT_RATIO)
    box = (
        _fit_interval((top + bottom) / 2, box_height, alpha.shape[0]),
        _fit_interval((left + right) / 2, box_width, alpha.shape[1]),
    )
    return None if alpha[box].size > MAX_BOX_AREA * alpha.size else box


def blend_second_pass(alpha: np.ndarray, box_alpha: np.ndarray, box: Box) -> np.ndarray:
    """Return ``alpha`` with ``box_alpha`` inside the box, faded in over the box's margin.

    A side of the box that lies on the border of the photo has no fade.
    """
    fade = fade_length(box_alpha)
    weight_y = _fade_weights(box[0], fade, alpha.shape[0])
    weight_x = _fade_weights(box[1], fade, alpha.shape[1])
    weight = np.minimum(weight_y[:, None], weight_x[None])
    result = alpha.copy()
    result[box] += weight * (box_alpha - alpha[box])
    return result


def fade_length(box_alpha: np.ndarray) -> float:
    """Return half of the margin of a box, in pixels."""
    return max(1.0, BOX_MARGIN / 2 * max(box_alpha.shape) / (1 + 2 * BOX_MARGIN))


def _fit_interval(centre, length, limit):
    """Return the slice of this length near ``centre`` and inside 0..limit."""
    length = min(int(round(length)), limit)
    start = min(max(0, int(round(centre - length / 2))), limit - length)
    return slice(start, start + length)


def _fade_weights(interval, fade, limit):
    """Return float32 [n]: 1, with ramps of ``fade`` pixels from 0 at ends inside the photo."""
    ramp = np.arange(interval.stop - interval.start, dtype=np.float32) / fade
    weights = np.ones_like(ramp)
    if interval.start > 0:
        weights = np.minimum(weights, ramp)
    if interval.stop < limit:
        weights = np.minimum(weights, ramp[::-1])
    return weights
