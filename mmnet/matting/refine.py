"""Refine the edges of an alpha with the colours of the photo. No TensorFlow.

A guided filter with a colour guide (He, Sun and Tang, "Guided Image Filtering", ECCV 2010) fits
the alpha to the photo where alpha is neither 0 nor 1. Its coefficients are computed at the working
size and enlarged (He and Sun, "Fast Guided Filter", 2015). docs/benchmarks.md, "Edges".
"""

import cv2
import numpy as np

from mmnet.io.foreground import STRIP_ROWS, sample_pixels

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
        small: uint8 [h,w,3], the photo at the size of the alpha.
        image: uint8 [H,W,3], the photo at its own size.
        refine: fit the edges.
    """
    if refine:
        alpha = scale_alpha_logits(alpha, EDGE_LOGIT_SCALE)
    shape = image.shape[:2]
    result = alpha.copy() if alpha.shape == shape else cv2.resize(alpha, shape[::-1])
    if not refine:
        return result
    coefficients = fit_colours(alpha, small)
    soft = (result > SOFT_LIMIT) & (result < 1 - SOFT_LIMIT)
    for top in range(0, len(image), STRIP_ROWS):
        rows, columns = np.nonzero(soft[top : top + STRIP_ROWS])
        pixels = rows + top, columns
        before, colours = result[pixels], image[pixels].astype(np.float32) / 255
        slope, offset = np.split(sample_pixels(coefficients, shape, pixels), [3], axis=1)
        fitted = (slope * colours).sum(axis=1) + offset[:, 0]
        fitted = scale_alpha_logits(fitted, EDGE_LOGIT_SCALE)
        # The fit is meaningful only if the fitted or the given alpha is soft.
        weight = 4 * np.minimum(0.25, fitted * (1 - fitted) + before * (1 - before))
        result[pixels] = before + weight * (fitted - before)
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
    near, alpha = near[box].view(bool), alpha[box]
    channels = [np.float32(c) / 255 for c in cv2.split(np.ascontiguousarray(image[box]))]
    means = [cv2.blur(channel, window)[near] for channel in channels]
    mean_alpha = cv2.blur(alpha, window)[near]
    alpha_covariance = np.empty((len(mean_alpha), 3), np.float32)
    covariance = np.empty((len(mean_alpha), 3, 3), np.float32)
    for i in range(3):
        mean_product = cv2.blur(channels[i] * alpha, window)[near]
        alpha_covariance[:, i] = mean_product - means[i] * mean_alpha
        for j in range(i, 3):
            mean_product = cv2.blur(channels[i] * channels[j], window)[near]
            covariance[:, i, j] = covariance[:, j, i] = mean_product - means[i] * means[j]
    covariance += SMOOTHNESS * np.eye(3, dtype=np.float32)
    slope = np.linalg.solve(covariance, alpha_covariance[..., None])[..., 0]
    offset = mean_alpha - (slope * np.column_stack(means)).sum(axis=1)
    result[box][near] = np.column_stack([slope, offset])
    return cv2.blur(result, window)


def scale_alpha_logits(alpha: np.ndarray, logit_scale: float) -> np.ndarray:
    """Return the alpha whose logits (log odds) are multiplied by ``logit_scale``."""
    alpha = np.clip(alpha, 0, 1)  # resizing may round to values outside
    foreground, background = alpha**logit_scale, (1 - alpha) ** logit_scale
    return foreground / (foreground + background)
