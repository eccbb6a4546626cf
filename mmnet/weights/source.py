"""Where a trained network is opened from: weights by name, a checkpoint, or a model file.

No TensorFlow.
"""

import glob
import os
from typing import NamedTuple, Optional

from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.files import SEPARATOR
from mmnet.weights import registry

MODEL_KINDS = {".pb": "pb", ".tflite": "tflite", ".onnx": "onnx"}  # file extension -> kind
SAVED_MODEL = "saved_model.pb"  # a folder with this file is a SavedModel


class Source(NamedTuple):
    """Where a trained network is opened from."""

    kind: str  # "checkpoint", "pb", "savedmodel", "tflite", "onnx", "untrained" or "ensemble"
    path: str = ""  # checkpoint prefix, model file, SavedModel folder, or texts with SEPARATOR
    name: Optional[str] = None  # name of the weights, if they have one


def find_source(text: str, *, download: bool = True) -> Source:
    """Return the source that a text names. Weights by name are downloaded if necessary.

    Args:
        text: name of weights, checkpoint prefix, folder of checkpoints (its latest), .pb, .tflite
            or .onnx file, or folder of a SavedModel; or several of them with SEPARATOR. An existing
            path has priority over a name.
        download: False: return weights by name without their path.

    Raises:
        FileNotFoundError: nothing there.
        MmnetError: not a regular file, or a damaged download.
        OSError: the weights cannot be downloaded.
    """
    if is_ensemble(text):
        for part in text.split(SEPARATOR):
            find_source(part, download=False)
        return Source("ensemble", text)
    if registry.is_name(text) and not os.path.lexists(text):
        if text == registry.UNTRAINED:
            return Source("untrained")
        name = registry.find_entry(text).checkpoint
        kind = MODEL_KINDS.get(os.path.splitext(name)[1], "checkpoint")
        return Source(kind, os.path.join(registry.fetch(text), name) if download else "", text)
    if not is_model_file(text):
        try:
            return Source("checkpoint", checkpoint_files.find_checkpoint(text))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}{registry.similar_name(text)}") from None
    if os.path.isdir(text):
        return Source("savedmodel", text)
    if not os.path.lexists(text):
        raise FileNotFoundError(f"no model {text}")
    if not os.path.isfile(text):
        raise MmnetError(f"{text}: is not a regular file")
    return Source(MODEL_KINDS[os.path.splitext(text)[1].lower()], text)


def is_ensemble(text: str) -> bool:
    """Return whether a text names several sources. An existing path has priority."""
    return SEPARATOR in text and not os.path.lexists(text)


def is_model_file(path: str) -> bool:
    """Return whether a path names a model file or a SavedModel, not a checkpoint."""
    if os.path.isdir(path):
        return os.path.isfile(os.path.join(path, SAVED_MODEL))
    return os.path.splitext(path)[1].lower() in MODEL_KINDS


def source_bytes(path: Optional[str]) -> int:
    """Return the total size of the files of a source, given its path. Untrained: 0."""
    if not path:
        return 0
    if is_ensemble(path):
        return sum(map(source_bytes, set(path.split(SEPARATOR))))
    if not is_model_file(path):
        files = checkpoint_files.files_of(path)
    elif os.path.isdir(path):
        files = glob.glob(os.path.join(glob.escape(path), "**"), recursive=True)
    else:
        files = [path]
    return sum(map(os.path.getsize, filter(os.path.isfile, files)))
