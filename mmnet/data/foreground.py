"""The colours of a person without those of the background that shine through at a soft edge."""

import cv2
import numpy as np

from mmnet.data.images import shrink

# Sides of the windows whose colours are averaged, in the picture's longer side: first the colours
# from afar, then those from near by.
WINDOWS = (0.11, 0.0075)
LONGEST = 800  # pixels of the longer side at which colours are averaged: averages are smooth
STRIP = 256  # rows at a time, which bounds the memory of a large photo


def foreground_of(image, alpha):
    """Estimate the foreground's colours of an image by blur fusion.

    Forte and Pitie, "Approximate Fast Foreground Colour Estimation", ICIP 2021, algorithm 1, twice:
    the mean colours F of the foreground and B of the background around a pixel, weighted by alpha
    and 1 - alpha, then F + alpha (I - alpha F - (1 - alpha) B).

    Args:
        image: uint8 [H,W,3]. alpha: float32 [H,W] 0..1.

    Returns:
        uint8 [H,W,3]; where alpha is 1 the image's own colours.
    """
    foreground, background = mean_colours(image, alpha)
    result = np.empty_like(image)
    for top in range(0, len(image), STRIP):
        rows = slice(top, top + STRIP)
        near, far = (enlarged(means, image.shape[:2], rows) for means in (foreground, background))
        result[rows] = np.rint(_fused(image[rows].astype(np.float32), alpha[rows], near, far))
    return result


def mean_colours(image, alpha):
    """The mean colours of foreground and background around each pixel.

    Returns:
        (foreground, background), float32 [h,w,3] 0..255, the longer side at most LONGEST.
    """
    seen, weight = shrink(image, LONGEST).astype(np.float32), shrink(alpha, LONGEST)
    foreground = means = background = seen
    for window in WINDOWS:
        side = max(3, round(window * max(weight.shape)))
        means = _mean(foreground, weight, side)
        background = _mean(background, 1 - weight, side)
        foreground = _fused(seen, weight, means, background)
    return means, background


def enlarged(colours, shape, rows):
    """The ``rows`` (slice) of colours [h,w,3] enlarged to ``shape`` (height, width)."""
    height, width = shape
    top, bottom = rows.start, min(rows.stop, height)
    # Pixel centres: row y of the result lies at (y + .5) h / height - .5.
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5) * (len(colours) / height) - 0.5
    x = (np.arange(width, dtype=np.float32) + 0.5) * (colours.shape[1] / width) - 0.5
    x, y = np.meshgrid(x, y)
    return cv2.remap(colours, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _fused(seen, alpha, foreground, background):
    weight = alpha[..., None]
    rest = seen - weight * foreground - (1 - weight) * background
    return np.clip(foreground + weight * rest, 0, 255)


def _mean(colours, weight, side):
    """Colours [H,W,3] averaged over windows, each pixel weighted [H,W]."""
    window = (side, side)
    weighted = cv2.blur(colours * weight[..., None], window)
    return weighted / (cv2.blur(weight, window)[..., None] + 1e-5)
