"""Tests of mmnet.weights.torch_file."""

import os
import zipfile

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.torch_zip import write_torch
from mmnet.io.errors import MmnetError
from mmnet.weights.torch_file import make_tensor, read_torch


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
    tensors = read_torch(str(tmp_path / "plain.ckpt"))
    assert sorted(tensors) == ["a.bias", "a.num_batches_tracked", "a.weight"]
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, values[name])
        assert tensor.dtype == values[name].dtype
    write_torch(tmp_path / "nested.ckpt", {"state_dict": values})
    assert "state_dict.a.weight" in read_torch(str(tmp_path / "nested.ckpt"))


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
        read_torch(str(path))
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
            read_torch(str(path))
    with pytest.raises(FileNotFoundError):
        read_torch(str(tmp_path / "missing.ckpt"))


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
            tensors = read_torch(str(path))
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
