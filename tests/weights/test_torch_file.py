"""Tests of mmnet.weights.torch_file."""

import copy
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.torch_zip import View, write_torch, write_torch_zip
from mmnet.io.errors import MmnetError
from mmnet.weights.torch_file import make_tensor, read_torch


def read_file(path):
    return read_torch(path.read_bytes(), str(path))


class Call:
    """A value whose unpickling calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_read_torch_returns_the_tensors(tmp_path):
    random = np.random.RandomState(0)
    values = {
        "a.weight": random.rand(2, 3, 4).astype("f"),
        "a.bias": random.rand(3).astype(np.float16),
        "a.num_batches_tracked": np.array(7, np.int64),
        "epoch": 3,
    }
    write_torch(tmp_path / "plain.ckpt", values)
    tensors = read_file(tmp_path / "plain.ckpt")
    assert sorted(tensors) == ["a.bias", "a.num_batches_tracked", "a.weight"]
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, values[name])
        assert tensor.dtype == values[name].dtype
    write_torch(tmp_path / "nested.ckpt", {"state_dict": values})
    assert "state_dict.a.weight" in read_file(tmp_path / "nested.ckpt")


@pytest.mark.parametrize("function", [os.system, eval, getattr], ids=lambda f: f.__name__)
def test_read_torch_runs_no_code(tmp_path, function):
    marker = tmp_path / "marker"
    call = {
        os.system: Call(os.system, f"touch {marker}"),
        eval: Call(eval, f"open({str(marker)!r}, 'w')"),
        getattr: Call(getattr, "", "join"),
    }[function]
    path = tmp_path / "evil.ckpt"
    write_torch(path, {"a": np.ones(2, "f"), "b": call})
    with assert_raises(MmnetError, path, f".{function.__name__}"):
        read_file(path)
    assert not marker.exists()


def test_read_torch_rejects_other_files(tmp_path):
    path, complete, compressed = (tmp_path / name for name in ("x.ckpt", "a.ckpt", "b.ckpt"))
    write_torch(complete, {"a": np.ones((20, 20), "f")})
    write_torch(compressed, {"a": np.ones((20, 20), "f")}, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(str(tmp_path / "other.zip"), "w") as archive:
        archive.writestr("a.txt", "a")
    data = complete.read_bytes()
    for contents in (
        b"",
        b"\x80\x02}q\x00.",  # a pickle without a zip
        data[: len(data) // 2],
        data[:100] + b"\xff" * 20 + data[120:],
        (tmp_path / "other.zip").read_bytes(),
        compressed.read_bytes(),
    ):
        path.write_bytes(contents)
        with assert_raises(MmnetError, path, "PyTorch"):
            read_file(path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "missing.ckpt")


def test_read_torch_survives_damaged_bytes(tmp_path):
    complete, path = tmp_path / "a.ckpt", tmp_path / "x.ckpt"
    write_torch(complete, {"a": np.ones((3, 3), "f"), "b": {"c": np.ones(2, np.float16)}})
    data, random = complete.read_bytes(), np.random.RandomState(0)
    for _ in range(300):
        damaged = bytearray(data)
        for position in random.randint(0, len(data), 3):
            damaged[position] = random.randint(256)
        path.write_bytes(bytes(damaged))
        try:
            tensors = read_file(path)
        except MmnetError as error:
            assert_message(str(error), path)
        else:
            assert all(isinstance(tensor, np.ndarray) for tensor in tensors.values())


@pytest.mark.parametrize(
    "offset, shape, strides",
    [(0, (3, 3), (3, 1)), (5, (4,), (1,)), (0, (2,), (-1,)), (-1, (2,), (1,)), (0, (2, 2), (1,))],
)
def test_make_tensor_stays_inside_its_storage(offset, shape, strides):
    with assert_raises(MmnetError, "tensor"):
        make_tensor(np.arange(8.0), offset, shape, strides)


def peak_memory(function):
    """Return the most bytes that Python and numpy allocate at a time while a function runs."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["stride 0", "shared storage"])
