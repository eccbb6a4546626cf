"""Names and files of TensorFlow checkpoints. No TensorFlow, and nothing is opened.

A checkpoint is named by its prefix, ``<folder>/<name>-<step>``, as ``tf.train.Saver`` writes it.
"""

import hashlib
import os
import re
import shutil

from mmnet.io.files import read_bytes, write_text

RUN_FILE = "config.yaml"  # beside a checkpoint: the options of its training


def step_of(prefix):
    """The step that a prefix ends with: ``MMNetModel-304500`` -> 304500; None without one."""
    match = re.search(r"-(\d+)$", prefix)
    return int(match.group(1)) if match else None


def list_checkpoints(folder):
    """Prefixes of the checkpoints in ``folder``, lowest step first."""
    names = [name for name in os.listdir(folder) if name.endswith(".index")]
    prefixes = [os.path.join(folder, name[: -len(".index")]) for name in names]
    return sorted(prefixes, key=lambda prefix: (step_of(prefix) or 0, prefix))


def resolve(path):
    """The prefix that ``path`` means: itself, or a folder's checkpoint of the highest step.

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
    others = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
    if any(other.startswith(name + ".data-") for other in others):
        raise FileNotFoundError(
            "checkpoint %s has its data file but not its index, %s.index" % (path, name)
        )
    raise FileNotFoundError("no checkpoint %s: give a prefix (without .index) or a folder" % path)


def files_of(prefix):
    """The files of a checkpoint that exist, the index last: without its index it is none yet."""
    folder, name = os.path.split(prefix)
    shard = re.compile(re.escape(name) + r"\.data-\d{5}-of-\d{5}$")
    shards = sorted(other for other in os.listdir(folder or ".") if shard.match(other))
    return [os.path.join(folder, other) for other in shards] + [prefix + ".index"]


def index_sha256(prefix):
    """Tells one checkpoint from another by content: its index holds every variable's checksum."""
    return hashlib.sha256(read_bytes(prefix + ".index")).hexdigest()


def delete(prefix):
    """Delete a checkpoint and its record, the index first: it is then none for any reader."""
    for path in reversed(files_of(prefix)):
        os.unlink(path)
    if os.path.exists(prefix + ".json"):
        os.unlink(prefix + ".json")


def copy_checkpoint(prefix: str, folder: str) -> str:
    """Copy a checkpoint and its RUN_FILE, if it has one, into a folder. Return the new prefix."""
    paths = files_of(prefix)
    run_file = os.path.join(os.path.dirname(prefix), RUN_FILE)
    if os.path.exists(run_file):
        paths.append(run_file)
    for path in paths:
        shutil.copy(path, folder)
    return os.path.join(folder, os.path.basename(prefix))


def mark_latest(prefix: str) -> None:
    """Write TensorFlow's ``checkpoint`` file, which names the latest checkpoint of a folder."""
    folder, name = os.path.split(prefix)
    write_text(os.path.join(folder, "checkpoint"), f'model_checkpoint_path: "{name}"\n')
