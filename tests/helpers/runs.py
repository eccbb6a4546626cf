"""Read the files of a training or an evaluation."""

import glob
import os

from mmnet.io.checkpoint_files import list_checkpoints, step_of
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf


def steps_in(folder):
    """Return the steps of the checkpoints in a folder."""
    return [step_of(prefix) for prefix in list_checkpoints(str(folder))]


def read_last(folder):
    """Return the variables of the latest checkpoint in a folder."""
    return checkpoint.read(list_checkpoints(str(folder))[-1])


def read_events(folder):
    """Return tag -> [(step, number)] in the order written. Images and texts have no number."""
    values = {}
    paths = glob.glob(os.path.join(glob.escape(str(folder)), "events*"))
    for path in sorted(paths, key=os.path.getmtime):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                values.setdefault(value.tag, []).append((event.step, value.simple_value))
    return values
