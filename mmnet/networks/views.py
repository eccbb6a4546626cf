"""Views of a photo: a network runs on each view, and the mean of the logits gives the alpha.

A view is written as its size and, if it is mirrored, an f: ``256``, ``320f``, ``320x256f``. The
input of a network with several views is the largest one. No TensorFlow.
"""

import re
from typing import NamedTuple, Sequence, Tuple

from mmnet.io.errors import MmnetError, format_shape

TEXT = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?(f?)")
STRIDE = 32  # height and width of every network input are multiples of it

# Number of views -> (size / size of the network, mirrored). The default of photos is the highest
# number. Selected on persons/val and training images of EG1800: docs/benchmarks.md, "Views".
SCALES = {
    1: ((1.0, False),),
    2: ((1.0, False), (1.125, True)),
    3: ((1.0, False), (1.25, True), (1.5, False)),
}


class View(NamedTuple):
    """A view of a photo."""

    shape: Tuple[int, int]  # (height, width) in pixels
    mirrored: bool = False  # left and right are exchanged

    def __str__(self) -> str:
        height, width = self.shape
        size = str(height) if height == width else format_shape(self.shape)
        return size + ("f" if self.mirrored else "")


def parse_view(text: str) -> View:
    """Convert a text to a View."""
    match = TEXT.fullmatch(text)
    if match is None:
        raise MmnetError(f"must be sizes such as 256 or 320f (mirrored), not {text!r}", "views")
    height = int(match.group(1))
    return View((height, int(match.group(2) or height)), bool(match.group(3)))


def largest_shape(views: Sequence[str]) -> Tuple[int, int]:
    """Return the shape that contains every view."""
    heights, widths = zip(*(parse_view(text).shape for text in views))
    return max(heights), max(widths)


def scaled_views(shape: Tuple[int, int], count: int) -> Tuple[str, ...]:
    """Return the ``count`` views of SCALES for a network of this shape."""
    return tuple(
        str(View((_scale(shape[0], scale), _scale(shape[1], scale)), mirrored))
        for scale, mirrored in SCALES[count]
    )


def _scale(side, scale):
    return max(1, int(side * scale / STRIDE + 0.5)) * STRIDE
