"""Read the tensors of a PyTorch checkpoint without PyTorch.

The file is a zip with one pickle, which names the tensors, and one binary file per tensor. A pickle
is a program. This unpickler only builds dictionaries of tensors: it compares every name that the
pickle looks up with a fixed list, so a foreign file cannot run code.
"""

import io
import pickle
import struct
import zipfile
from typing import Any, ClassVar, Dict, Iterator, Sequence, Set, Tuple, Type

import numpy as np

from mmnet.io.errors import MmnetError, shorten, shorten_name

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
MAX_PICKLE_BYTES = 1_000_000  # the pickle contains names, not values
MAX_FILES = 100_000  # in the zip
MAX_NAME_LENGTH = 200
# Exceptions of zipfile and pickle for damaged or encrypted files.
DAMAGED: Tuple[Type[Exception], ...] = (zipfile.BadZipFile, pickle.UnpicklingError, EOFError)
DAMAGED += (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
DAMAGED += (struct.error,)
OPCODES = """PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE
    BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES
    EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET"""


def read_torch(data: bytes, path: str) -> Dict[str, np.ndarray]:
    """Read the tensors of a .ckpt, .pth or .pt file. Nested names are joined: "outer.inner".

    The tensors are views of their storages and take no memory of their own. Raise MmnetError if the
    file is damaged or contains more than tensors.
    """
    try:
        if data.count(b"PK\1\2") > MAX_FILES:
            raise MmnetError(f"its zip has more than {MAX_FILES} files")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (pickle_name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise MmnetError("its files are compressed")
            if sum(info.file_size for info in archive.infolist()) > len(data):
                raise MmnetError(f"its files are larger than the zip of {len(data)} bytes")
            size = archive.getinfo(pickle_name).file_size
            if size > MAX_PICKLE_BYTES:
                raise MmnetError(f"its pickle has {size} bytes")
            folder = pickle_name[: -len("data.pkl")]
            return dict(_flatten(_TensorUnpickler(archive, folder).load(), "", set()))
    except DAMAGED as error:
        reason = shorten_name(str(error))
        raise MmnetError(f"{path}: not a PyTorch checkpoint with only tensors ({reason})") from None


class _TensorUnpickler(pickle._Unpickler):
    """An unpickler of tensors, dictionaries, lists, tuples, numbers and texts.

    The base class is Python's unpickler in Python: its table of opcodes can be limited, and it
    allocates no memory for the sizes that a file declares.
    """

    dispatch: ClassVar[Dict[int, Any]] = {
        code: pickle._Unpickler.dispatch[code]
        for code in (getattr(pickle, name)[0] for name in OPCODES.split())
    }

    def __init__(self, archive, folder):
        super().__init__(io.BytesIO(archive.read(folder + "data.pkl")))
        self._archive, self._folder = archive, folder
        self._storages: Dict[Tuple[str, str], np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return lambda: {}
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return make_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        raise pickle.UnpicklingError(f"its pickle requests {shorten(f'{module}.{name}')}")

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, dtype, key = pid[:3]
        if kind != "storage" or dtype not in STORAGE_TYPES.values() or not isinstance(key, str):
            raise pickle.UnpicklingError("its pickle requests something else than a storage")
        if (key, dtype) not in self._storages:
            data = self._archive.read(f"{self._folder}data/{key}")
            self._storages[key, dtype] = np.frombuffer(data, dtype)
        return self._storages[key, dtype]

    def _set_items(self, items):
        """Set items of the dictionary on the stack. The hash of nested tuples may never end."""
        keys = items[::2]
        if not isinstance(self.stack[-1], dict):
            raise pickle.UnpicklingError("its pickle has items outside a dictionary")
        if not all(isinstance(key, (str, int)) for key in keys):
            raise pickle.UnpicklingError("its pickle has a dictionary with other keys than names")
        self.stack[-1].update(zip(keys, items[1::2]))

    def _load_item(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _load_items(self):
        self._set_items(self.pop_mark())

    def _load_state(self):
        """Ignore the attributes of an object, such as the versions of a state_dict."""
        self.stack.pop()

    dispatch[pickle.SETITEM[0]] = _load_item
    dispatch[pickle.SETITEMS[0]] = _load_items
    dispatch[pickle.BUILD[0]] = _load_state


def make_tensor(
    storage: np.ndarray, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> np.ndarray:
    """Return a view of a one-dimensional storage. MmnetError: it does not lie inside."""
    numbers = [offset, *shape, *strides]
    if len(shape) != len(strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise MmnetError("a tensor whose shape or strides are not numbers from 0")
    if storage.ndim != 1 or not storage.flags.c_contiguous:
        raise MmnetError("a tensor in another tensor")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides))
    if 0 not in shape and last >= len(storage):
        raise MmnetError(f"a tensor reaches value {shorten(last)} of {len(storage)}")
    byte_strides = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, byte_strides, writeable=False)


def _flatten(
    contents: Dict[Any, Any], prefix: str, visited: Set[int]
) -> Iterator[Tuple[str, np.ndarray]]:
    """Yield the name and value of each tensor in nested dictionaries. Visit each of them once."""
    visited.add(id(contents))
    for key, value in contents.items():
        if not isinstance(value, (np.ndarray, dict)) or id(value) in visited:
            continue
        name = f"{prefix}{key}"
        if len(name) > MAX_NAME_LENGTH:
            raise MmnetError(f"a name of {len(name)} characters")
        if isinstance(value, dict):
            yield from _flatten(value, f"{name}.", visited)
        else:
            yield name, value
