import os
import zipfile

import numpy as np
import pytest

from helpers.torch_zip import write_torch
from mmnet.weights.torch_file import read_torch, tensor


def test_tensors_come_back(tmp_path):
    random = np.random.RandomState(0)
    written = {
        "a.weight": random.rand(2, 3, 4).astype("f"),
        "a.bias": random.rand(3).astype(np.float16),
        "a.num_batches_tracked": np.array(7, np.int64),
        "epoch": 3,
    }
    write_torch(tmp_path / "plain.ckpt", written)
    read = read_torch(str(tmp_path / "plain.ckpt"))
    assert sorted(read) == ["a.bias", "a.num_batches_tracked", "a.weight"]
    for name, value in read.items():
        np.testing.assert_array_equal(value, written[name])
        assert value.dtype == written[name].dtype
    write_torch(tmp_path / "inside.ckpt", {"state_dict": written})
    assert "state_dict.a.weight" in read_torch(str(tmp_path / "inside.ckpt"))


class Evil:
    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize(
    "evil, named",
    [
        (Evil(os.system, "touch %s"), "system"),
        (Evil(eval, "open('%s', 'w')"), "builtins.eval|__builtin__.eval"),
        (Evil(getattr, "", "join"), "builtins.getattr|__builtin__.getattr"),
    ],
)
def test_a_pickle_that_would_run_code_does_not(tmp_path, evil, named):
    ran = tmp_path / "ran"
    function, arguments = evil.called
    evil.called = (
        function,
        tuple(one % ran if isinstance(one, str) and "%s" in one else one for one in arguments),
    )
    path = tmp_path / "evil.ckpt"
    write_torch(path, {"a": np.ones(2, "f"), "b": evil})
    with pytest.raises(ValueError, match="evil.ckpt is not a PyTorch .*asks for .*(%s)" % named):
        read_torch(str(path))
    assert not ran.exists()


def test_what_is_no_checkpoint(tmp_path):
    path = tmp_path / "x.ckpt"
    whole = tmp_path / "whole.ckpt"
    write_torch(whole, {"a": np.ones((20, 20), "f")})
    data = whole.read_bytes()
    with zipfile.ZipFile(str(tmp_path / "other.zip"), "w") as archive:
        archive.writestr("a.txt", "a")
    compressed = tmp_path / "compressed.ckpt"
    write_torch(compressed, {"a": np.ones((20, 20), "f")}, zipfile.ZIP_DEFLATED)
    for contents in (
        b"",
        b"\x80\x02}q\x00.",
        data[: len(data) // 2],
        data[:100] + b"\xff" * 20 + data[120:],
        (tmp_path / "other.zip").read_bytes(),
        compressed.read_bytes(),
    ):
        path.write_bytes(contents)
        with pytest.raises(ValueError, match="x.ckpt is not a PyTorch checkpoint of tensors"):
            read_torch(str(path))
    with pytest.raises(FileNotFoundError):
        read_torch(str(tmp_path / "none.ckpt"))


def test_flipped_bytes_give_tensors_or_one_error(tmp_path):
    whole, path = tmp_path / "whole.ckpt", tmp_path / "x.ckpt"
    write_torch(whole, {"a": np.ones((3, 3), "f"), "b": {"c": np.ones(2, np.float16)}})
    data, random = whole.read_bytes(), np.random.RandomState(0)
    for _ in range(300):
        damaged = bytearray(data)
        for at in random.randint(0, len(data), 3):
            damaged[at] = random.randint(256)
        path.write_bytes(bytes(damaged))
        try:
            read = read_torch(str(path))
        except ValueError as error:
            assert "x.ckpt is not a PyTorch checkpoint" in str(error)
        else:
            assert all(isinstance(value, np.ndarray) for value in read.values())


@pytest.mark.parametrize(
    "offset, shape, strides",
    [(0, (3, 3), (3, 1)), (5, (4,), (1,)), (0, (2,), (-1,)), (-1, (2,), (1,)), (0, (2, 2), (1,))],
)
def test_a_tensor_stays_inside_its_storage(offset, shape, strides):
    with pytest.raises(ValueError, match="a tensor of"):
        tensor(np.arange(8.0), offset, shape, strides)
