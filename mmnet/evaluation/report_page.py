"""An evaluation as one page of HTML that needs no network. No TensorFlow."""

import os
from typing import NamedTuple

import cv2
import numpy as np

from mmnet.evaluation.report import NAMES, bootstrap_interval, compared, source_name
from mmnet.io.errors import format_shape
from mmnet.io.pages import picture_uri, render
from mmnet.io.resize import shrink

LONGEST = 480  # pixels of a panel's longer side
QUALITY = 85  # of its JPEG
BARS = 30  # of a histogram
COLOURS = ("var(--mark)", "var(--other)", "var(--good)", "var(--bad)")
TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report.html")

# Seo et al., arXiv 1904.03816, table 3: gradient error x 1000, MAD x 100.
PAPER = (
    ("MMNet 1.0", 2.93, 2.48),
    ("MMNet 0.75", 2.99, 2.65),
    ("MMNet 0.5", 3.17, 2.83),
    ("MMNet 1.4 at 128x128", 3.38, 2.72),
    ("MMNet 1.0 at 128x128", 3.44, 2.97),
    ("MMNet 1.0, 8 bit", 2.88, 2.47),
    ("Mobile DeepLabv3, output stride 16, 0.75", 3.25, 2.31),
    ("Mobile DeepLabv3, output stride 16, 0.5", 3.36, 2.53),
    ("Mobile DeepLabv3, output stride 16, 1.0 at 128x128", 3.68, 2.88),
)
ABOUT_PAPER = (
    "The paper's own, on the 300 test portraits of DAPM at 800x600 (Seo et al., arXiv 1904.03816, "
    "table 3). They were measured on other pictures than those above."
)


class Picture(NamedTuple):
    """A picture to look at."""

    stem: str
    image: np.ndarray  # uint8 [H,W,3]
    truth: np.ndarray  # float32 [H,W] 0..1
    alpha: np.ndarray  # float32 [H,W] 0..1
    composition: np.ndarray  # uint8 [H,W,3]


def page_of(scored, pictures, title, about=""):
    """The page.

    Args:
        scored: list of Scored, those of the weights to look at first. pictures: dataset -> (worst
            Pictures, best Pictures). about: a sentence on how it was scored.
    """
    keys = list(scored[0].result.scores)
    shapes = scored[0].result.shapes
    firsts = {}  # the first result of each dataset is the one whose pictures are shown
    for one in scored:
        firsts.setdefault(one.data_set, one.result)
    return render(
        TEMPLATE,
        title=title,
        about=about,
        shape=format_shape(shapes["target"]),
        heads=["%s at %s" % (NAMES[name][1], format_shape(shapes[at])) for name, at in keys],
        rows=[_row(one, keys) for one in scored],
        comparisons=[_compared(one) for one in compared(scored)],
        curves=list(_curves(scored)),
        groups=[_group(name, result, pictures[name]) for name, result in firsts.items()],
        published={
            "about": ABOUT_PAPER,
            "rows": [
                {"name": name, "mad": "%.4f" % (mad / 100), "gradient": "%.5f" % (gradient / 1000)}
                for name, gradient, mad in PAPER
            ],
        },
    )


def extremes(result, count):
    """(indices of the worst pictures by MAD at the target shape, indices of the best)."""
    order = np.argsort(-result.scores["mad", "target"], kind="stable")
    best = order[::-1][: min(count, max(0, len(order) - count))]
    return order[:count].tolist(), best.tolist()


def _row(one, keys):
    cells = []
    for key in keys:
        scores = one.result.scores[key]
        interval = "%.5f .. %.5f" % bootstrap_interval(scores)
        cells.append({"mean": "%.5f" % np.mean(scores), "interval": interval})
    return {
        "data_set": one.data_set,
        "source": source_name(one.result),
        "pictures": len(one.result.stems),
        "cells": cells,
    }


def _compared(one):
    words = {"better": "better", "worse": "worse", "": "within the noise"}[one.verdict]
    return {
        "data_set": one.data_set,
        "source": source_name(one.result),
        "against": source_name(one.against),
        "score": NAMES[one.metric][1],
        "difference": "%+.5f" % one.difference,
        "interval": "%+.5f .. %+.5f" % one.interval,
        "verdict": one.verdict,
        "words": words,
    }


