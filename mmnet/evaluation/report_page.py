"""Evaluations as one HTML page that works offline. No TensorFlow."""

import os
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

from mmnet.datasets.pairs import read_pair
from mmnet.evaluation.comparison import bootstrap_interval, compare_evaluations
from mmnet.evaluation.evaluate import Evaluation, Matte
from mmnet.evaluation.metrics import MAIN_METRICS, METRICS
from mmnet.io.errors import format_shape
from mmnet.io.foreground import estimate_foreground
from mmnet.io.pages import image_uri, render_page
from mmnet.io.resize import resize_bilinear, shrink

PAGE_TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report.html")
PANEL_SIZE = 480  # pixels of the longer side of an image
PANEL_QUALITY = 85
HISTOGRAM_BARS = 30
STEP_MARKS = 6  # at most, on the axis of a curve
BACKGROUND_COLOUR = (0, 177, 64)  # green, behind the people


def make_page(
    evaluations: Sequence[Evaluation], matte: Matte, *, image_count: int, about: str = ""
) -> str:
    """Return the HTML of evaluations, with images of the first evaluation of each dataset.

    ``matte`` computes their alphas. The page shows the ``image_count`` worst and best images, and
    the sentence ``about``, which states how the images were scored.
    """
    shown: Dict[str, Evaluation] = {}
    for evaluation in evaluations:
        shown.setdefault(evaluation.dataset.path, evaluation)
    return render_page(
        PAGE_TEMPLATE,
        title=f"Scores of {evaluations[0].source_name}",
        about=about,
        evaluations=evaluations,
        comparisons=compare_evaluations(evaluations),
        curves=_curves(evaluations),
        groups=[_image_group(evaluation, matte, image_count) for evaluation in shown.values()],
        metrics=METRICS,
        format_shape=format_shape,
        bootstrap_interval=bootstrap_interval,
    )


def select_extremes(values: np.ndarray, count: int) -> Tuple[List[int], List[int]]:
    """Return the indices of the ``count`` worst (highest) and best values, without overlap."""
    order = np.argsort(-values, kind="stable").tolist()
    worst, others = order[:count], order[count:]
    return worst, others[::-1][:count]


def _curves(evaluations):
    """Return a chart per main metric over the steps of a run, if several steps were scored."""
    runs = {}
    for evaluation in evaluations:
        if evaluation.global_step is not None:
            run = runs.setdefault(evaluation.dataset_name, {})
            run[evaluation.global_step] = evaluation.scores
    runs = {name: run for name, run in runs.items() if len(run) > 1}
    return [_curve(metric, runs) for metric in MAIN_METRICS] if runs else []


def _curve(metric, runs):
    """Return the chart of a metric: positions in pixels, with their values."""
    means = {
        name: {step: float(run[step][metric, "target"].mean()) for step in sorted(run)}
        for name, run in runs.items()
    }
    steps = sorted(set().union(*means.values()))
    highest = max(max(line.values()) for line in means.values())
    marked = np.linspace(0, len(steps) - 1, min(STEP_MARKS, len(steps))).round().astype(int)

    def x(step):
        return _position(step, (steps[0], steps[-1]), (70, 615))

    def y(value):
        return _position(value, (0, highest), (210, 20))

    return {
        "title": f"{METRICS[metric].label} over the steps",
        "grid": [(y(value), value) for value in np.linspace(0, highest, 5)],
        "marks": [(x(steps[index]), steps[index]) for index in marked],
        "lines": {
            name: [(x(step), y(value), step, value) for step, value in line.items()]
            for name, line in means.items()
        },
    }


def _position(value, values, pixels):
    """Map an interval of values to pixels, with one decimal."""
    low, high = values
    start, end = pixels
    return round(start + (value - low) / ((high - low) or 1) * (end - start), 1)


def _image_group(evaluation, matte, count):
    """Return the histogram of MAD, and the worst and best images with their panels."""
    values = evaluation.scores["mad", "target"]
    counts, edges = np.histogram(values, HISTOGRAM_BARS, (0, max(values.max(), 1e-6)))
    lefts = [_position(edge, (0, edges[-1]), (30, 615)) for edge in edges]
    heights = [_position(number, (0, counts.max()), (0, 150)) for number in counts]
    worst, best = select_extremes(values, count)
    return {
        "evaluation": evaluation,
        "bars": list(zip(lefts, lefts[1:], heights, counts, edges, edges[1:])),
        "marks": list(zip(lefts, edges))[:: HISTOGRAM_BARS // 5],
        "parts": [
            (title, [_image_panels(evaluation, index, matte) for index in indices])
            for title, indices in (("Worst", worst), ("Best", best))
            if indices
        ],
    }


def _image_panels(evaluation, index, matte):
    """Return an image with its scores and panels."""
    pair, scores = evaluation.dataset.pairs[index], evaluation.scores
    image, mask = read_pair(pair)
    shape = image.shape[:2]
    alpha, truth = (resize_bilinear(array, shape, True) for array in (matte(image), mask))
    heat_map = cv2.applyColorMap(_to_uint8(np.abs(alpha - truth)), cv2.COLORMAP_INFERNO)
    opacity = alpha[..., np.newaxis]
    composition = opacity * estimate_foreground(image, alpha) + (1 - opacity) * BACKGROUND_COLOUR
    panels = {
        "image": image,
        "truth": _to_uint8(truth),
        "alpha": _to_uint8(alpha),
        "error": np.ascontiguousarray(heat_map[..., ::-1]),
        "composition": np.rint(composition).astype(np.uint8),
    }
    for label, panel in panels.items():
        panels[label] = image_uri(shrink(panel, PANEL_SIZE), PANEL_QUALITY)
    shown = [name for name in (*MAIN_METRICS, "flaws") if (name, "target") in scores]
    return {
        "stem": pair.stem,
        "scores": [(METRICS[name].label, scores[name, "target"][index]) for name in shown],
        "panels": panels,
    }


def _to_uint8(alpha):
    return np.rint(255 * alpha).astype(np.uint8)
