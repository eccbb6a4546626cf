"""Resize images and masks. No TensorFlow.

The published scores depend on the two sampling grids of ``resize_bilinear``.
"""

from fractions import Fraction
from typing import Tuple

import cv2
import numpy as np

# A narrower image is cropped before it is resized, because it would need gigabytes.
MAX_COVER_AREA = 16  # area of the resized image / area that remains after the crop


def resize_bilinear(array: np.ndarray, shape: Tuple[int, int], align_corners: bool) -> np.ndarray:
    """Resize exactly as ``tf.image.resize_bilinear`` of TensorFlow 1. cv2.resize has neither grid.

    Args:
        array: [H,W] or [H,W,C].
        shape: (height, width) of the result.
        align_corners: True: the corner pixels of input and output coincide. False: an output pixel
            lies at ``index * input size / output size``, without half-pixel centres.

    Returns:
        float32 [height,width] or [height,width,C].
    """
    if align_corners and array.shape[:2] == tuple(shape):
        return array.astype(np.float32)
    for axis in (0, 1):
        low, high, weight = _sample_positions(array.shape[axis], shape[axis], align_corners)
        weight = weight.reshape([-1] + [1] * (array.ndim - 1 - axis))
        low_values = array.take(low, axis).astype(np.float32, copy=False)
        array = array.take(high, axis) - low_values
        array *= weight
        array += low_values
    return array


def shrink(image: np.ndarray, longer_side: int) -> np.ndarray:
    """Resize an image so that its longer side has at most ``longer_side`` pixels.

    Pixels are averaged, which avoids aliasing. A small image is returned unchanged.
    """
    height, width = image.shape[:2]
    scale = longer_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def resize_to_cover(image: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """Resize an image until it covers ``shape`` (height, width), and crop it at the centre."""
    height, width = shape
    scale = max(height / image.shape[0], width / image.shape[1])
    rows = max(height, round(image.shape[0] * scale))
    columns = max(width, round(image.shape[1] * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    if rows * columns > MAX_COVER_AREA * height * width:
        cropped_height, cropped_width = (max(1, round(side / scale)) for side in shape)
        top, left = (image.shape[0] - cropped_height) // 2, (image.shape[1] - cropped_width) // 2
        image = image[top : top + cropped_height, left : left + cropped_width]
        return cv2.resize(image, (width, height), interpolation=interpolation)
    image = cv2.resize(image, (columns, rows), interpolation=interpolation)
    top, left = (rows - height) // 2, (columns - width) // 2
    return image[top : top + height, left : left + width]


def to_square_pixels(image: np.ndarray, pixel_aspect: Fraction) -> np.ndarray:
    """Enlarge one side of an image whose pixels are ``pixel_aspect`` times as wide as high."""
    height, width = image.shape[:2]
    if pixel_aspect > 1:
        width = round(width * pixel_aspect)
    else:
        height = round(height / pixel_aspect)
    if (height, width) == image.shape[:2]:
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def _sample_positions(input_size, output_size, align_corners):
    """Return (lower input index, upper input index, weight of the upper) per output index."""
    if align_corners and output_size > 1:
        scale = (input_size - 1) / (output_size - 1)
    else:
        scale = input_size / output_size
    # TensorFlow's kernel rounds the position to float32.
    position = np.arange(output_size, dtype=np.float32) * np.float32(scale)
    low = np.minimum(position.astype(np.int64), input_size - 1)
    return low, np.minimum(low + 1, input_size - 1), position - low.astype(np.float32)