def _curves(scored):
    """Scores over the steps of a run, a chart a score, where checkpoints of several were scored."""
    lines = {}
    for one in scored:
        if one.result.global_step is not None:
            lines.setdefault(one.data_set, {})[one.result.global_step] = one.result
    lines = {name: results for name, results in lines.items() if len(results) > 1}
    for metric in ("mad", "gauss_grad") if lines else ():
        points = {
            name: [
                (step, float(np.mean(result.scores[metric, "target"])))
                for step, result in sorted(results.items())
            ]
            for name, results in lines.items()
        }
        steps = [step for line in points.values() for step, _ in line]
        x = _scale(min(steps), max(steps), 70, 615)
        high = max(value for line in points.values() for _, value in line)
        y = _scale(0, high or 1, 210, 20)
        yield {
            "title": "%s over the steps" % NAMES[metric][1],
            "grid": [{"at": y(high * k / 4), "text": "%.4f" % (high * k / 4)} for k in range(5)],
            "marks": [{"at": x(step), "text": "%d" % step} for step in _some(sorted(set(steps)))],
            "lines": [
                {
                    "name": name,
                    "colour": COLOURS[number % len(COLOURS)],
                    "points": " ".join("%.1f,%.1f" % (x(step), y(value)) for step, value in line),
                    "dots": [
                        {"x": x(step), "y": y(value), "title": "step %d: %.5f" % (step, value)}
                        for step, value in line
                    ],
                }
                for number, (name, line) in enumerate(points.items())
            ],
        }


def _some(steps, most=6):
    """At most ``most`` of some steps, the first and the last among them."""
    return [steps[round(k * (len(steps) - 1) / (most - 1))] for k in range(most)][: len(steps)]


def _scale(low, high, start, end):
    """A function from low .. high to start .. end, to a tenth of a pixel."""
    span = (high - low) or 1
    return lambda value: round(start + (value - low) / span * (end - start), 1)


def _group(name, result, pictures):
    scores = result.scores["mad", "target"]
    counts, edges = np.histogram(scores, BARS, (0, max(scores.max(), 1e-6)))
    x, y = _scale(0, edges[-1], 30, 615), _scale(0, counts.max(), 160, 10)
    bars = []
    for count, low, high in zip(counts, edges, edges[1:]):
        about = "%d pictures: %.4f .. %.4f" % (count, low, high)
        bar = {"x": x(low) + 0.5, "width": round(x(high) - x(low) - 1, 1), "title": about}
        bars.append(dict(bar, y=y(count), height=round(160 - y(count), 1)))
    parts = []
    for title, chosen in zip(("Worst", "Best"), pictures):
        if chosen:
            parts.append({"title": title, "pictures": [_shown(one, result) for one in chosen]})
    return {
        "title": "%s: %s" % (name, source_name(result)),
        "bars": bars,
        "marks": [{"at": x(edge), "text": "%.3f" % edge} for edge in edges[:: BARS // 5]],
        "parts": parts,
    }


def _shown(picture, result):
    where = result.stems.index(picture.stem)
    scores = [
        "%s %.4f" % (NAMES[metric][1], result.scores[metric, "target"][where])
        for metric in ("mad", "gauss_grad")
    ]
    error = np.abs(picture.alpha - picture.truth)
    heat = cv2.applyColorMap(_bytes(error), cv2.COLORMAP_INFERNO)[..., ::-1]
    panels = (
        ("image", picture.image),
        ("truth", _bytes(picture.truth)),
        ("alpha", _bytes(picture.alpha)),
        ("error", heat),
        ("composition", picture.composition),
    )
    return {
        "stem": picture.stem,
        "caption": "%s: %s" % (picture.stem, ", ".join(scores)),
        "panels": [{"label": label, "data": _uri(panel)} for label, panel in panels],
    }


def _bytes(alpha):
    return np.rint(255 * alpha).astype(np.uint8)


def _uri(picture):
    return picture_uri(shrink(np.ascontiguousarray(picture), LONGEST), QUALITY)
