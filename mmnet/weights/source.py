"""What a source names: weights with a name, a checkpoint, or a model file. No TensorFlow."""

import os
from typing import NamedTuple, Optional

from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.weights import registry

EXTENSIONS = {".pb": "pb", ".tflite": "tflite", ".onnx": "onnx"}
SAVED_MODEL = "saved_model.pb"  # the file that makes a folder a SavedModel


class Source(NamedTuple):
    """Where a trained network lies."""

    kind: str  # "checkpoint", "pb", "savedmodel", "tflite", "onnx" or "untrained"
    path: Optional[str] = None  # a checkpoint's prefix, a file, or a SavedModel's folder
    name: Optional[str] = None  # of weights that have one, in registry.json


def find_source(text):
    """The Source that a text means: a path that exists, or a name of weights, which are downloaded.

    A folder of checkpoints means its latest.

    Raises:
        FileNotFoundError: nothing there; says what is missing. ValueError: no regular file.
        OSError: weights that cannot be downloaded.
    """
    if registry.is_name(text) and not os.path.lexists(text):
        if text == registry.UNTRAINED:
            return Source("untrained")
        return Source("checkpoint", registry.prefix_of(text), text)
    if os.path.isfile(os.path.join(text, SAVED_MODEL)):
        return Source("savedmodel", text)
    kind = EXTENSIONS.get(os.path.splitext(text)[1].lower())
    if kind is None or os.path.isdir(text):
        try:
            return Source("checkpoint", checkpoint_files.find_checkpoint(text))
        except FileNotFoundError as error:
            raise FileNotFoundError(str(error) + registry.hint(text)) from None
    if not os.path.lexists(text):
        raise FileNotFoundError("no model %s" % text)
    if not os.path.isfile(text):
        raise MmnetError("%s is not a regular file" % text)
    return Source(kind, text)


def is_model_file(path):
    """Whether a path means a model file, or a SavedModel, rather than a checkpoint."""
    return (
        os.path.splitext(path)[1].lower() in EXTENSIONS and not os.path.isdir(path)
    ) or os.path.isfile(os.path.join(path, SAVED_MODEL))


def source_files(source):
    """Every file of a Source."""
    if source.kind == "untrained":
        return []
    if source.kind == "checkpoint":
        return checkpoint_files.files_of(source.path)
    if os.path.isfile(source.path):
        return [source.path]
    walked = os.walk(source.path)
    return [os.path.join(folder, name) for folder, _, names in walked for name in names]


def source_bytes(source):
    """The size of all files of a Source."""
    return sum(os.path.getsize(path) for path in source_files(source))
