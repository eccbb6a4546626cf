"""Estimate the colours of a person without the background colours in semi-transparent pixels.

Forte and Pitie, "Approximate Fast Foreground Colour Estimation", ICIP 2021 ("blur fusion").
"""

from typing import Iterator, Optional, Tuple

import cv2
import numpy as np

from mmnet.io.resize import shrink

# Selected on synthetic portraits: docs/benchmarks.md, "Photos".
COLOUR_SIZE = 400  # pixels of the longer side at which colours are averaged
WINDOWS = (0.16, 0.0125)  # averaging windows, as fractions of the longer side: far, then near
STRIP_ROWS = 128  # rows that are processed at once; fits the processor's cache
SAMPLE_ROW = 1024  # pixels per row of a remap; OpenCV allows at most 32767
MIN_WINDOW = 8  # pixels; a larger window is averaged at a smaller image size
ALPHA_ROUNDING = 0.5 / 255  # an alpha this close to 0 or 1 is stored as 0 or 255
EPSILON = np.float32(1e-5)  # avoids a division by zero


def estimate_foreground(
    image: np.ndarray, alpha: np.ndarray, small: Optional[np.ndarray] = None
) -> np.ndarray:
    """Estimate the foreground colours of an image by blur fusion.

    F and B are the mean colours of foreground and background around a pixel, weighted by alpha and
    1 - alpha. The estimate is F + alpha (I - alpha F - (1 - alpha) B). This is done twice, with a
    large and a small window.

    Args:
        image: uint8 [H,W,3].
        alpha: float32 [H,W], 0..1.
        small: the image at a smaller size of at least COLOUR_SIZE, if it is known.

    Returns:
        uint8 [H,W,3]. It equals the image where alpha is 1.
    """
    weight = shrink(alpha, COLOUR_SIZE)
    # Not ``shrink``: the sides of a small image are already rounded.
    source = image if small is None else small
    small = cv2.resize(source, weight.shape[::-1], interpolation=cv2.INTER_AREA)
    colours = cv2.split(small.astype(np.float32))
    far, near = (max(3, round(window * max(weight.shape))) for window in WINDOWS)
    foreground = _weighted_mean(colours, weight, far)
    background = _weighted_mean(colours, 1 - weight, far)
    # Where alpha is 1, the fused colour is the image. Where alpha is 0, it has no weight.
    index = np.flatnonzero(cv2.inRange(weight, float(EPSILON), 1 - float(EPSILON)))
    for plane, *means in zip(colours, foreground, background):
        front, behind = (cv2.resize(mean, weight.shape[::-1]).take(index) for mean in means)
        plane.put(index, _fuse(plane.take(index), front, behind, weight.take(index)))
    # The mean background is smooth, so the small window would not change it.
    foreground = cv2.merge(_weighted_mean(colours, weight, near))
    background = cv2.merge(background)

    shape = image.shape[:2]
    result = cv2.resize(cv2.convertScaleAbs(foreground), shape[::-1])
    cv2.copyTo(image, cv2.inRange(alpha, 1 - ALPHA_ROUNDING, np.inf), result)
    for rows, index in find_soft_pixels(alpha, ALPHA_ROUNDING):
        pixels = result[rows].reshape(-1, 3)  # a view
        front, visible = (
            array.take(index, axis=0).astype(np.float32).ravel()
            for array in (pixels, image[rows].reshape(-1, 3))
        )
        behind = sample_pixels(background, shape, rows, index).ravel()
        weights = np.repeat(alpha[rows].reshape(-1).take(index), 3)
        pixels[index] = np.rint(_fuse(visible, front, behind, weights)).reshape(-1, 3)
    return result


def find_soft_pixels(alpha: np.ndarray, limit: float) -> Iterator[Tuple[slice, np.ndarray]]:
    """Yield (rows, indices) of the pixels farther than ``limit`` from 0 and 1, by STRIP_ROWS rows.

    The indices count the pixels from the start of these rows.
    """
    for top in range(0, len(alpha), STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        strip = alpha[rows]
        index = np.flatnonzero((strip > limit) & (strip < 1 - limit))
        if len(index):
            yield rows, index


def sample_pixels(
    array: np.ndarray, shape: Tuple[int, int], rows: slice, index: np.ndarray
) -> np.ndarray:
    """Enlarge an array to ``shape`` with bilinear interpolation, but compute only some pixels.

    Args:
        array: float32 [h,w,C].
        shape: (height, width) of the enlarged array.
        rows: rows of the enlarged array that contain the pixels to compute.
        index: the pixels, integers [N], counted from the start of these rows.

    Returns:
        float32 [N,C].
    """
    y, x = np.divmod(index, shape[1])
    count = len(index)
    padded_count = -(-count // SAMPLE_ROW) * SAMPLE_ROW
    positions = np.zeros((2, padded_count), np.float32)
    # Pixel centres: row y of the result lies at (y + .5) h / height - .5.
    positions[0, :count] = (x + 0.5) * (array.shape[1] / shape[1]) - 0.5
    positions[1, :count] = (y + (rows.start + 0.5)) * (array.shape[0] / shape[0]) - 0.5
    map_x, map_y = positions.reshape(2, -1, SAMPLE_ROW)
    values = cv2.remap(array, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(padded_count, -1)[:count]


def _fuse(colours, foreground, background, alpha):
    residual = colours - background - alpha * (foreground - background)
    return np.clip(foreground + alpha * residual, 0, 255)


def _weighted_mean(planes, weight, side):
    """Average planes [h,w], one per colour, over square windows with weights [h,w].

    The means for a large window are smaller than the planes.
    """
    height, width = weight.shape
    factor = max(1, side // MIN_WINDOW)
    size = max(1, width // factor), max(1, height // factor)
    window = 2 * (side if factor == 1 else max(3, round(side / factor)),)
    sums = []
    for plane in (*(plane * weight for plane in planes), weight):
        if factor > 1:
            plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        sums.append(cv2.blur(plane, window))
    total = sums.pop() + EPSILON
    return [values / total for values in sums]
