"""The temperature verb: what a checkpoint's log odds of alpha are best multiplied by.

A network that was trained with a cross entropy on hard masks and smooth augmentations is not sure
enough: multiplied log odds score better, and cost nothing once they are in the classifier.
"""

import dataclasses
import json
import os
from typing import NamedTuple, Optional

import numpy as np

from mmnet.commands.flag_types import positive_int
from mmnet.commands.options import (
    CheckpointOptions,
    DatasetOptions,
    DeviceOptions,
    JsonOptions,
    flag,
)
from mmnet.datasets.pairs import find_dataset
from mmnet.evaluation.evaluate import check_alphas, score_pairs
from mmnet.evaluation.metrics import gauss_grad, mad
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights
from mmnet.io.files import check_writable
from mmnet.io.tables import format_table
from mmnet.matting.refine import scale_alpha_logits
from mmnet.tf.device import Device
from mmnet.weights.values import scale_classifier
from mmnet.weights.write import write_weights

CLOSE = 0.01  # share of a MAD that counts for nothing
TEMPERATURES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0)


@dataclasses.dataclass(frozen=True)
class Options(DatasetOptions, CheckpointOptions, DeviceOptions, JsonOptions):
    """Find the temperature of a checkpoint: what its log odds of alpha are best multiplied by.

    The network runs once over a dataset (one to choose by, not one to test on) and is scored at
    every temperature. With --output the best, the lowest whose MAD is within 1 % of the best, is
    folded into a new checkpoint: the classifier's weights are multiplied, and nothing is slower.
    """

    dataset_split_name: str = flag("val", help="SPLIT, the folder below it")
    batch_size: int = flag(8, positive_int, help="pictures in one run of the network")
    output: Optional[str] = flag(
        None, help="prefix of the checkpoint to write, such as run/sharp/MMNetModel-1898000"
    )


class Row(NamedTuple):
    temperature: float
    mad: float  # 0..1, mean over the pictures at the network's shape
    gradient_error: float  # likewise


def run(options):
    if options.output:
        check_writable("--output", os.path.dirname(os.path.abspath(options.output)))
    data_set = find_dataset(options.dataset_path, options.dataset_split_name)
    weights = load_weights(
        options.checkpoint_path, options.network_fields(), options.weight_options()
    )
    predictor = open_weights(weights, Device(options.device))
    rows = scores_by_temperature(predictor, data_set, options.batch_size)
    best = best_of(rows)
    if options.output:
        write_weights(options.output, scale_classifier(weights, best.temperature))
    if options.json:
        print(json.dumps({"best": best.temperature, "scores": [row._asdict() for row in rows]}))
    else:
        print(rows_text(rows, best, len(data_set), options.output))
    return 0


def scores_by_temperature(predictor, data_set, batch_size=8):
    """A Row for each of TEMPERATURES; the network runs once."""

    def predict(samples):
        return check_alphas(predictor, samples)

    def score(alpha, sample):
        return [
            (mad(sharp, sample.truth), gauss_grad(sharp, sample.truth))
            for sharp in (scale_alpha_logits(alpha, temperature) for temperature in TEMPERATURES)
        ]

    rows = score_pairs(predict, score, data_set, predictor.network.shape, batch_size)
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
    text = format_table(lines) + "\n" + best % (pictures, best_row.temperature)
    return text + ("\nfolded into %s" % output if output else "")
