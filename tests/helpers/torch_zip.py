"""Write checkpoints in the format of PyTorch, without PyTorch."""

import collections
import io
import pickle
import sys
import types
import zipfile
from unittest import mock

import numpy as np

STORAGE_TYPES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}


class _Tensor:
    """An array that is pickled as a tensor of PyTorch."""

    def __init__(self, key, array):
        self.key, self.array = key, array

    def __reduce__(self):
        array = self.array
        storage = _Storage(STORAGE_TYPES[array.dtype.name], self.key, array.size)
        strides = tuple(side // array.itemsize for side in array.strides)
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (storage, 0, array.shape, strides, False, collections.OrderedDict())


class _Storage:
    def __init__(self, kind, key, size):
        self.persistent_id = ("storage", getattr(sys.modules["torch"], kind), key, "cpu", size)


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.persistent_id if isinstance(value, _Storage) else None


def write_torch(path, contents, compression=zipfile.ZIP_STORED):
    """Write a checkpoint as torch.save does since version 1.6.

    The contents are a dictionary: name -> array, dictionary, or any other value.
    """
    arrays = []

    def replace(value):
        if isinstance(value, np.ndarray):
            arrays.append(np.ascontiguousarray(value).reshape(value.shape))
            return _Tensor(str(len(arrays) - 1), arrays[-1])
        if isinstance(value, dict):
            return collections.OrderedDict((name, replace(item)) for name, item in value.items())
        return value

    pickled = io.BytesIO()
    with mock.patch.dict(sys.modules, _torch_modules()):
        _Pickler(pickled, protocol=2).dump(replace(contents))
    with zipfile.ZipFile(str(path), "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for index, array in enumerate(arrays):
            archive.writestr(f"archive/data/{index}", array.tobytes())
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
