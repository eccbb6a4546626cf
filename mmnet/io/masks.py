"""Read the masks of datasets as alpha. No TensorFlow."""

import io
from typing import NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image

from mmnet.io.files import read_bytes
from mmnet.io.images import decode_pixels

# Kinds of suspicious masks.
FLAT = "masks of one value only"
PARTIAL = "masks that do not reach both 0 and 1"
GUESSED = "masks of 0 and one other value, read as background and person"

MAX_BACKGROUND, MIN_PERSON = 0.02, 0.98  # alphas that count as 0 and 1 when a mask is checked
GREY_STEPS = {2: 85, 4: 17}  # bits per pixel -> step between two grey levels of a decoded PNG
VOID = 255  # palette index of the outlines in Pascal VOC


class Mask(NamedTuple):
    """The alpha of a mask file."""

    alpha: np.ndarray  # float32 [H,W], 0..1
    problem: Optional[str]  # FLAT, PARTIAL, GUESSED or None


def load_mask(path: str) -> np.ndarray:
    """Read a mask file as alpha, float32 [H,W], 0..1: see ``read_mask``."""
    return read_mask(path).alpha


def read_mask(path: str) -> Mask:
    """Read a mask file.

    - If the file has an alpha channel that varies, this channel is the mask. Otherwise colours are
      converted to grey.
    - If no value exceeds 1, the values are labels: 0 or 1, at any bit depth.
    - A palette image with two used entries is read by index, unless they are black and white.
    - If the values are 0 and one other value, this value is the person (GUESSED).
    - All other values are divided by the largest value of the bit depth: 65535, or 255 if no value
      exceeds it.
    """
    values = _read_values(read_bytes(path), path)
    high, problem = values.max(), None
    limit = 65535 if values.dtype == np.uint16 and high > 255 else 255
    if high <= 1:
        alpha = values.astype(np.float32)
    elif high < MIN_PERSON * limit and ((values == 0) | (values == high)).all():
        alpha, problem = (values > 0).astype(np.float32), GUESSED
    else:
        alpha = values / np.float32(limit)
    if alpha.min() == alpha.max():
        problem = FLAT
    elif alpha.min() > MAX_BACKGROUND or alpha.max() < MIN_PERSON:
        problem = PARTIAL
    return Mask(alpha, problem)


def _read_values(data, source):
    """Return the values that a file stores for its mask, [H,W]."""
    pixels = decode_pixels(data, source, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 2:
        is_grey_png = data[:4] == b"\x89PNG" and data[25] == 0
        step = GREY_STEPS.get(data[24]) if is_grey_png else None
        return pixels // step if pixels.max() == step else pixels
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3]
        if alpha.min() < alpha.max():
            return alpha
    labels = _read_palette_labels(data)
    if labels is not None:
        return labels
    colours = pixels[..., :3]
    return colours.max(axis=2) if colours.max() <= 1 else cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)


def _read_palette_labels(data):
    """Return the labels of a palette image, float32 [H,W]: 0, 1, or 0.5 for VOID pixels.

    Return None for other images, and if the used colours define a mask by themselves.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.mode != "P":
            return None
        indices = np.array(image)
    except Exception:  # Pillow raises many classes for files that OpenCV reads
        return None
    used = np.unique(indices)
    has_void = len(used) == 3 and used[2] == VOID
    greys = np.array(image.convert("L"))
    reaches_both = greys.min() <= 255 * MAX_BACKGROUND and greys.max() >= 255 * MIN_PERSON
    if reaches_both or not (len(used) == 2 or has_void):
        return None
    labels = (indices == used[1]).astype(np.float32)
    if has_void:
        labels[indices == VOID] = 0.5
    return labels
