"""Where a checkpoint comes from: the JSON beside it."""
import json
import os
import platform

import cv2
import numpy as np

from mmnet import __version__, checkpoint
from mmnet.compat import tf
from mmnet.data.pairs import manifest_sha256


def describe_data(dataset_path, split, pairs, weight=None):
    """A data set as lineage records it."""
    return {"path": os.path.abspath(dataset_path), "split": split, "pictures": len(pairs), "weight": weight,
            "manifest_sha256": manifest_sha256(pairs)}


def count_steps(data_sets, earlier, steps):
    """The data sets with the steps on each: a step draws from all of them. Those of the ``earlier`` record that are no
    longer trained on keep their count."""
    before = {data_set["manifest_sha256"]: data_set for data_set in earlier}
    counted = [dict(data_set, steps=steps + before.pop(data_set["manifest_sha256"], {"steps": 0})["steps"])
               for data_set in data_sets]
    return counted + list(before.values())


def describe_parent(prefix, global_step):
    return {"path": os.path.abspath(prefix), "index_sha256": checkpoint.index_sha256(prefix),
            "global_step": global_step, "lineage": read(prefix)}


def record(global_step, step_from_restore, parent, data_sets, learning_rate, configuration):
    """The record of a checkpoint, as text. data_sets: of count_steps; parent: of describe_parent, None for scratch."""
    return json.dumps({
        "global_step": global_step, "step_from_restore": step_from_restore, "parent": parent, "data_sets": data_sets,
        "learning_rate": learning_rate, "configuration": configuration,
        "versions": {"mmnet": __version__, "tensorflow": tf.__version__, "numpy": np.__version__,
                     "opencv": cv2.__version__, "python": platform.python_version()}}, indent=1) + "\n"


def read(prefix):
    """The record beside a checkpoint, or None: published checkpoints have none."""
    prefix = checkpoint.resolve(prefix)
    if not os.path.exists(prefix + ".json"):
        return None
    with open(prefix + ".json") as file:
        return json.load(file)
