"""The temperature verb: what a checkpoint's log odds of alpha are best multiplied by.

A network that was trained with a cross entropy on hard masks and smooth augmentations is not sure
enough: multiplied log odds score better, and cost nothing once they are in the classifier.
"""

import json
import os
from typing import NamedTuple

import numpy as np

from mmnet.data.pairs import find_data_set
from mmnet.device import Device
from mmnet.files import need_writable
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights
from mmnet.photos.refine import sharper
from mmnet.scoring.evaluate import checked_alphas, score_each
from mmnet.scoring.metrics import gauss_grad, mad
from mmnet.scoring.report import aligned
from mmnet.weights.values import sharpened
from mmnet.weights.write import write_weights

CLOSE = 0.01  # share of a MAD that counts for nothing
TEMPERATURES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0)


class Row(NamedTuple):
    temperature: float
    mad: float  # 0..1, mean over the pictures at the network's shape
    gradient_error: float  # likewise


def run(settings):
    if settings.output:
        need_writable("--output", os.path.dirname(os.path.abspath(settings.output)))
    data_set = find_data_set(settings.dataset_path, settings.dataset_split_name)
    weights = load_weights(settings.checkpoint_path, settings.wanted(), settings.reading())
    predictor = open_weights(weights, Device(settings.device))
    rows = scores_by_temperature(predictor, data_set, settings.batch_size)
    best = best_of(rows)
    if settings.output:
        write_weights(settings.output, sharpened(weights, best.temperature))
    if settings.json:
        print(json.dumps({"best": best.temperature, "scores": [row._asdict() for row in rows]}))
    else:
        print(rows_text(rows, best, len(data_set), settings.output))
    return 0


def scores_by_temperature(predictor, data_set, batch_size=8):
    """A Row for each of TEMPERATURES; the network runs once."""

    def predict(samples):
        return checked_alphas(predictor, samples)

    def score(alpha, sample):
        return [
            (mad(sharp, sample.truth), gauss_grad(sharp, sample.truth))
            for sharp in (sharper(alpha, temperature) for temperature in TEMPERATURES)
        ]

    rows = score_each(predict, score, data_set, predictor.network.shape, batch_size)
    means = np.mean(rows, axis=0)
    return [Row(at, *map(float, row)) for at, row in zip(TEMPERATURES, means)]


def best_of(rows):
    """The Row of the lowest temperature whose MAD is within CLOSE of the lowest MAD.

    Hard masks go on asking for more, though there is little left to win, and soft hair to lose.
    """
    lowest = min(row.mad for row in rows)
    return next(row for row in rows if row.mad <= (1 + CLOSE) * lowest)


def rows_text(rows, best_row, pictures, output):
    """The table for a person to read."""
    lines = [("temperature", "MAD (0..1)", "gradient error (0..1)")]
    lines += [
        ("%g" % row.temperature, "%.6f" % row.mad, "%.6f" % row.gradient_error) for row in rows
    ]
    best = (
        "best over %d pictures, the lowest whose MAD is within 1 %% of the best: --temperature %g"
    )
    text = aligned(lines) + "\n" + best % (pictures, best_row.temperature)
    return text + ("\nfolded into %s" % output if output else "")
