"""Read, restore, write and watch TensorFlow checkpoints. Their values are numpy arrays."""

import contextlib
import logging
import os
import shutil
import tempfile
import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from mmnet.io.checkpoint_files import files_of, list_checkpoints, mark_latest
from mmnet.io.errors import MmnetError
from mmnet.io.files import MAX_BYTES, write_text
from mmnet.tf.compat import reason_of, tf

AVERAGE_SUFFIX = "/ExponentialMovingAverage"  # appended to the name of a variable
POLL_SECONDS = 2.0
PATTERN_CHARACTERS = frozenset("*?[]\\")  # TensorFlow treats a path with these as a pattern

log = logging.getLogger(__name__)


class RestoreReport(NamedTuple):
    """What a restore did with each variable, by name."""

    loaded: List[str]
    missing: List[str]  # in the graph, but not in the checkpoint
    unused: List[str]  # in the checkpoint, but not in the graph
    reshaped: List[Tuple[str, list, list]]  # not loaded: (name, checkpoint's shape, graph's shape)


def read(prefix: str) -> Dict[str, np.ndarray]:
    """Read all numbers of a checkpoint (name -> array), and verify their checksums.

    Raises:
        FileNotFoundError: no such checkpoint.
        MmnetError: the checkpoint is truncated or damaged, or its data file is missing.
    """
    if not os.path.exists(prefix + ".index"):
        raise FileNotFoundError(f"{prefix}: no such checkpoint")
    for path in files_of(prefix):
        if not os.path.isfile(path):  # TensorFlow would wait for a pipe
            raise MmnetError(f"{prefix}: {path} is not a regular file")
    try:
        with _plain_prefix(prefix) as plain_prefix:
            reader = tf.train.load_checkpoint(plain_prefix)
            declared, size = _declared_bytes(reader), sum(map(os.path.getsize, files_of(prefix)))
            if declared > min(size, MAX_BYTES):
                raise MmnetError(f"{prefix}: declares {declared} bytes in files of {size} bytes")
            types = reader.get_variable_to_dtype_map()
            names = [name for name in types if tf.as_dtype(types[name]) != tf.string]
            return {name: reader.get_tensor(name) for name in names}
    except MmnetError:
        raise
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        # TensorFlow 2.x raises some of its errors as Python's built-in ones.
        reason = reason_of(error)
        raise MmnetError(f"{prefix}: damaged or incomplete checkpoint ({reason})") from None


def _declared_bytes(reader):
    """Return the size of the variables that a checkpoint declares."""
    total = 0
    types = reader.get_variable_to_dtype_map()
    for name, shape in reader.get_variable_to_shape_map().items():
        size = 1 if types[name] == tf.string else types[name].size  # a text has a length at least
        for side in shape:
            size *= side
        total += size
    return total


@contextlib.contextmanager
def _plain_prefix(prefix):
    """Yield a prefix of the same checkpoint that TensorFlow does not treat as a pattern."""
    if not PATTERN_CHARACTERS & set(prefix):
        yield prefix
        return
    with tempfile.TemporaryDirectory(prefix="mmnet-checkpoint-") as folder:
        plain_prefix = os.path.join(folder, "checkpoint")
        for path in files_of(prefix):
            os.symlink(os.path.abspath(path), plain_prefix + path[len(prefix) :])
        yield plain_prefix


def restore(
    session: "tf.Session", values: Dict[str, np.ndarray], variables: "Sequence[tf.Variable]"
) -> RestoreReport:
    """Assign values (name -> array) to the graph's variables of the same names in one run.

    The values are fed to the initializers. This casts types, for example an int32 global step to
    int64, and adds no operation to the graph. Variables without a value keep theirs.
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
    # rewrites initial values that depend on other variables.
    feed = {variable.initializer.inputs[1]: values[name] for name, variable in loaded.items()}
    session.run([variable.initializer for variable in loaded.values()], feed)
    names = {variable.op.name for variable in variables}
    return RestoreReport(sorted(loaded), missing, sorted(values.keys() - names), reshaped)


def write(
    prefix: str, values: Dict[str, np.ndarray], files: Optional[Dict[str, str]] = None
) -> None:
    """Write variables (name -> array) as a checkpoint, which is complete when its index appears.

    The texts in ``files`` (suffix -> text) are written before the index. OSError: the checkpoint
    cannot be written, and nothing is left behind.
    """
    folder, name = os.path.split(os.path.abspath(prefix))
    temporary = tempfile.mkdtemp(prefix=".saving-", dir=folder)
    try:
        _save(os.path.join(temporary, name), values)
        for suffix, text in (files or {}).items():
            write_text(prefix + suffix, text)
        for path in files_of(os.path.join(temporary, name)):
            os.replace(path, os.path.join(folder, os.path.basename(path)))
    except tf.errors.OpError as error:
        raise OSError(f"{prefix}: cannot write checkpoint ({reason_of(error)})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    mark_latest(prefix)


def _save(prefix, values):
    with tf.Graph().as_default(), tf.Session() as session:
        placeholders = [tf.placeholder(value.dtype, value.shape) for value in values.values()]
        save = tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(values),
            shape_and_slices=[""] * len(values),
            tensors=placeholders,
        )
        session.run(save, dict(zip(placeholders, values.values())))


def watch(folder: str, timeout: Optional[float] = None) -> Iterator[str]:
    """Yield the prefix of each checkpoint in a folder once, lowest step first, and wait for more.

    The folder may appear later. An incomplete checkpoint is yielded when it becomes complete. The
    iterator ends after ``timeout`` seconds without a new checkpoint; None waits for ever.
    """
    yielded: Set[str] = set()
    reported: Set[str] = set()
    last_found = time.monotonic()
    while True:
        prefixes = list_checkpoints(folder) if os.path.isdir(folder) else []
        new_prefixes = (prefix for prefix in prefixes if prefix not in yielded)
        prefix = next((prefix for prefix in new_prefixes if _is_complete(prefix, reported)), None)
        if prefix is not None:
            yielded.add(prefix)
            yield prefix
            last_found = time.monotonic()
        elif timeout is not None and time.monotonic() - last_found >= timeout:
            return
        else:
            time.sleep(POLL_SECONDS if timeout is None else min(POLL_SECONDS, timeout))


def _is_complete(prefix, reported):
    """Return whether a checkpoint can be read. Log an incomplete one once."""
    try:
        read(prefix)
        return True
    except (FileNotFoundError, MmnetError) as error:
        if os.path.exists(prefix + ".index") and prefix not in reported:
            log.warning("waiting for checkpoint %s", error)
            reported.add(prefix)
        return False
