"""The colours of a person without those of the background that shine through at a soft edge."""

import cv2
import numpy as np

from mmnet.io.resize import shrink

# Sides of the windows whose colours are averaged, in the picture's longer side: first the colours
# from afar, then those from near by.
WINDOWS = (0.11, 0.0075)
LONGEST = 800  # pixels of the longer side at which colours are averaged: averages are smooth
STRIP = 256  # rows at a time, which bounds the memory of a large photo
ROW = 1024  # pixels that are sampled in one go
COARSE = 8  # pixels of the smallest window, at which large ones are averaged
LEAST = 0.5 / 255  # an alpha nearer to 0 or 1 than this is 0 or 1 once it is written


def estimate_foreground(image, alpha):
    """Estimate the foreground's colours of an image by blur fusion.

    Forte and Pitie, "Approximate Fast Foreground Colour Estimation", ICIP 2021, algorithm 1, twice:
    the mean colours F of the foreground and B of the background around a pixel, weighted by alpha
    and 1 - alpha, then F + alpha (I - alpha F - (1 - alpha) B).

    Args:
        image: uint8 [H,W,3]. alpha: float32 [H,W] 0..1.

    Returns:
        uint8 [H,W,3]; where alpha is 1 the image's own colours, where it is 0 none of them.
    """
    foreground, background = mean_colours(image, alpha)
    height, width = image.shape[:2]
    result = cv2.resize(np.rint(foreground).astype(np.uint8), (width, height))
    opaque = alpha >= 1 - LEAST
    cv2.copyTo(image, opaque.view(np.uint8), result)
    soft = (alpha > LEAST) & ~opaque
    for top in range(0, height, STRIP):
        rows = np.s_[top : top + STRIP]
        y, x = np.nonzero(soft[rows])
        at = (y + top, x)
        near, far = (sampled(means, image.shape[:2], at) for means in (foreground, background))
        fused = _fused(image[at].astype(np.float32), alpha[at][:, None], near, far)
        result[at] = np.rint(fused)
    return result


def mean_colours(image, alpha):
    """The mean colours of foreground and background around each pixel.

    Returns:
        (foreground, background), float32 [h,w,3] 0..255, the longer side at most LONGEST.
    """
    seen = shrink(image, LONGEST).astype(np.float32)
    weight = cv2.merge(3 * [shrink(alpha, LONGEST)])  # numpy is slow where it repeats a last axis
    foreground = background = seen
    for window in WINDOWS:
        side = max(3, round(window * max(weight.shape)))
        means = _mean(foreground, weight, side)
        background = _mean(background, 1 - weight, side)
        foreground = _fused(seen, weight, means, background)
    return means, background


def sampled(picture, shape, at):
    """A picture [h,w,C] enlarged to ``shape`` (height, width), at some of its pixels only.

    Args:
        at: (rows, columns), integers [N].

    Returns:
        [N,C].
    """
    rows, columns = at
    filled = -(-max(1, len(rows)) // ROW) * ROW  # OpenCV's pictures are no longer than 32767
    where = np.zeros((2, filled), np.float32)
    # Pixel centres: row y of the result lies at (y + .5) h / height - .5.
    where[0, : len(rows)] = (columns + 0.5) * (picture.shape[1] / shape[1]) - 0.5
    where[1, : len(rows)] = (rows + 0.5) * (picture.shape[0] / shape[0]) - 0.5
    x, y = where.reshape(2, -1, ROW)
    values = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(filled, -1)[: len(rows)]


def _fused(seen, weight, foreground, background):
    rest = seen - background - weight * (foreground - background)
    return np.clip(foreground + weight * rest, 0, 255)


def _mean(colours, weight, side):
    """Colours [H,W,3] averaged over windows, each weighted [H,W,3].

    What is averaged over a large window is averaged at a smaller size.
    """
    height, width = weight.shape[:2]
    factor = max(1, side // COARSE)
    weighted = colours * weight
    if factor > 1:
        size = max(1, width // factor), max(1, height // factor)
        weighted, weight = (
            cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (weighted, weight)
        )
        side = max(3, round(side / factor))
    window = (side, side)
    mean = cv2.blur(weighted, window) / (cv2.blur(weight, window) + np.float32(1e-5))
    return mean if factor == 1 else cv2.resize(mean, (width, height))
