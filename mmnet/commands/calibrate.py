"""`mmnet calibrate`: select the logit scale of a checkpoint on a validation set."""

import dataclasses
import json
import os
from typing import Optional

from mmnet.commands.flag_types import positive_int, split_name
from mmnet.commands.options import (
    CheckpointOptions,
    DatasetOptions,
    DeviceOptions,
    JsonOptions,
    flag,
)
from mmnet.datasets.pairs import find_dataset, list_splits
from mmnet.evaluation.calibration import score_logit_scales, select_logit_scale
from mmnet.inference.checkpoints import open_weights
from mmnet.io.errors import MmnetError
from mmnet.io.tables import format_table
from mmnet.tf.device import Device
from mmnet.weights.values import scale_classifier
from mmnet.weights.write import check_prefix, write_weights


@dataclasses.dataclass(frozen=True)
class Options(DatasetOptions, CheckpointOptions, DeviceOptions, JsonOptions):
    """Select the logit scale of a checkpoint on a validation set.

    The command scores the dataset with several logit scales and prints the best one. With --output
    it writes a checkpoint with the scaled classifier; inference does not become slower. Use a
    validation set here, and keep the test set for the final evaluation.
    """

    dataset_split_name: str = flag("val", split_name, help="split of the dataset", group="data")
    batch_size: int = flag(8, positive_int, help="images per network run")
    output: Optional[str] = flag(None, help="prefix of the checkpoint to write")


def run(options: Options) -> int:
    path, split = options.dataset_path, options.dataset_split_name
    if not os.path.isdir(os.path.join(path, split)):
        splits = ", ".join(list_splits(path)) or "none"
        raise MmnetError(
            f"--dataset_path {path}: no split {split!r}; splits: {splits}. Put pairs that training "
            f"and final evaluation do not use into {path}/{split}/image and /mask, or "
            "select another split with --dataset_split_name"
        )
    dataset = find_dataset(path, split)
    weights = options.load_weights()
    if options.output:
        check_prefix(options.output, [weights.source or ""])
    predictor = open_weights(weights, Device(options.device))

    scores = score_logit_scales(predictor, dataset, batch_size=options.batch_size)
    best = select_logit_scale(scores)
    if options.output:
        write_weights(options.output, scale_classifier(weights, best.logit_scale))

    if options.json:
        # 0.2 called the logit scale "temperature".
        rows = [{"temperature": score.logit_scale, **score._asdict()} for score in scores]
        print(json.dumps({"best": best.logit_scale, "scores": rows}))
    else:
        table = [("logit scale", "MAD (0..1)", "gradient error (0..1)")]
        for scale, mean_mad, mean_gradient in scores:
            table.append((f"{scale:g}", f"{mean_mad:.6f}", f"{mean_gradient:.6f}"))
        print(format_table(table))
        print(f"best logit scale on {len(dataset)} images: {best.logit_scale:g}")
    return 0
