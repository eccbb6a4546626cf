"""Write the statistics of datasets as an HTML page with thumbnails. No TensorFlow."""

import os
from typing import Sequence

import cv2
import numpy as np

from mmnet.datasets.pairs import Pair, pick_evenly, read_pair
from mmnet.datatools.statistics import (
    SUSPICIOUS,
    DatasetStatistics,
    SharedPhoto,
    summarize_statistics,
)
from mmnet.io.errors import summarize_names
from mmnet.io.pages import image_uri, render_page

REPORT_TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report.html")
MAX_SAMPLES = 24  # per split
MAX_SUSPICIOUS = 24  # per split and kind of problem
MAX_SHARED_PANELS = 100
PANEL_SIZE = 160  # pixels of the longer side
PANEL_QUALITY = 80
BACKGROUND_TINT = np.array([0, 177, 64], np.float32)  # RGB
TINT_STRENGTH = 0.65


def render_report(statistics: Sequence[DatasetStatistics], shared: Sequence[SharedPhoto]) -> str:
    """Return the page for datasets and for the photos that they share."""
    pairs = {
        f"{split.name}/{pair.stem}": pair for split in statistics for pair in split.dataset.pairs
    }
    shared_panels = []
    for photo in shared[:MAX_SHARED_PANELS]:
        panels = [make_thumbnail(pairs[name]) for name in (photo.first, photo.second)]
        shared_panels.append({"photo": photo, "panels": panels})
    splits = [describe_split(split) for split in statistics]
    hidden = len(shared) - len(shared_panels)
    return render_page(REPORT_TEMPLATE, splits=splits, shared=shared_panels, hidden=hidden)


def describe_split(statistics: DatasetStatistics) -> dict:
    """Return the values of the template for one split."""
    pairs = {pair.stem: pair for pair in statistics.dataset.pairs}
    readable = [pair.stem for pair in statistics.pairs]
    groups = [("Samples", pick_evenly(readable, MAX_SAMPLES) if readable else [])]
    problems = []
    for problem, names in statistics.problems.items():
        if problem in SUSPICIOUS:
            groups.append((summarize_names(problem, names), names[:MAX_SUSPICIOUS]))
        else:
            problems.append(f"{problem}: {', '.join(names)}")
    return {
        "name": statistics.name,
        "summary": summarize_statistics(statistics),
        "groups": [(title, [make_thumbnail(pairs[s]) for s in stems]) for title, stems in groups],
        "problems": problems,
    }


def make_thumbnail(pair: Pair) -> dict:
    """Return the stem and the thumbnail of a pair. The background is tinted."""
    image, alpha = read_pair(pair)
    scale = PANEL_SIZE / max(alpha.shape)
    size = max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
    tinted = (1 - TINT_STRENGTH) * image + TINT_STRENGTH * BACKGROUND_TINT
    thumbnail = np.rint(alpha * image + (1 - alpha) * tinted).astype(np.uint8)
    return {"stem": pair.stem, "uri": image_uri(thumbnail, PANEL_QUALITY)}
