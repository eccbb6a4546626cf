"""TensorFlow checkpoints as values: find, read, restore with a report, watch a folder.

A checkpoint is named by its prefix, ``<folder>/<name>-<step>``, as ``tf.train.Saver`` writes it.
"""
import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
from typing import List, NamedTuple, Tuple

from mmnet.compat import tf
from mmnet.files import write_text

AVERAGE = "/ExponentialMovingAverage"  # behind the name of a weight
POLL_SECONDS = 2.0

log = logging.getLogger(__name__)


class Report(NamedTuple):
    """What a restore did with every variable, by name."""
    loaded: List[str]
    missing: List[str]  # in the network, not in the checkpoint
    unused: List[str]  # in the checkpoint, not in the network
    reshaped: List[Tuple[str, list, list]]  # (name, shape in the checkpoint, shape in the network): not loaded


def step_of(prefix):
    """The step a prefix ends with: ``MMNetModel-304500`` -> 304500; None without one."""
    match = re.search(r"-(\d+)$", prefix)
    return int(match.group(1)) if match else None


def list_checkpoints(folder):
    """Prefixes of the checkpoints in ``folder``, lowest step first. Nothing is opened."""
    prefixes = [os.path.join(folder, name[:-len(".index")]) for name in os.listdir(folder) if name.endswith(".index")]
    return sorted(prefixes, key=lambda prefix: (step_of(prefix) or 0, prefix))


def resolve(path):
    """The prefix that ``path`` means: itself, or the checkpoint of the highest step where it is a folder.

    Raises:
        FileNotFoundError: no checkpoint there; says which file is missing.
    """
    path = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path)
    if os.path.exists(path + ".index"):
        return path
    if os.path.isdir(path):
        prefixes = list_checkpoints(path)
        if not prefixes:
            raise FileNotFoundError("no checkpoint (*.index) in %s" % path)
        return prefixes[-1]
    folder, name = os.path.split(path)
    if os.path.isdir(folder or ".") and any(other.startswith(name + ".data-") for other in os.listdir(folder or ".")):
        raise FileNotFoundError("checkpoint %s has its data file but not its index, %s.index" % (path, name))
    raise FileNotFoundError("no checkpoint %s: give a prefix (without .index) or a folder" % path)


def files_of(prefix):
    """The files of a checkpoint that exist, the index last (a copy without its index is no checkpoint yet)."""
    folder, name = os.path.split(prefix)
    shard = re.compile(re.escape(name) + r"\.data-\d{5}-of-\d{5}$")
    shards = sorted(other for other in os.listdir(folder or ".") if shard.match(other))
    return [os.path.join(folder, other) for other in shards] + [prefix + ".index"]


def read(prefix):
    """Every variable of a checkpoint: name -> array. Reading checks the stored checksums.

    Raises:
        FileNotFoundError: no such checkpoint. ValueError: damaged or cut off, a data file missing included.
    """
    if not os.path.exists(prefix + ".index"):
        raise FileNotFoundError("no checkpoint %s" % prefix)
    try:
        reader = tf.train.load_checkpoint(prefix)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:  # TF 2.x gives some as Python's own
        reason = str(error).splitlines()[0]
        raise ValueError("checkpoint %s is damaged or not complete (%s)" % (prefix, reason)) from None


def restore(session, values, variables):
    """Put ``values`` (name -> array) into the graph's ``variables`` by name, in one run and without a new operation.

    Values are fed through the initializers, so an int32 global step enters an int64 one. Variables that get no value
    are left alone.

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
    # The tensor that the initializer assigns, which is not always variable.initial_value: TensorFlow rewrites those
    # that depend on other variables.
    session.run([variable.initializer for variable in loaded.values()],
                {variable.initializer.inputs[1]: values[name] for name, variable in loaded.items()})
    names = {variable.op.name for variable in variables}
    return Report(sorted(loaded), missing, sorted(values.keys() - names), reshaped)


def write(prefix, values, files=None):
    """Write a checkpoint that appears whole or not at all: built in a folder beside it, then moved, the index last.

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
            holders = {key: tf.placeholder(value.dtype, value.shape) for key, value in values.items()}
            save = tf.raw_ops.SaveV2(prefix=inside, tensor_names=list(holders), shape_and_slices=[""] * len(holders),
                                     tensors=list(holders.values()))
            session.run(save, {holders[key]: value for key, value in values.items()})
        for suffix, text in (files or {}).items():
            write_text(prefix + suffix, text)
        for path in files_of(inside):
            os.replace(path, os.path.join(folder, os.path.basename(path)))
    except tf.errors.OpError as error:
        raise OSError("checkpoint %s cannot be written: %s" % (prefix, str(error).splitlines()[0])) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    mark_latest(prefix)


def mark_latest(prefix):
    """Write TensorFlow's ``checkpoint`` file, which names the latest checkpoint of a folder."""
    folder, name = os.path.split(prefix)
    write_text(os.path.join(folder, "checkpoint"), 'model_checkpoint_path: "%s"\n' % name)


def index_sha256(prefix):
    """Tells one checkpoint from another by content: the index holds a checksum of every variable."""
    with open(prefix + ".index", "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def delete(prefix):
    """Delete a checkpoint and what was written beside it, the index first: it is then none for any reader."""
    for path in reversed(files_of(prefix)):
        os.unlink(path)
    if os.path.exists(prefix + ".json"):
        os.unlink(prefix + ".json")


def watch(folder, timeout=None):
    """Yield the prefix of every checkpoint in ``folder`` once, lowest step first, and go on as new ones appear.

    A checkpoint that is half-written is waited for, one that is deleted before its turn is passed over. Those written
    while the caller was busy come next.

    Args:
        folder: may appear later.
        timeout: seconds without a new checkpoint after which to end; None goes on for ever.
    """
    seen = set()
    waiting = set()
    last = time.monotonic()
    while True:
        fresh = [prefix for prefix in (list_checkpoints(folder) if os.path.isdir(folder) else []) if prefix not in seen]
        for prefix in fresh:
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
            break  # list again: while the caller was busy an earlier one may have become whole
        else:
            if timeout is not None and time.monotonic() - last >= timeout:
                return
            time.sleep(POLL_SECONDS if timeout is None else min(POLL_SECONDS, timeout))
