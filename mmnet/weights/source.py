"""Where a trained network is opened from: weights by name, a checkpoint, or a model file.

No TensorFlow.
"""

import os
from typing import List, NamedTuple, Optional

from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.weights import registry

MODEL_KINDS = {".pb": "pb", ".tflite": "tflite", ".onnx": "onnx"}  # file extension -> kind
SAVED_MODEL = "saved_model.pb"  # a folder with this file is a SavedModel


class Source(NamedTuple):
    """Where a trained network is opened from."""

    kind: str  # "checkpoint", "pb", "savedmodel", "tflite", "onnx" or "untrained"
    path: str = ""  # checkpoint prefix, model file, or folder of a SavedModel
    name: Optional[str] = None  # name of the weights, if they have one


def find_source(text: str) -> Source:
    """Return the source that a text names. Weights by name are downloaded if necessary.

    Args:
        text: name of weights, checkpoint prefix, folder of checkpoints (its latest), .pb, .tflite
            or .onnx file, or folder of a SavedModel. An existing path has priority over a name.

    Raises:
        FileNotFoundError: nothing there.
        MmnetError: not a regular file, or a damaged download.
        OSError: the weights cannot be downloaded.
    """
    if os.path.lexists(text) or not registry.is_name(text):
        return _find_path(text)
    if text == registry.UNTRAINED:
        return Source("untrained")
    folder = registry.fetch(text)
    return Source("checkpoint", os.path.join(folder, registry.find_entry(text).checkpoint), text)


def check_source(text: str) -> None:
    """Raise FileNotFoundError or MmnetError if ``find_source`` would. It never downloads."""
    if os.path.lexists(text) or not registry.is_name(text):
        _find_path(text)


def is_model_file(path: str) -> bool:
    """Return whether a path names a model file or a SavedModel, not a checkpoint."""
    if os.path.isdir(path):
        return os.path.isfile(os.path.join(path, SAVED_MODEL))
    return os.path.splitext(path)[1].lower() in MODEL_KINDS


def source_files(path: Optional[str]) -> List[str]:
    """Return all files of a source, given its path. Untrained weights have no path and no files."""
    if not path:
        return []
    if not is_model_file(path):
        return checkpoint_files.files_of(path)
    if not os.path.isdir(path):
        return [path]
    walk = os.walk(path)
    return [os.path.join(folder, name) for folder, _, names in walk for name in names]


def source_bytes(path: Optional[str]) -> int:
    """Return the total size of all files of a source, given its ``path``."""
    return sum(map(os.path.getsize, source_files(path)))


def _find_path(path):
    if not is_model_file(path):
        try:
            return Source("checkpoint", checkpoint_files.find_checkpoint(path))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}{registry.similar_name(path)}") from None
    if os.path.isdir(path):
        return Source("savedmodel", path)
    if not os.path.lexists(path):
        raise FileNotFoundError(f"no model {path}")
    if not os.path.isfile(path):
        raise MmnetError(f"{path}: is not a regular file")
    return Source(MODEL_KINDS[os.path.splitext(path)[1].lower()], path)
