"""An alpha brought to the photo's own edges. No TensorFlow.

Only where alpha is neither 0 nor 1, it is fitted to the photo's colours by a guided filter (He, Sun
and Tang, "Guided Image Filtering", ECCV 2010; colour guide), whose coefficients are enlarged to
large photos (He and Sun, "Fast Guided Filter", 2015). A filter over the whole alpha made it worse.
On 60 portraits of EG1800's training set at 800x600, and on 24 made-up ones: MAD -6 and -14 %,
gradient error -13 and -28 %.
"""

import cv2
import numpy as np

from mmnet.io.foreground import STRIP_ROWS, sample_pixels

RADIUS = 0.0075  # of the window, in the longer side
SMOOTHNESS = 1e-3  # He's epsilon, for colours in 0..1
SHARPER = 1.5  # what log odds are multiplied by, before and after: resizing has blurred them
LEAST = 1 / 255  # an alpha nearer to 0 or 1 than this stays


def refined(alpha, small, image):
    """An alpha at the photo's size, with the photo's edges.

    Args:
        alpha: float32 [h,w] 0..1. small: uint8 [h,w,3], the photo as it was looked at.
        image: uint8 [H,W,3], the photo itself: ``small``, or larger.

    Returns:
        float32 [H,W] 0..1.
    """
    alpha = scale_alpha_logits(alpha)
    linear = coefficients(alpha, small)
    shape = image.shape[:2]
    result = alpha.copy() if alpha.shape == shape else cv2.resize(alpha, shape[::-1])
    soft = is_soft(result)
    for top in range(0, len(image), STRIP_ROWS):
        y, x = np.nonzero(soft[top : top + STRIP_ROWS])
        at = (y + top, x)
        before, seen = result[at], image[at].astype(np.float32) / 255
        slope, offset = np.split(sample_pixels(linear, shape, at), [3], axis=1)
        fitted = scale_alpha_logits((slope * seen).sum(axis=1) + offset[:, 0])
        # The fit counts where either is soft: far from an edge it says nothing.
        weight = 4 * np.minimum(0.25, fitted * (1 - fitted) + before * (1 - before))
        result[at] = before + weight * (fitted - before)
    return result


def coefficients(alpha, image):
    """float32 [h,w,4]: alpha is about red, green and blue (0..1) times the first three, plus the
    last; 0 far from where alpha is soft.
    """
    radius = max(1, round(RADIUS * max(alpha.shape)))
    window = (2 * radius + 1, 2 * radius + 1)
    near = cv2.dilate(is_soft(alpha).view(np.uint8), np.ones(window, np.uint8)).view(bool)
    result = np.zeros(alpha.shape + (4,), np.float32)
    rows, columns = np.nonzero(near.any(axis=1))[0], np.nonzero(near.any(axis=0))[0]
    if not len(rows):
        return result
    box = tuple(
        slice(max(0, found[0] - radius), found[-1] + radius + 1) for found in (rows, columns)
    )
    near, alpha = near[box], alpha[box]
    planes = [np.float32(plane) / 255 for plane in cv2.split(np.ascontiguousarray(image[box]))]

    def mean(picture):
        return cv2.blur(picture, window)[near]

    means, mean_alpha = [mean(plane) for plane in planes], mean(alpha)
    covariance = np.empty((len(mean_alpha), 3), np.float32)
    matrix = np.empty((len(mean_alpha), 3, 3), np.float32)
    for row in range(3):
        covariance[:, row] = mean(planes[row] * alpha) - means[row] * mean_alpha
        for column in range(row, 3):
            entry = mean(planes[row] * planes[column]) - means[row] * means[column]
            matrix[:, row, column] = matrix[:, column, row] = entry
    matrix += SMOOTHNESS * np.eye(3, dtype=np.float32)
    slope = np.linalg.solve(matrix, covariance[..., None])[..., 0]
    offset = mean_alpha - (slope * np.column_stack(means)).sum(axis=1)
    result[box][near] = np.column_stack([slope, offset])
    return cv2.blur(result, window)


def is_soft(alpha):
    """bool [H,W]: where alpha is neither 0 nor 1."""
    return (alpha > LEAST) & (alpha < 1 - LEAST)


def scale_alpha_logits(alpha, factor=SHARPER):
    """An alpha whose log odds are multiplied by a factor."""
    alpha = np.clip(alpha, 0, 1)  # resizing may have rounded beyond
    person, rest = alpha**factor, (1 - alpha) ** factor
    return person / (person + rest)
