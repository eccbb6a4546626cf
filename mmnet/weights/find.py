"""What a source names: a checkpoint, a model file, or a folder of results. No TensorFlow."""

import os
from typing import NamedTuple

from mmnet import checkpoint_files

EXTENSIONS = {".pb": "pb", ".tflite": "tflite", ".onnx": "onnx"}
SAVED_MODEL = "saved_model.pb"  # the file that makes a folder a SavedModel


class Source(NamedTuple):
    """Where a trained network lies."""

    kind: str  # "checkpoint", "pb", "savedmodel", "tflite" or "onnx"
    path: str  # a checkpoint's prefix, a file, or a SavedModel's folder


def find_source(name):
    """The Source that a path means: a folder of checkpoints means its latest.

    Raises:
        FileNotFoundError: nothing there; says what is missing. ValueError: no regular file.
    """
    if os.path.isfile(os.path.join(name, SAVED_MODEL)):
        return Source("savedmodel", name)
    kind = EXTENSIONS.get(os.path.splitext(name)[1].lower())
    if kind is None or os.path.isdir(name):
        return Source("checkpoint", checkpoint_files.resolve(name))
    if not os.path.lexists(name):
        raise FileNotFoundError("no model %s" % name)
    if not os.path.isfile(name):
        raise ValueError("%s is not a regular file" % name)
    return Source(kind, name)


def is_model(name):
    """Whether a path means a model file, or a SavedModel, rather than a checkpoint."""
    return (
        os.path.splitext(name)[1].lower() in EXTENSIONS and not os.path.isdir(name)
    ) or os.path.isfile(os.path.join(name, SAVED_MODEL))


def files_of(source):
    """Every file of a Source."""
    if source.kind == "checkpoint":
        return checkpoint_files.files_of(source.path)
    if os.path.isfile(source.path):
        return [source.path]
    walked = os.walk(source.path)
    return [os.path.join(folder, name) for folder, _, names in walked for name in names]


def bytes_of(source):
    """The size of all files of a Source."""
    return sum(os.path.getsize(path) for path in files_of(source))
