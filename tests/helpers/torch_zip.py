"""Checkpoints as PyTorch writes them, written without it."""

import collections
import io
import pickle
import sys
import types
import zipfile

import numpy as np

STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}


class _Stands:
    """A tensor, which pickles as PyTorch's do."""

    def __init__(self, key, array):
        self.key, self.array = key, array

    def __reduce__(self):
        array = self.array
        storage = _Storage(STORAGES[array.dtype.name], self.key, array.size)
        strides = tuple(side // array.itemsize for side in array.strides)
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (storage, 0, array.shape, strides, False, collections.OrderedDict())


class _Storage:
    def __init__(self, kind, key, size):
        self.described = ("storage", getattr(sys.modules["torch"], kind), key, "cpu", size)


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.described if isinstance(value, _Storage) else None


def write_torch(path, contents, compression=zipfile.ZIP_STORED):
    """Write tensors (name -> array, dicts in dicts) as torch.save does since version 1.6.

    What is no array, number or dict is pickled as it is.
    """
    arrays = []

    def stand(value):
        if isinstance(value, np.ndarray):
            arrays.append(np.ascontiguousarray(value).reshape(value.shape))
            return _Stands(str(len(arrays) - 1), arrays[-1])
        if isinstance(value, dict):
            return collections.OrderedDict((name, stand(one)) for name, one in value.items())
        return value

    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    for name in STORAGES.values():
        setattr(modules["torch"], name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_):
        pass

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    modules["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        pickled = io.BytesIO()
        _Pickler(pickled, protocol=2).dump(stand(contents))
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    with zipfile.ZipFile(str(path), "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for index, array in enumerate(arrays):
            archive.writestr("archive/data/%d" % index, array.tobytes())
        archive.writestr("archive/version", "3\n")
