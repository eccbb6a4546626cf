"""Flags and choices of 0.2 that 0.3 deleted, each with its replacement. Delete this file in 0.4."""

from typing import Any

from mmnet.io.errors import MmnetError

REMOVED_ACTIONS = {"pack": "use the folders of images directly; packed files were not faster"}
REMOVED_LAYOUTS = {"labels": "convert the labels to masks first, then use --layout pairs"}
REMOVED_FLAGS = {  # name -> replacement
    "adapt": "use --mode adapt",
    "adb": "follow docs/android.md, which has the four shell commands",
    "composition_range": "use --loss_parameters composition_range=X",
    "engine": "use mmnet launch --engine NAME -- train ...",
    "force_precision": "use --precision, which only warns if the device gains nothing",
    "freeze_batch_norm": "use --mode freeze_batch_norm",
    "ids": REMOVED_LAYOUTS["labels"],
    "input": "run benchmarks/training.py --input",
    "learning_rate_decay": "use --learning_rate_schedule step:STEPS:FACTOR",
    "learning_rate_decay_steps": "use --learning_rate_schedule step:STEPS",
    "learning_rate_power": "use --learning_rate_schedule polynomial:POWER",
    "peer_timeout": "use mmnet launch --peer_timeout TIME -- train ...",
    "pictures_path": "use --dataset_path, which also takes folders of images without masks",
    "quantize": "use --mode quantize",
    "shards": "use the folders of images directly; packed shards were not faster",
    "teacher_temperature": "use --loss_parameters teacher_temperature=X",
    "train": "run benchmarks/training.py",
    "turns": "run benchmarks/training.py",
    "xla": "set the environment variable TF_XLA_FLAGS=--tf_xla_auto_jit=1",
}
REMOVED_LOSS_TERMS = ["laplacian", "focal", "boundary", "dice", "square", "semantic", "detail"]
for term in REMOVED_LOSS_TERMS + ["matte", "teacher"]:
    REMOVED_FLAGS[f"lambda_{term}_loss"] = f"use --loss_weights {term}=X"

# config.yaml of a training of 0.2 contains every flag. These defaults are ignored.
OLD_DEFAULTS = {
    "adapt": False,
    "cache_budget": 4 << 30,
    "composition_range": 1.0,
    "force_precision": False,
    "freeze_batch_norm": False,
    "learning_rate_decay": 0.1,
    "learning_rate_decay_steps": 100000,
    "learning_rate_power": 0.9,
    "precision_mode": "allow_mix_precision",
    "quantize": False,
    "teacher_temperature": 1.0,
    "xla": False,
}


def is_old_default(name: str, value: Any) -> bool:
    """Return whether a preset holds a flag of 0.2 at its default."""
    return name in OLD_DEFAULTS and value == OLD_DEFAULTS[name]


def check_not_removed(name: str, where: str) -> None:
    """Raise MmnetError with the replacement if 0.3 deleted this flag."""
    if name in REMOVED_FLAGS:
        raise MmnetError(f"{where}: was removed in 0.3; {REMOVED_FLAGS[name]}")
