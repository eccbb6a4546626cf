"""Refine the edges of an alpha with the colours of the photo. No TensorFlow.

A guided filter with a colour guide (He, Sun and Tang, "Guided Image Filtering", ECCV 2010) fits
the alpha to the photo where alpha is neither 0 nor 1. Its coefficients are computed at FIT_SIZE
and enlarged (He and Sun, "Fast Guided Filter", 2015). docs/benchmarks.md, "Edges".
"""

from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

from mmnet.io.foreground import find_soft_pixels, sample_pixels
from mmnet.io.resize import shrink

FIT_SIZE = 400  # pixels of the longer side at which alpha is fitted to the colours
RADIUS = 0.0075  # radius of the filter window, as a fraction of the longer side
SMOOTHNESS = 1e-3  # epsilon of the guided filter, for colours 0..1
EDGE_LOGIT_SCALE = 1.5  # sharpens before and after the filter: resizing has blurred the alpha
SOFT_LIMIT = 1 / 255  # an alpha closer to 0 or 1 is not changed


def enlarge_alpha(
    alpha: np.ndarray, small: np.ndarray, image: np.ndarray, *, refine: bool = True
) -> np.ndarray:
    """Enlarge an alpha to the size of the photo, and fit its edges to the photo.

    Args:
        alpha: float32 [h,w], 0..1.
        small: uint8 [h,w,3], the photo at the size of the alpha, or with FIT_SIZE pixels.
        image: uint8 [H,W,3], the photo at its own size.
        refine: fit the edges.
    """
    if refine:
        alpha = scale_alpha_logits(alpha, EDGE_LOGIT_SCALE)
    shape = image.shape[:2]
    result = alpha.copy() if alpha.shape == shape else cv2.resize(alpha, shape[::-1])
    if not refine:
        return result
    coefficients = fit_colours(shrink(alpha, FIT_SIZE), shrink(small, FIT_SIZE))
    for rows, index in find_soft_pixels(result, SOFT_LIMIT):
        strip = result[rows].reshape(-1)  # a view
        before = strip[index]
        colours = image[rows].reshape(-1, 3).take(index, axis=0).astype(np.float32) / 255
        fit = sample_pixels(coefficients, shape, rows, index)
        fitted = np.einsum("nc,nc->n", fit[:, :3], colours) + fit[:, 3]
        fitted = scale_alpha_logits(fitted, EDGE_LOGIT_SCALE)
        # The fit is meaningful only if the fitted or the given alpha is soft.
        weight = 4 * np.minimum(0.25, fitted * (1 - fitted) + before * (1 - before))
        strip[index] = before + weight * (fitted - before)
    return result


def fit_colours(alpha: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Fit alpha, float32 [h,w], to the colours of a uint8 image near each soft pixel.

    Returns:
        float32 [h,w,4]: coefficients of red, green and blue (0..1), and the offset, averaged over
        the window. They are 0 far from soft pixels.
    """
    radius = max(1, round(RADIUS * max(alpha.shape)))
    window = (2 * radius + 1, 2 * radius + 1)
    soft = (alpha > SOFT_LIMIT) & (alpha < 1 - SOFT_LIMIT)
    near = cv2.dilate(soft.view(np.uint8), np.ones(window, np.uint8))
    result = np.zeros(alpha.shape + (4,), np.float32)
    left, top, width, height = cv2.boundingRect(near)
    if width == 0:
        return result
    box = (
        slice(max(0, top - radius), top + height + radius),
        slice(max(0, left - radius), left + width + radius),
    )
    near, alpha = np.flatnonzero(near[box]), alpha[box]

    def average(plane):
        """Return the means of the windows around the pixels near the soft band."""
        return cv2.blur(plane, window).take(near)

    channels = [np.float32(c) / 255 for c in cv2.split(np.ascontiguousarray(image[box]))]
    means, mean_alpha = [average(channel) for channel in channels], average(alpha)
    alpha_covariances = [
        average(channel * alpha) - mean * mean_alpha for channel, mean in zip(channels, means)
    ]
    covariances = {}
    for i in range(3):
        for j in range(i, 3):
            covariances[i, j] = average(channels[i] * channels[j]) - means[i] * means[j]
        covariances[i, i] += SMOOTHNESS
    slopes = solve_symmetric(covariances, alpha_covariances)
    offset = mean_alpha - sum(slope * mean for slope, mean in zip(slopes, means))
    coefficients = np.zeros(alpha.shape + (4,), np.float32)
    coefficients.reshape(-1, 4)[near] = np.array([*slopes, offset]).T
    result[box] = cv2.blur(coefficients, window)
    return result


def solve_symmetric(
    matrices: Dict[Tuple[int, int], np.ndarray], vectors: Sequence[np.ndarray]
) -> List[np.ndarray]:
    """Solve N systems of three equations. The matrices are symmetric: (row, column) -> [N]."""
    a, b, c, d, e, f = (matrices[key] for key in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    first = d * f - e * e, c * e - b * f, b * e - c * d  # rows of the adjugate
    second = first[1], a * f - c * c, b * c - a * e
    third = first[2], second[2], a * d - b * b
    scale = 1 / (a * first[0] + b * first[1] + c * first[2])
    x, y, z = (vector * scale for vector in vectors)
    return [row[0] * x + row[1] * y + row[2] * z for row in (first, second, third)]


def scale_alpha_logits(alpha: np.ndarray, logit_scale: float) -> np.ndarray:
    """Return the alpha whose logits (log odds) are multiplied by ``logit_scale``."""
    alpha = np.clip(alpha, 0, 1)  # resizing may round to values outside
    foreground, background = alpha**logit_scale, (1 - alpha) ** logit_scale
    return foreground / (foreground + background)
