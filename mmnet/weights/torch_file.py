"""Read the tensors of a PyTorch checkpoint without PyTorch.

The file is a zip with one pickle, which names the tensors, and one binary file per tensor. A pickle
is a program. This unpickler only builds dictionaries of tensors: it compares every name that the
pickle looks up with a fixed list, so a foreign file cannot run code.
"""

import collections
import io
import pickle
import zipfile
from typing import Any, Dict, Iterator, Sequence, Tuple, Type

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes

STORAGE_TYPES = {  # class in the module torch -> numpy type
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
MAX_PICKLE_BYTES = 10_000_000  # the pickle contains names, not values
# Exceptions of zipfile and pickle for damaged or encrypted files.
DAMAGED: Tuple[Type[Exception], ...] = (zipfile.BadZipFile, pickle.UnpicklingError, EOFError)
DAMAGED += (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def is_zip(path: str) -> bool:
    return read_bytes(path)[:4] == b"PK\x03\x04"


def read_torch(path: str) -> Dict[str, np.ndarray]:
    """Read the tensors of a .ckpt, .pth or .pt file. Nested names are joined: "outer.inner".

    Raise MmnetError if the file is damaged or contains more than tensors.
    """
    data = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (pickle_name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise MmnetError("its files are compressed")
            size = archive.getinfo(pickle_name).file_size
            if size > MAX_PICKLE_BYTES:
                raise MmnetError(f"its pickle has {size} bytes")
            folder = pickle_name[: -len("data.pkl")]
            return dict(_flatten(_TensorUnpickler(archive, folder).load()))
    except DAMAGED as error:
        raise MmnetError(f"{path}: not a PyTorch checkpoint with only tensors ({error})") from None


class _TensorUnpickler(pickle.Unpickler):
    """An unpickler of tensors, dictionaries, lists, tuples, numbers and texts."""

    def __init__(self, archive, folder):
        super().__init__(io.BytesIO(archive.read(folder + "data.pkl")))
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return make_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in STORAGE_TYPES:
            return np.dtype(STORAGE_TYPES[name])
        raise pickle.UnpicklingError(f"its pickle requests {module}.{name}")

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, dtype, key = pid[:3]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"its pickle requests a {kind}")
        return np.frombuffer(self._archive.read(f"{self._folder}data/{key}"), dtype)


def make_tensor(
    storage: np.ndarray, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> np.ndarray:
    """Return a tensor in a one-dimensional storage. MmnetError: it does not lie inside."""
    numbers = [offset, *shape, *strides]
    if len(shape) != len(strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise MmnetError(f"a tensor with shape {shape} and strides {strides}")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides))
    if 0 not in shape and last >= len(storage):
        raise MmnetError(f"a tensor with shape {list(shape)} in a file of {len(storage)} values")
    byte_strides = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, byte_strides).copy()


def _flatten(contents: Dict[Any, Any], prefix: str = "") -> Iterator[Tuple[str, np.ndarray]]:
    """Yield the name and value of each tensor in nested dictionaries."""
    for name, value in contents.items():
        if isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value
        elif isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
