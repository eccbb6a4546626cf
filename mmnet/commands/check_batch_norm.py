"""`mmnet check-batch-norm`: check that the moving statistics of batch norm fit the weights."""

import dataclasses
import json
import math
from typing import Any, Dict, Optional

from mmnet.commands.flag_types import positive_int
from mmnet.commands.options import (
    CheckpointOptions,
    DatasetOptions,
    DeviceOptions,
    JsonOptions,
    flag,
)
from mmnet.datasets.pairs import find_dataset
from mmnet.inference.open import load_weights
from mmnet.io.tables import format_table
from mmnet.tf.device import Device
from mmnet.training.batch_norm_check import BatchNormReport, check_batch_norm, largest_deviations

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
    weights = load_weights(
        options.checkpoint_path, options.network_fields(), options.weight_options(), finite=False
    )
    pairs = dataset.pairs[: options.batch_size]
    report = check_batch_norm(weights, pairs, Device(options.device))
    print(json.dumps(to_json(report)) if options.json else format_batch_norm_report(report))
    return 1 if report.problems else 0


def to_json(report: BatchNormReport) -> Dict[str, Any]:
    """Return a report as JSON values. Numbers that are not finite become null."""
    values = report._asdict()
    del values["layers"]
    values["pictures"] = values.pop("images")
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[name] = None
    variances, means = largest_deviations(report, LAYERS_SHOWN)
    values["furthest_variances"] = {layer.name: layer.variance_ratio for layer in variances}
    values["furthest_means"] = {layer.name: layer.mean_shift for layer in means}
    return values


def format_batch_norm_report(report: BatchNormReport) -> str:
    """Return a report as text. The last lines name the problems."""
    scores = [
        ("statistics of batch norm", "MAD (0..1)"),
        ("batch (training)", format_score(report.mad_training)),
        ("moving (inference)", format_score(report.mad_inference)),
    ]
    lines = [
        f"{report.checkpoint}, {report.images} images",
        format_table(scores),
        f"difference of the alphas (0..1): largest {format_score(report.largest_difference)}, "
        f"mean {format_score(report.mean_difference)}",
        f"{report.variances} moving variances from {report.smallest_variance:.3g} to "
        f"{report.largest_variance:.3g}, {report.not_positive} not positive; {report.not_finite} "
        "moving statistics not finite",
    ]
    if report.layers:
        variances, means = largest_deviations(report, LAYERS_SHOWN)
        rows = [("statistic", "layer", "moving, relative to the batch")]
        rows += [("variance", layer.name, f"{layer.variance_ratio:.3g} x") for layer in variances]
        rows += [("mean", layer.name, f"{layer.mean_shift:.3g} std away") for layer in means]
        lines += ["largest deviations:", format_table(rows, left_columns=2)]
    lines += [f"problem: {problem}" for problem in report.problems]
    if not report.problems:
        lines.append("the moving statistics fit the weights")
    return "\n".join(lines)


def format_score(value: Optional[float]) -> str:
    return "not finite" if value is None else f"{value:.6f}"
