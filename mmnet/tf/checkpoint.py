"""TensorFlow checkpoints as values: read, restore with a report, write, watch a folder."""

import contextlib
import logging
import os
import shutil
import tempfile
import time
from typing import List, NamedTuple, Tuple

from mmnet.io.checkpoint_files import files_of, list_checkpoints, mark_latest
from mmnet.io.errors import MmnetError
from mmnet.io.files import write_text
from mmnet.tf.compat import tf

AVERAGE = "/ExponentialMovingAverage"  # behind the name of a weight
POLL_SECONDS = 2.0

log = logging.getLogger(__name__)


class Report(NamedTuple):
    """What a restore did with every variable, by name."""

    loaded: List[str]
    missing: List[str]  # in the network, not in the checkpoint
    unused: List[str]  # in the checkpoint, not in the network
    reshaped: List[Tuple[str, list, list]]  # not loaded: (name, shape there, shape here)


def read(prefix):
    """Every variable of a checkpoint: name -> array. Reading checks the stored checksums.

    Raises:
        FileNotFoundError: no such checkpoint. ValueError: damaged, cut off, or without its data.
    """
    if not os.path.exists(prefix + ".index"):
        raise FileNotFoundError("no checkpoint %s" % prefix)
    for path in files_of(prefix):
        if not os.path.isfile(path):
            raise MmnetError("checkpoint %s: %s is not a regular file" % (prefix, path))
    try:
        with _plain_prefix(prefix) as plain:
            reader = tf.train.load_checkpoint(plain)
            return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        # TensorFlow 2.x raises some of these as Python's own.
        reason = str(error).splitlines()[0]
        raise MmnetError(
            "checkpoint %s is damaged or not complete (%s)" % (prefix, reason)
        ) from None


@contextlib.contextmanager
def _plain_prefix(prefix):
    """A name of the same checkpoint that TensorFlow does not take for a pattern.

    It takes ``run [1]/MMNetModel-6`` for one.
    """
    if not set(prefix) & set("*?[]\\"):
        yield prefix
        return
    with tempfile.TemporaryDirectory(prefix="mmnet-checkpoint-") as folder:
        for path in files_of(prefix):
            ending = path[len(prefix) :]
            os.symlink(os.path.abspath(path), os.path.join(folder, "checkpoint" + ending))
        yield os.path.join(folder, "checkpoint")


def restore(session, values, variables):
    """Put ``values`` (name -> array) into the graph's ``variables`` by name.

    It takes one run and adds no operation: values are fed through the initializers, so an int32
    global step enters an int64 one. Variables that get no value are left alone.

    Returns:
        Report.
    """
    loaded, missing, reshaped = {}, [], []
    for variable in variables:
        name, shape = variable.op.name, variable.shape.as_list()
        if name not in values:
            missing.append(name)
        elif list(values[name].shape) != shape:
            reshaped.append((name, list(values[name].shape), shape))
        else:
            loaded[name] = variable
    # The tensor that the initializer assigns is not always variable.initial_value: TensorFlow
    # rewrites those that depend on other variables.
    feed = {variable.initializer.inputs[1]: values[name] for name, variable in loaded.items()}
    session.run([variable.initializer for variable in loaded.values()], feed)
    names = {variable.op.name for variable in variables}
    return Report(sorted(loaded), missing, sorted(values.keys() - names), reshaped)


def write(prefix, values, files=None):
    """Write a checkpoint that appears whole or not at all.

    It is built in a folder beside it, then moved, the index last.

    Args:
        values: name -> array. files: suffix -> text of more files, there before the index is.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    folder, name = os.path.split(os.path.abspath(prefix))
    building = tempfile.mkdtemp(prefix=".saving-", dir=folder)
    try:
        inside = os.path.join(building, name)
        with tf.Graph().as_default(), tf.Session() as session:
            holders = {
                key: tf.placeholder(value.dtype, value.shape) for key, value in values.items()
            }
            save = tf.raw_ops.SaveV2(
                prefix=inside,
                tensor_names=list(holders),
                shape_and_slices=[""] * len(holders),
                tensors=list(holders.values()),
            )
            session.run(save, {holders[key]: value for key, value in values.items()})
        for suffix, text in (files or {}).items():
            write_text(prefix + suffix, text)
        for path in files_of(inside):
            os.replace(path, os.path.join(folder, os.path.basename(path)))
    except tf.errors.OpError as error:
        # The line before that of the operation, behind the path of a temporary file.
        line = str(error).partition("\n\t [[")[0].splitlines()[-1]
        reason = line.rpartition("; ")[2]
        raise OSError("checkpoint %s cannot be written: %s" % (prefix, reason)) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    mark_latest(prefix)


def watch(folder, timeout=None):
    """Yield the prefix of every checkpoint in ``folder`` once, lowest step first, also new ones.

    A checkpoint that is half-written is waited for, one that is deleted before its turn is passed
    over. Those written while the caller was busy come next.

    Args:
        folder: may appear later.
        timeout: seconds without a new checkpoint after which to end; None goes on for ever.
    """
    seen = set()
    waiting = set()
    last = time.monotonic()
    while True:
        present = list_checkpoints(folder) if os.path.isdir(folder) else []
        for prefix in [prefix for prefix in present if prefix not in seen]:
            try:
                read(prefix)
            except (FileNotFoundError, ValueError) as error:
                if os.path.exists(prefix + ".index") and prefix not in waiting:
                    log.warning("waiting for %s: %s", prefix, error)
                    waiting.add(prefix)
                continue
            seen.add(prefix)
            yield prefix
            last = time.monotonic()
            break  # list again: meanwhile an earlier one may have become whole
        else:
            if timeout is not None and time.monotonic() - last >= timeout:
                return
            time.sleep(POLL_SECONDS if timeout is None else min(POLL_SECONDS, timeout))
