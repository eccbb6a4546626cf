"""Where a checkpoint comes from: the JSON beside it."""

import json
import os
import platform
from typing import List, NamedTuple, Optional

import cv2
import numpy as np

from mmnet import __version__
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_json
from mmnet.io.records import read_record
from mmnet.tf.compat import tf


def describe_data(data_set, weight=None):
    """A dataset as lineage records it."""
    return {
        "path": os.path.abspath(data_set.path),
        "split": data_set.split,
        "pictures": len(data_set),
        "weight": weight,
        "manifest_sha256": data_set.fingerprint,
    }


def count_steps(data_sets, earlier, steps):
    """The datasets with the steps on each: a step draws from all of them.

    Those of the ``earlier`` record that are no longer trained on keep their count.
    """
    before = {data_set["manifest_sha256"]: data_set for data_set in earlier}
    counted = []
    for data_set in data_sets:
        known = before.pop(data_set["manifest_sha256"], {"steps": 0})
        counted.append(dict(data_set, steps=steps + known["steps"]))
    return counted + list(before.values())


def describe_parent(prefix, global_step):
    """A warm start's checkpoint as lineage records it."""
    return {
        "path": os.path.abspath(prefix),
        "index_sha256": checkpoint_files.index_sha256(prefix),
        "global_step": global_step,
        "lineage": read_lineage(prefix),
    }


def record(global_step, start, data_sets, *, step, learning_rate, configuration):
    """The record of a checkpoint, as text.

    Args:
        start: restore.Start of the run. data_sets: of count_steps. step: steps from restore.
        configuration: the settings, ready for JSON.
    """
    values = {
        "global_step": global_step,
        "step_from_restore": step,
        "parent": start.parent,
        "data_sets": data_sets,
        "learning_rate": learning_rate,
        "configuration": configuration,
        "versions": {
            "mmnet": __version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        },
    }
    return json.dumps(values, indent=1) + "\n"


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
    """What is needed of the record beside a checkpoint."""

    global_step: int
    step_from_restore: int
    data_sets: List[TrainedOn]
    parent: Optional[Parent]


def read_lineage(prefix):
    """The record beside a checkpoint, as a dict, or None: published checkpoints have none.

    Raises:
        ValueError: a damaged one; names file and field, and says how to go on.
    """
    path = prefix + ".json"
    if not os.path.exists(path):
        return None
    try:
        read_record(path, Lineage)
        return read_json(path)
    except ValueError as error:
        raise MmnetError(
            "%s (delete %s to go on without knowing the steps from restore)" % (error, path)
        ) from None
