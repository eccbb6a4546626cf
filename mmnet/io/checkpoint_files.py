"""Find, copy and delete the files of TensorFlow checkpoints. No TensorFlow.

A checkpoint is named by the prefix of its files, ``<folder>/<name>-<step>``.
"""

import glob
import os
import re
from typing import List, Optional

from mmnet.io.files import read_bytes, sha256_of_file, write_bytes, write_text

RUN_FILE = "config.yaml"  # beside a checkpoint: the options of its training
LATEST_FILE, LATEST_KEY = "checkpoint", "model_checkpoint_path"  # as TensorFlow names them


def step_of(prefix: str) -> Optional[int]:
    """Return the step of a prefix, for example 304500 of MMNetModel-304500, or None."""
    match = re.search(r"-(\d+)$", prefix)
    return int(match.group(1)) if match else None


def list_checkpoints(folder: str) -> List[str]:
    """Return the prefixes of the checkpoints in a folder, lowest step first."""
    stems = [os.path.splitext(name)[0] for name in os.listdir(folder) if name.endswith(".index")]
    prefixes = [os.path.join(folder, stem) for stem in stems]
    return sorted(prefixes, key=lambda prefix: (step_of(prefix) or 0, prefix))


def find_checkpoint(path: str) -> str:
    """Return the prefix of the checkpoint at a path: a prefix, one of its files, or a folder.

    Of several checkpoints in a folder, it is the one with the highest step.

    Raises:
        FileNotFoundError: no checkpoint, or its index file is missing.
    """
    path = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path)
    if os.path.exists(path + ".index"):
        return path
    if os.path.isdir(path):
        prefixes = list_checkpoints(path)
        if not prefixes:
            raise FileNotFoundError(f"{path}: no checkpoint (*.index)")
        return prefixes[-1]
    raise FileNotFoundError(
        f"{path}: no checkpoint ({path}.index is missing); give a folder or a prefix"
    )


def files_of(prefix: str) -> List[str]:
    """Return the paths of a checkpoint's files. The index file, which makes it valid, is last."""
    data_files = glob.glob(glob.escape(prefix) + ".data-?????-of-?????")
    return sorted(data_files) + [prefix + ".index"]


def index_sha256(prefix: str) -> str:
    """Return a hash of the contents: the index file holds the checksum of each variable."""
    return sha256_of_file(prefix + ".index")


def copy_checkpoint(prefix: str, folder: str) -> str:
    """Copy a checkpoint and its RUN_FILE, if it has one, into a folder. Return the new prefix."""
    run_file = os.path.join(os.path.dirname(prefix), RUN_FILE)
    paths = [run_file] if os.path.exists(run_file) else []
    for path in paths + files_of(prefix):
        write_bytes(os.path.join(folder, os.path.basename(path)), read_bytes(path))
    return os.path.join(folder, os.path.basename(prefix))


def delete_checkpoint(prefix: str) -> None:
    """Delete a checkpoint and its .json file. The index is first: readers then ignore the rest."""
    for path in reversed(files_of(prefix)):
        os.unlink(path)
    if os.path.exists(prefix + ".json"):
        os.unlink(prefix + ".json")


def mark_latest(prefix: str) -> None:
    """Write TensorFlow's LATEST_FILE, which names the latest checkpoint of a folder."""
    folder, name = os.path.split(prefix)
    write_text(os.path.join(folder, LATEST_FILE), f'{LATEST_KEY}: "{name}"\n')
