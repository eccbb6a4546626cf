"""Remove smudges, islands and holes from an alpha. No TensorFlow.

The limits were selected on persons/val and training portraits: docs/benchmarks.md, "Cleaning".
"""

import cv2
import numpy as np

from mmnet.matting.refine import scale_alpha_logits

SMUDGE_MARGIN = 0.05  # a smudge is semi-transparent: farther than this from 0 and 1
SMUDGE_WIDTH = 0.02  # minimum, as a fraction of the longer side; soft hair is narrower
SMUDGE_WINDOW = 0.05  # fraction of the longer side over which a smudge is averaged
SMUDGE_LOGIT_SCALE = 16.0  # almost a threshold, but its edges stay smooth
ISLAND_ALPHA = 0.05  # an island is above it, and never above CONFIDENT_ALPHA
CONFIDENT_ALPHA = 0.9
HOLE_ALPHA = 0.95  # a hole is below it, and never below OPEN_ALPHA
OPEN_ALPHA = 0.1
MAX_HOLE_AREA = 0.02  # fraction of the image


def clean_alpha(alpha: np.ndarray, *, is_calibrated: bool = True) -> np.ndarray:
    """Return an alpha, float32 [h,w], 0..1, without smudges, islands and holes.

    ``is_calibrated``: a network that found a person has alphas above CONFIDENT_ALPHA. If not, the
    limit follows the largest alpha of an uncertain network.

    - A smudge is a wide semi-transparent area. It becomes 0 or 1.
    - An island is a region without a pixel of which the network is confident. It becomes 0.
    - A hole is a small region inside a person that is nowhere nearly 0. It becomes 1. Openings, for
      example between arm and body, stay open.
    """
    confident, largest = CONFIDENT_ALPHA, alpha.max()
    if not is_calibrated and largest <= CONFIDENT_ALPHA:
        confident *= max(0.5, largest)
    cleaned = sharpen_smudges(alpha)
    count, labels = cv2.connectedComponents((cleaned > ISLAND_ALPHA).view(np.uint8))
    is_island = np.arange(count) > 0  # region 0 is the background
    is_island[labels[alpha > confident]] = False
    if is_island.any():
        cleaned[is_island[labels]] = 0
    mask = (cleaned < HOLE_ALPHA).view(np.uint8)
    _, labels, regions, _ = cv2.connectedComponentsWithStats(mask)
    is_hole = regions[:, cv2.CC_STAT_AREA] < MAX_HOLE_AREA * alpha.size
    is_hole[0] = False  # region 0 is the person
    is_hole[labels[alpha < OPEN_ALPHA]] = False
    if is_hole.any():
        cleaned[is_hole[labels]] = 1
    return cleaned


def sharpen_smudges(alpha: np.ndarray) -> np.ndarray:
    """Return a copy of an alpha in which wide semi-transparent areas are nearly 0 or 1."""
    width, window = (
        2 * round(fraction / 2 * max(alpha.shape)) + 1 for fraction in (SMUDGE_WIDTH, SMUDGE_WINDOW)
    )
    soft = cv2.inRange(alpha, SMUDGE_MARGIN, 1 - SMUDGE_MARGIN) // 255
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    centres = cv2.erode(soft, disc)
    if not centres.any():
        return alpha.copy()
    wide = cv2.dilate(centres, disc)
    weight = cv2.blur(wide.astype(np.float32), (3, 3))
    near, cleaned = weight > 0, alpha.copy()
    # The mean decides, so the result has few and simple regions.
    target = scale_alpha_logits(cv2.blur(alpha, (window, window))[near], SMUDGE_LOGIT_SCALE)
    cleaned[near] += weight[near] * (target - alpha[near])
    return cleaned