def test_read_torch_allocates_no_copies(tmp_path, kind):
    path = tmp_path / "views.ckpt"
    if kind == "stride 0":
        views = {"a": View(np.ones(1, "f"), (10000, 10000), (0, 0))}
    else:
        storage = np.ones(1 << 18, "f")
        views = {f"a{i}": View(storage, storage.shape, (1,)) for i in range(100)}
    write_torch(path, views)
    data = path.read_bytes()
    assert peak_memory(lambda: read_torch(data, str(path))) < 10_000_000
    tensors = read_torch(data, str(path))
    assert tensors.keys() == views.keys()
    assert all(tensors[name].shape == view.shape for name, view in views.items())


@pytest.mark.parametrize("kind", ["longer than the zip", "same bytes twice"])
def test_read_torch_rejects_zip_with_more_bytes_than_it_has(tmp_path, kind):
    path = tmp_path / "a.ckpt"
    write_torch(path, {"a": np.ones(1000, "f")})
    with zipfile.ZipFile(str(path), "a") as archive:
        storage = archive.getinfo("archive/data/0")
        if kind == "longer than the zip":
            storage.file_size = storage.compress_size = 3_000_000_000
        else:
            archive.filelist.append(copy.copy(storage))
        archive.writestr("archive/end", "")
    with assert_raises(MmnetError, path, "larger", path.stat().st_size):
        read_file(path)


def nest(value, levels=100):
    """Return a tuple that contains ``value`` 2^levels times."""
    for _ in range(levels):
        value = (value, value)
    return value


def nest_dictionaries():
    """Return dictionaries with 2^100 paths."""
    contents = {}
    for _ in range(100):
        contents = {"a": contents, "b": contents}
    return contents


def test_read_torch_visits_each_dictionary_once(tmp_path):
    path = tmp_path / "a.ckpt"
    write_torch_zip(path, pickle.dumps(nest_dictionaries(), 2))
    assert read_file(path) == {}


def body(value):
    """Return a pickle of a value without its header and end."""
    return pickle.dumps(value, 2)[2:-1]


HOSTILE_PICKLES = {
    "tuple as key": b"}" + body(nest(0)) + b"K\x01s",
    "tuples as keys": b"}(" + body(nest(0)) + b"K\x01u",
    "tuples as kind of a storage": body((nest(0), "<f4", "0")) + b"Q",
    "tuples as key of a storage": body(("storage", "<f4", nest(0))) + b"Q",
    "set": b"\x8f(" + body(nest(0)) + b"\x90",
    "memo of 4 GB": b"]r\xff\xff\xff\x0f",
    "text of 4 GB": b"X\xff\xff\xff\xffa",
    "bytes of 4 GB": b"B\xff\xff\xff\xffa",
    "frame of 4 GB": b"\x95" + (1 << 62).to_bytes(8, "little"),
    "state of a function": b"ctorch._utils\n_rebuild_tensor_v2\n" + body({"a": 1}) + b"b",
    "long name": body({"a" * 300: {}}),
    "long class": b"c" + b"a" * 1000 + b"\nb\n",
    "list": b"]",
}


@pytest.mark.parametrize("name", HOSTILE_PICKLES)
def test_read_torch_rejects_hostile_pickle(tmp_path, name):
    path = tmp_path / "a.ckpt"
    write_torch_zip(path, b"\x80\x02" + HOSTILE_PICKLES[name] + b".")
    with assert_raises(MmnetError, path) as caught:
        read_file(path)
    assert len(str(caught.value)) < len(str(path)) + 300
    assert not vars(make_tensor)


def test_make_tensor_rejects_view_as_storage():
    view = make_tensor(np.ones(1, "f"), 0, (1000,), (0,))
    with assert_raises(MmnetError, "tensor"):
        make_tensor(view, 0, (1000,), (1,))
