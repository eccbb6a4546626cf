"""A photo and its alpha: the person cut out, or before another background. No TensorFlow."""

import os
from typing import NamedTuple

import cv2
import numpy as np

from mmnet.io.clips import Backdrop, is_clip, load_backdrop
from mmnet.io.errors import MmnetError
from mmnet.io.foreground import COLOUR_SIZE, estimate_foreground
from mmnet.io.resize import resize_to_cover, shrink
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions

COLOURS = {
    "black": "#000000",
    "white": "#ffffff",
    "grey": "#808080",
    "gray": "#808080",
    "red": "#ff0000",
    "green": "#00ff00",
    "blue": "#0000ff",
}


BLUR = "blur"  # the background that is the photo's own, out of focus
BLUR_SIGMA = 0.02  # of it, in the photo's longer side
OUT_OF_FOCUS = 200  # pixels of the longer side at which it is blurred: nothing finer is left
KINDS = ("alpha", "cutout", "composition", "side-by-side")  # of results, as --write names them
GREY = np.full(3, 128, np.uint8)  # side by side, where no background is given


class OutputOptions(NamedTuple):
    """What is made of every photo."""

    kinds: tuple = ("alpha", "cutout")
    background: object = None  # of load_background
    care: MattingOptions = MattingOptions()


def results_of(image, alpha, wanted):
    """Everything that is wanted of a photo: kind -> uint8 [H,W], [H,W,3] or [H,W,4]."""
    coloured = wanted.care.foreground_colours and wanted.kinds != ("alpha",)
    foreground = estimate_foreground(image, alpha) if coloured else None
    background = GREY if wanted.background is None else wanted.background
    composition = None
    if {"composition", "side-by-side"} & set(wanted.kinds):
        composition = compose(image, alpha, background, foreground)
    makers = {
        "alpha": lambda: np.rint(alpha * 255).astype(np.uint8),
        "cutout": lambda: cut_out(image, alpha, foreground),
        "composition": lambda: composition,
        "side-by-side": lambda: side_by_side(image, alpha, composition),
    }
    return {kind: makers[kind]() for kind in wanted.kinds}


def cut_out(image, alpha, foreground=None):
    """RGBA uint8 [H,W,4] of uint8 [H,W,3] and its alpha [H,W] 0..1.

    foreground: the person's own colours, of data.foreground.estimate_foreground; None: the photo's.
    """
    colours = image if foreground is None else foreground
    return np.dstack([colours, np.rint(alpha * 255).astype(np.uint8)])


def compose(image, alpha, background, foreground=None):
    """The person before a background: uint8 [H,W,3].

    Args:
        background: uint8 [3] (a colour), [h,w,3] (a picture, scaled to cover the photo and
            cropped at the centre), a Backdrop (its first picture), or BLUR. foreground: as cut_out.
    """
    if isinstance(background, Backdrop):
        background = background.first
    if isinstance(background, str):
        background = blurred_background(image, alpha)
    elif background.ndim == 3:
        background = resize_to_cover(background, image.shape[:2])
    else:
        background = np.full_like(image, background)
    colours = image if foreground is None else foreground
    # It divides by the sum of the weights plus 1e-5, which is less than half a level.
    return cv2.blendLinear(colours, background, alpha, 1 - alpha)


def blurred_background(image, alpha):
    """What is behind the person, out of focus: uint8 [H,W,3].

    The background's colours are averaged without the person's, whose glow would surround it.
    """
    weight = 1 - shrink(alpha, COLOUR_SIZE)
    colours = shrink(shrink(image, COLOUR_SIZE) * weight[..., None], OUT_OF_FOCUS)
    weight = shrink(weight, OUT_OF_FOCUS)
    sigma = max(0.5, BLUR_SIGMA * max(weight.shape))
    weight = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    colours = cv2.GaussianBlur(colours, (0, 0), sigma)
    everywhere = colours.sum((0, 1)) / (weight.sum() + 1e-5)
    # Deep inside the person nothing of the background is near: there it is its mean colour.
    blurred = (colours + 1e-3 * everywhere) / (weight + 1e-3)
    blurred = np.rint(blurred.clip(0, 255)).astype(np.uint8)
    return cv2.resize(blurred, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)


def side_by_side(image, alpha, composition):
    """The photo, its alpha and the person before a background: uint8 [H,3W,3]."""
    grey = cv2.cvtColor(np.rint(alpha * 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    return np.hstack([image, grey, composition])


def load_background(value):
    """A background for compose: a picture's path, ``#rrggbb``, one of COLOURS, or BLUR.

    A clip's path gives a Backdrop.
    """
    if value == BLUR:
        return BLUR
    if is_clip(value) and os.path.exists(value):
        return load_backdrop(value)
    if os.path.exists(value):
        return load_photo(value)
    code = COLOURS.get(value.lower(), value)
    if len(code) == 7 and code[0] == "#":
        try:
            return np.array(list(bytes.fromhex(code[1:])), np.uint8)
        except ValueError:
            pass
    raise MmnetError(
        "background %r is neither a picture or clip that exists nor a colour (#rrggbb, %s) nor blur"
        % (value, ", ".join(sorted(COLOURS)))
    )
