"""Flags and choices of 0.2 that 0.3 deleted, each with its replacement. Delete this file in 0.4."""

from mmnet.io.errors import MmnetError

LOSS_WEIGHTS = "use --loss_weights {}=X"
REMOVED_FLAGS = {  # name -> replacement
    "adb": "follow docs/android.md, which has the four shell commands",
    "force_precision": "use --precision, which only warns if the device gains nothing",
    "input": "run benchmarks/training.py --input",
    "train": "run benchmarks/training.py",
    "turns": "run benchmarks/training.py",
    "shards": "use the folders of images directly; packed shards were not faster",
    "ids": "convert the labels to masks first, then use --layout pairs",
}
REMOVED_ACTIONS = {"pack": "use the folders of images directly; packed files were not faster"}
REMOVED_LAYOUTS = {"labels": "convert the labels to masks first, then use --layout pairs"}
REMOVED_FLAGS.update(
    {
        f"lambda_{name}_loss": LOSS_WEIGHTS.format(name)
        for name in (
            "laplacian",
            "focal",
            "boundary",
            "dice",
            "square",
            "semantic",
            "detail",
            "matte",
            "teacher",
        )
    }
)


def check_not_removed(name: str, where: str) -> None:
    """Raise MmnetError with the replacement if 0.3 deleted this flag."""
    if name in REMOVED_FLAGS:
        raise MmnetError(f"{where}: was removed in 0.3; {REMOVED_FLAGS[name]}")
