"""Where a checkpoint comes from: the JSON beside it."""

import json
import os
import platform

import cv2
import numpy as np

from mmnet import __version__, checkpoint_files
from mmnet.compat import tf
from mmnet.files import read_json

# What a record holds at least: field -> type.
MAYBE = (dict, type(None))
RECORD = {"global_step": int, "step_from_restore": int, "data_sets": list, "parent": MAYBE}
DATA_SET = {"path": str, "split": str, "pictures": int, "manifest_sha256": str, "steps": int}
PARENT = {"path": str, "global_step": int, "lineage": MAYBE}


def describe_data(data_set, weight=None):
    """A data set as lineage records it."""
    return {
        "path": os.path.abspath(data_set.path),
        "split": data_set.split,
        "pictures": len(data_set),
        "weight": weight,
        "manifest_sha256": data_set.sha256,
    }


def count_steps(data_sets, earlier, steps):
    """The data sets with the steps on each: a step draws from all of them.

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


def read_lineage(prefix):
    """The record beside a checkpoint, or None: published checkpoints have none.

    Raises:
        ValueError: a damaged one; says which field, and how to go on.
    """
    path = prefix + ".json"
    if not os.path.exists(path):
        return None
    record = read_json(path)
    _check(record, path)
    return record


def _check(record, path):
    """Raise ValueError for a record that lacks what resuming and ``mmnet info`` read."""
    while record is not None:
        _check_fields(record, RECORD, path)
        for data_set in record["data_sets"]:
            _check_fields(data_set, DATA_SET, path)
        parent = record["parent"]
        if parent is None:
            return
        _check_fields(parent, PARENT, path)
        record = parent["lineage"]


def _check_fields(values, kinds, path):
    if not isinstance(values, dict):
        raise ValueError("%s is damaged: a data set is %r" % (path, values))
    for name, kind in kinds.items():
        if name not in values or not isinstance(values[name], kind):
            raise ValueError(
                "%s is damaged: %s is %r (delete it to go on without the record of steps)"
                % (path, name, values.get(name))
            )
