"""Estimate the colours of a person without the background colours in semi-transparent pixels.

Forte and Pitie, "Approximate Fast Foreground Colour Estimation", ICIP 2021 ("blur fusion").
"""

from typing import Tuple

import cv2
import numpy as np

from mmnet.io.resize import shrink

COLOUR_SIZE = 800  # pixels of the longer side at which colours are averaged
WINDOWS = (0.11, 0.0075)  # averaging windows, as fractions of the longer side: far, then near
STRIP_ROWS = 256  # rows that are processed at once, to limit the memory for a large photo
SAMPLE_ROW = 1024  # pixels per row of a remap; OpenCV allows at most 32767
MIN_WINDOW = 8  # pixels; a larger window is averaged at a smaller image size
ALPHA_ROUNDING = 0.5 / 255  # an alpha this close to 0 or 1 is stored as 0 or 255
EPSILON = np.float32(1e-5)  # avoids a division by zero


def estimate_foreground(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Estimate the foreground colours of an image by blur fusion.

    F and B are the mean colours of foreground and background around a pixel, weighted by alpha and
    1 - alpha. The estimate is F + alpha (I - alpha F - (1 - alpha) B). This is done twice, with a
    large and a small window.

    Args:
        image: uint8 [H,W,3].
        alpha: float32 [H,W], 0..1.

    Returns:
        uint8 [H,W,3]. It equals the image where alpha is 1.
    """
    small = shrink(image, COLOUR_SIZE).astype(np.float32)
    weight = cv2.merge(3 * [shrink(alpha, COLOUR_SIZE)])  # faster than broadcasting in numpy
    foreground = background_mean = small
    for window in WINDOWS:
        side = max(3, round(window * max(weight.shape)))
        foreground_mean = _weighted_mean(foreground, weight, side)
        background_mean = _weighted_mean(background_mean, 1 - weight, side)
        foreground = _fuse(small, weight, foreground_mean, background_mean)

    shape = image.shape[:2]
    result = cv2.resize(np.rint(foreground_mean).astype(np.uint8), shape[::-1])
    opaque = alpha >= 1 - ALPHA_ROUNDING
    cv2.copyTo(image, opaque.view(np.uint8), result)
    soft = (alpha > ALPHA_ROUNDING) & ~opaque
    for top in range(0, len(image), STRIP_ROWS):
        rows, columns = np.nonzero(soft[top : top + STRIP_ROWS])
        pixels = rows + top, columns
        foreground = sample_pixels(foreground_mean, shape, pixels)
        background = sample_pixels(background_mean, shape, pixels)
        colours = image[pixels].astype(np.float32)
        result[pixels] = np.rint(_fuse(colours, alpha[pixels][:, None], foreground, background))
    return result


def sample_pixels(
    array: np.ndarray, shape: Tuple[int, int], pixels: Tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Enlarge an array to ``shape`` with bilinear interpolation, but compute only some pixels.

    Args:
        array: float32 [h,w,C].
        shape: (height, width) of the enlarged array.
        pixels: (rows, columns) of the pixels to compute, integers [N].

    Returns:
        float32 [N,C].
    """
    rows, columns = pixels
    count = len(rows)
    padded_count = -(-max(1, count) // SAMPLE_ROW) * SAMPLE_ROW
    positions = np.zeros((2, padded_count), np.float32)
    # Pixel centres: row y of the result lies at (y + .5) h / height - .5.
    positions[0, :count] = (columns + 0.5) * (array.shape[1] / shape[1]) - 0.5
    positions[1, :count] = (rows + 0.5) * (array.shape[0] / shape[0]) - 0.5
    x, y = positions.reshape(2, -1, SAMPLE_ROW)
    values = cv2.remap(array, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(padded_count, -1)[:count]


def _fuse(colours, alpha, foreground, background):
    residual = colours - background - alpha * (foreground - background)
    return np.clip(foreground + alpha * residual, 0, 255)


def _weighted_mean(colours, weight, side):
    """Average colours [h,w,3] over square windows with weights [h,w,3]."""
    height, width = weight.shape[:2]
    factor = max(1, side // MIN_WINDOW)
    weighted = colours * weight
    if factor > 1:
        size = max(1, width // factor), max(1, height // factor)
        weighted = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA)
        weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        side = max(3, round(side / factor))
    window = (side, side)
    mean = cv2.blur(weighted, window) / (cv2.blur(weight, window) + EPSILON)
    return mean if factor == 1 else cv2.resize(mean, (width, height))
