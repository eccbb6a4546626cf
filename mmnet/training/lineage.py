"""Where a checkpoint comes from: the JSON file beside it."""

import json
import os
import platform
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import cv2
import numpy as np

from mmnet import __version__
from mmnet.datasets.pairs import Dataset
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_json
from mmnet.io.records import to_record
from mmnet.tf.compat import tf

MAX_STEP = (1 << 31) - 1  # the global step is an int32


class Start(NamedTuple):
    """Where a training starts. The fields are names in the JSON file."""

    step_from_restore: int = 0
    parent: Optional[Dict[str, Any]] = None  # checkpoint of the warm start
    data_sets: Sequence[Dict[str, Any]] = ()  # datasets in the latest checkpoint


class TrainedOn(NamedTuple):
    """A dataset in a lineage."""

    path: str
    split: str
    pictures: int
    manifest_sha256: str
    steps: int
    weight: Optional[float] = None


class Parent(NamedTuple):
    """The checkpoint of a warm start."""

    path: str
    global_step: int
    lineage: Optional["Lineage"]


class Lineage(NamedTuple):
    """The required fields of the JSON file."""

    global_step: int
    step_from_restore: int
    data_sets: List[TrainedOn]
    parent: Optional[Parent]


class LineageWriter(NamedTuple):
    """Describes the checkpoints of one training."""

    start: Start
    datasets: Sequence[Dict[str, Any]]  # records from describe_dataset
    options: Dict[str, Any]

    def record(self, global_step: int, step: int, learning_rate: float) -> str:
        """Return the JSON file of a checkpoint. ``step`` is counted from the restore."""
        versions = {
            "mmnet": __version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        }
        steps = step - self.start.step_from_restore
        values = {
            "global_step": global_step,
            "step_from_restore": step,
            "parent": self.start.parent,
            "data_sets": count_steps(self.datasets, self.start.data_sets, steps),
            "learning_rate": learning_rate,
            "configuration": self.options,
            "versions": versions,
        }
        return json.dumps(values, indent=1) + "\n"


def describe_dataset(dataset: Dataset, weight: Optional[float] = None) -> Dict[str, Any]:
    """Return the record of a dataset, without its steps."""
    return {
        "path": os.path.abspath(dataset.path),
        "split": dataset.split,
        "pictures": len(dataset),
        "weight": weight,
        "manifest_sha256": dataset.fingerprint,
    }


def describe_parent(prefix: str, global_step: int) -> Dict[str, Any]:
    """Return the record of the checkpoint of a warm start."""
    return {
        "path": os.path.abspath(prefix),
        "index_sha256": checkpoint_files.index_sha256(prefix),
        "global_step": global_step,
        "lineage": read_lineage(prefix),
    }


def count_steps(
    datasets: Sequence[Dict[str, Any]], earlier: Sequence[Dict[str, Any]], steps: int
) -> List[Dict[str, Any]]:
    """Add ``steps`` to the steps of each dataset, because each step draws from all of them.

    Earlier datasets that are no longer trained on keep their steps.
    """
    remaining = {dataset["manifest_sha256"]: dataset for dataset in earlier}
    result = []
    for dataset in datasets:
        known = remaining.pop(dataset["manifest_sha256"], {"steps": 0})
        result.append(dict(dataset, steps=steps + known["steps"]))
    return result + list(remaining.values())


def read_lineage(prefix: str) -> Optional[Dict[str, Any]]:
    """Read the JSON file of a checkpoint, or return None. Published checkpoints have none."""
    path = prefix + ".json"
    if not os.path.exists(path):
        return None
    try:
        values = read_json(path)
        record = to_record(values, Lineage, path)
        if not 0 <= record.step_from_restore <= MAX_STEP:
            raise MmnetError(f"{path}: step_from_restore: must be 0 to {MAX_STEP}")
        return values
    except (MmnetError, RecursionError) as error:
        remedy = f"Delete {path} to continue without the steps from restore"
        raise MmnetError(f"{error}. {remedy}") from None


def read_start(prefix: str) -> Start:
    """Return the position at which a training resumes from its checkpoint."""
    record = read_lineage(prefix)
    return Start() if record is None else Start(*(record[name] for name in Start._fields))
