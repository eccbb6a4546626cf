"""`mmnet check-batch-norm`: check that the moving statistics of batch norm fit the weights."""

import dataclasses
import math
from typing import List, Optional

from mmnet.commands.flag_types import positive_int
from mmnet.commands.options import (
    CheckpointOptions,
    DatasetOptions,
    DeviceOptions,
    JsonOptions,
    flag,
)
from mmnet.datasets.pairs import find_dataset
from mmnet.io.tables import format_table
from mmnet.tf.device import Device
from mmnet.training.batch_norm_check import BatchNormReport, LayerStatistics, check_batch_norm

LAYERS_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Options(DatasetOptions, CheckpointOptions, DeviceOptions, JsonOptions):
    """Check that the moving statistics of batch norm fit the weights.

    The command scores one batch twice: with its own statistics, as in training, and with the moving
    statistics, as in inference. If the moving statistics are wrong, only the first score is good.
    The exit code is 1 if there is a problem.
    """

    batch_size: int = flag(8, positive_int, help="images in the batch: the first of the split")


def run(options: Options) -> int:
    dataset = find_dataset(options.dataset_path, options.dataset_split_name)
    weights = options.load_weights(finite=False)
    report = check_batch_norm(weights, dataset, options.batch_size, Device(options.device))
    values = dict(report._asdict(), pictures=report.images)
    del values["images"], values["layers"]
    variances, means = furthest_variances(report), furthest_means(report)
    values["furthest_variances"] = {layer.name: layer.variance_ratio for layer in variances}
    values["furthest_means"] = {layer.name: layer.mean_shift for layer in means}
    named = report._replace(checkpoint=weights.name or report.checkpoint)
    options.print_record(values, format_report(named))
    return 1 if report.problems else 0


def furthest_variances(report: BatchNormReport) -> List[LayerStatistics]:
    """Return the layers whose moving variances deviate most."""
    order = sorted(report.layers, key=lambda layer: -abs(math.log(layer.variance_ratio)))
    return order[:LAYERS_SHOWN]


def furthest_means(report: BatchNormReport) -> List[LayerStatistics]:
    """Return the layers whose moving means deviate most."""
    return sorted(report.layers, key=lambda layer: -layer.mean_shift)[:LAYERS_SHOWN]


def format_report(report: BatchNormReport) -> str:
    """Return a report as text. The last lines name the problems."""
    scores = [
        ("statistics of batch norm", "MAD (0..1)"),
        ("batch (training)", format_score(report.mad_training)),
        ("moving (inference)", format_score(report.mad_inference)),
    ]
    rows = [("largest deviations", "layer", "moving, relative to the batch")]
    for layer in furthest_variances(report):
        rows.append(("variance", layer.name, f"{layer.variance_ratio:.3g} x"))
    for layer in furthest_means(report):
        rows.append(("mean", layer.name, f"{layer.mean_shift:.3g} std away"))
    lines = [f"{report.checkpoint}, {report.images} images", format_table(scores)]
    lines.append(format_table(rows, left_columns=2))
    lines += [f"problem: {problem}" for problem in report.problems]
    if not report.problems:
        lines.append("the moving statistics fit the weights")
    return "\n".join(lines)


def format_score(value: Optional[float]) -> str:
    return "not finite" if value is None else f"{value:.6f}"
