"""The tensors of a PyTorch checkpoint, without PyTorch.

It is a zip of one pickle, which names the tensors, and a file of numbers for each. A pickle is a
program: this one may build a dict of tensors and nothing else. Every name that it looks up is
compared with those below, which are ours, before anything is made of it.
"""

import collections
import io
import pickle
import zipfile

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes

TYPES = {
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
LONGEST_PICKLE = 10_000_000  # bytes; it holds names, not numbers


def is_zip(path):
    return read_bytes(path)[:4] == b"PK\x03\x04"


def read_torch(path):
    """The tensors of a .ckpt, .pth or .pt: name -> array; of a dict in the dict, "outer.inner".

    Raises:
        FileNotFoundError: no such file. ValueError: no such checkpoint, a damaged one, or one whose
            pickle asks for more than tensors; names what.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            (main,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            members = {info.filename: info for info in archive.infolist()}
            if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
                raise MmnetError("its files are compressed")
            if members[main].file_size > LONGEST_PICKLE:
                raise MmnetError("its pickle has %d bytes" % members[main].file_size)
            folder = main[: -len("data.pkl")]
            contents = _Tensors(archive, folder).load()
            return dict(_flat(contents))
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        AttributeError,
        EOFError,
        IndexError,
        KeyError,
        NotImplementedError,  # a zip that is encrypted
        OverflowError,
        RecursionError,
        RuntimeError,
        TypeError,
        UnicodeDecodeError,
        ValueError,
    ) as error:
        raise MmnetError(
            "%s is not a PyTorch checkpoint of tensors alone (%s)" % (path, error)
        ) from None


class _Tensors(pickle.Unpickler):
    """Unpickles tensors, dicts, lists, tuples, numbers and texts."""

    def __init__(self, archive, folder):
        super().__init__(io.BytesIO(archive.read(folder + "data.pkl")))
        self.archive, self.folder = archive, folder

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: tensor(
                storage, offset, shape, strides
            )
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in TYPES:
            return np.dtype(TYPES[name])
        raise pickle.UnpicklingError("its pickle asks for %s.%s" % (module, name))

    def persistent_load(self, described):
        kind, dtype, key = described[:3]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("its pickle asks for a %s" % kind)
        return np.frombuffer(self.archive.read("%sdata/%s" % (self.folder, key)), dtype)


def tensor(storage, offset, shape, strides):
    """The array of so many numbers of a storage; ValueError where it ends before."""
    numbers = [offset, *shape, *strides]
    if len(shape) != len(strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise MmnetError("a tensor of shape %s and strides %s" % (shape, strides))
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides))
    if 0 not in shape and last >= len(storage):
        raise MmnetError("a tensor of %s from a file of %d numbers" % (list(shape), len(storage)))
    bytes_apart = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, bytes_apart).copy()


def _flat(contents, before=""):
    """(name, array) of every tensor in dicts in dicts."""
    for name, value in contents.items():
        if isinstance(value, np.ndarray):
            yield before + str(name), value
        elif isinstance(value, dict):
            yield from _flat(value, "%s%s." % (before, name))
