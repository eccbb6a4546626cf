"""Write checkpoints in the format of PyTorch, without PyTorch."""

import collections
import io
import pickle
import sys
import types
import zipfile
from typing import NamedTuple, Tuple
from unittest import mock

import numpy as np

STORAGE_TYPES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}


class View(NamedTuple):
    """A tensor with any shape and strides, in values, that shares its storage with other views."""

    storage: np.ndarray
    shape: Tuple[int, ...]
    strides: Tuple[int, ...]


class _Tensor:
    """A view that is pickled as a tensor of PyTorch."""

    def __init__(self, key, view):
        self.key, self.view = key, view

    def __reduce__(self):
        array, shape, strides = self.view
        storage = _Storage(STORAGE_TYPES[array.dtype.name], self.key, array.size)
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (storage, 0, shape, strides, False, collections.OrderedDict())


class _Storage:
    def __init__(self, kind, key, size):
        self.persistent_id = ("storage", getattr(sys.modules["torch"], kind), key, "cpu", size)


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.persistent_id if isinstance(value, _Storage) else None


def write_torch(path, contents, compression=zipfile.ZIP_STORED):
    """Write a checkpoint as torch.save does since version 1.6.

    The contents are a dictionary: name -> array, View, dictionary, or any other value.
    """
    storages = []

    def replace(value):
        if isinstance(value, np.ndarray):
            array = np.ascontiguousarray(value).reshape(value.shape)
            value = View(array, value.shape, tuple(n // array.itemsize for n in array.strides))
        if isinstance(value, View):
            if not any(value.storage is storage for storage in storages):
                storages.append(value.storage)
            (key,) = (i for i, storage in enumerate(storages) if storage is value.storage)
            return _Tensor(str(key), value)
        if isinstance(value, dict):
            return collections.OrderedDict((name, replace(item)) for name, item in value.items())
        return value

    pickled = io.BytesIO()
    with mock.patch.dict(sys.modules, _torch_modules()):
        _Pickler(pickled, protocol=2).dump(replace(contents))
    data = [storage.tobytes() for storage in storages]
    write_torch_zip(path, pickled.getvalue(), data, compression)


def write_torch_zip(path, pickled, storages=(), compression=zipfile.ZIP_STORED):
    """Write a zip of PyTorch with any bytes as its pickle."""
    with zipfile.ZipFile(str(path), "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for index, data in enumerate(storages):
            archive.writestr(f"archive/data/{index}", data)
        archive.writestr("archive/version", "3\n")


def _torch_modules():
    """Return modules with the names that a pickle of PyTorch refers to: name -> module."""

    def _rebuild_tensor_v2(*_):
        pass

    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGE_TYPES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    return {"torch": torch, "torch._utils": utils}
