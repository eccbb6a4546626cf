"""The alpha of a photo of any shape, at its own size. No TensorFlow.

The whole photo comes first, then a second look at the part of it that holds the people, then the
photo's own edges.
"""

from typing import NamedTuple

import cv2
import numpy as np

from mmnet.io.resize import resize_bilinear, shrink
from mmnet.matting.refine import refined

# Limits of height / width, up to which a photo is squeezed into the network's input like the
# pictures of training. (On persons/val, our weights: MAD .0498 with the lower one at .5, .0532 at
# 1, which is what portraits alone have taught; the published 887,000 steps: .1100 and .1088.)
TALLEST, WIDEST = 2.0, 0.5
GRAIN = 800  # pixels of a training portrait's longer side

# The second look, chosen on persons/val.
MARGIN = 0.15  # around the people, in the longer side of their box
PORTRAIT = 4 / 3  # height / width of the part that is looked at
LARGEST_PART = 0.7  # of the photo: what is larger has been seen well enough
SMALLEST_PERSON = 0.1  # of the largest one's area: what is smaller is no person


class MattingOptions(NamedTuple):
    """What is done for a photo beside one run of the network."""

    second_pass: bool = True
    refinement: bool = True
    foreground_colours: bool = True  # in what is cut out; the alpha has none


class Box(NamedTuple):
    """A part of a photo, in pixels; bottom and right lie outside."""

    top: int
    left: int
    bottom: int
    right: int


def matte_photo(image, predictor, care=MattingOptions()):
    """The alpha of a photo at its own size.

    Args:
        image: uint8 [H,W,3] RGB. predictor: Predictor. care: Care.

    Returns:
        float32 [H,W] 0..1.
    """
    small = shrink(image, GRAIN)
    return enlarge_alpha(matte_at_working_size(small, predictor, care), small, image, care)


def matte_at_working_size(small, predictor, care=MattingOptions(), previous=None):
    """The alpha of a photo of at most GRAIN pixels, from one look at it or two.

    Args:
        small: uint8 [h,w,3]. previous: float32 [h,w] 0..1, the alpha of the frame before; for a
            network that sees it.

    Returns:
        float32 [h,w] 0..1.
    """
    alpha = look(small, predictor, previous)
    if not care.second_pass:
        return alpha
    part = people_box(alpha)
    if part is None:
        return alpha
    inside = (slice(part.top, part.bottom), slice(part.left, part.right))
    closer = look(small[inside], predictor, None if previous is None else previous[inside])
    return merged(alpha, closer, part)


def enlarge_alpha(alpha, small, image, care=MattingOptions()):
    """The alpha of ``small`` at the size of the photo that it was made of; arguments as above."""
    if care.refinement:
        return refined(alpha, small, image)
    if small is image:
        return alpha
    return cv2.resize(alpha, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def look(image, predictor, previous=None):
    """One run of the network: the alpha of an image, at its size.

    The network learned photos that were squeezed into a square, so one whose sides differ by no
    more than a factor of two goes in the same way. One that is wider or higher is first extended to
    that limit by mirroring it at its borders, which keeps the person's shape and leaves no edge to
    be mistaken for one; the extension is cut off again. (Mirroring everything to a square scored
    worse: MAD .0258 against .0204 on 3:4 portraits.)
    """
    rows, columns = image.shape[:2]
    above = (max(0, round(columns * WIDEST) - rows) + 1) // 2
    left = (max(0, round(rows / TALLEST) - columns) + 1) // 2

    def squeezed(picture):
        extended = cv2.copyMakeBorder(picture, above, above, left, left, cv2.BORDER_REFLECT_101)
        return resize_bilinear(extended, predictor.network.shape, align_corners=True)[None]

    pictures = [image] if previous is None else [image, previous]
    alpha = predictor(*map(squeezed, pictures))[0]
    extended = (rows + 2 * above, columns + 2 * left)
    alpha = resize_bilinear(alpha, extended, align_corners=True)
    return alpha[above : above + rows, left : left + columns]


def people_box(alpha):
    """The Box around the people of an alpha, with a margin, towards 3:4; None: no second look.

    There is none where nobody was found, or where the box is nearly the whole photo.
    """
    height, width = alpha.shape
    _, _, regions, _ = cv2.connectedComponentsWithStats((alpha > 0.5).astype(np.uint8))
    people = regions[1:]
    if not len(people):
        return None
    people = people[people[:, cv2.CC_STAT_AREA] >= SMALLEST_PERSON * people[:, -1].max()]
    left, top = people[:, 0].min(), people[:, 1].min()
    right, bottom = (people[:, 0] + people[:, 2]).max(), (people[:, 1] + people[:, 3]).max()
    margin = MARGIN * max(right - left, bottom - top)
    rows, columns = bottom - top + 2 * margin, right - left + 2 * margin
    rows, columns = max(rows, columns * PORTRAIT), max(columns, rows / PORTRAIT)
    top, bottom = _placed((top + bottom) / 2, rows, height)
    left, right = _placed((left + right) / 2, columns, width)
    if (bottom - top) * (right - left) > LARGEST_PART * height * width:
        return None
    return Box(top, left, bottom, right)


def _placed(centre, length, limit):
    """(first, end) of a stretch around ``centre``, moved into 0 .. limit, and cut to it."""
    length = min(int(round(length)), limit)
    first = min(max(0, int(round(centre - length / 2))), limit - length)
    return first, first + length


def merged(alpha, closer, part):
    """An alpha with a closer one in a part of it, faded in from the part's inner borders."""
    rows, columns = closer.shape
    height, width = alpha.shape
    fade = max(1.0, MARGIN / 2 * max(rows, columns) / (1 + 2 * MARGIN))
    y = _ramp(rows, fade, part.top > 0, part.bottom < height)
    x = _ramp(columns, fade, part.left > 0, part.right < width)
    weight = np.minimum(y[:, None], x[None])
    result = alpha.copy()
    inside = result[part.top : part.bottom, part.left : part.right]
    inside += weight * (closer - inside)
    return result


def _ramp(length, fade, at_start, at_end):
    """float32 [length]: 1, but from 0 to 1 over ``fade`` pixels at the ends that are asked for."""
    ramp = np.ones(length, np.float32)
    way = np.arange(length, dtype=np.float32) / fade
    if at_start:
        ramp = np.minimum(ramp, way)
    if at_end:
        ramp = np.minimum(ramp, way[::-1])
    return ramp
