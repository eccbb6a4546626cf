"""The colours of a person without those of the background that shine through at a soft edge."""

import cv2
import numpy as np

# Sides of the windows whose colours are averaged, in the picture's longer side: first the colours
# from afar, then those from near by.
WINDOWS = (0.11, 0.0075)


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
    seen = image.astype(np.float32)
    weight = alpha.astype(np.float32)[..., None]
    foreground = background = seen
    for window in WINDOWS:
        side = max(3, round(window * max(alpha.shape)))
        foreground_mean = _mean(foreground, weight, side)
        background = _mean(background, 1 - weight, side)
        rest = seen - weight * foreground_mean - (1 - weight) * background
        foreground = np.clip(foreground_mean + weight * rest, 0, 255)
    return np.rint(foreground).astype(np.uint8)


def _mean(colours, weight, side):
    """Colours [H,W,3] averaged over windows, each pixel weighted [H,W,1]."""
    window = (side, side)
    return cv2.blur(colours * weight, window) / (cv2.blur(weight, window)[..., None] + 1e-5)
