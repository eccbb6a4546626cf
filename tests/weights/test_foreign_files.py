"""Tests of mmnet.weights.convert with damaged and hostile files."""

import os

import numpy as np
import pytest

from helpers import assert_raises
from helpers.foreign_weights import (
    KERAS_KERNEL,
    KERNEL,
    SHAPES,
    TORCH_TENSORS,
    read_small,
    write_h5,
    write_onnx,
)
from helpers.torch_zip import View, write_torch
from mmnet.io.errors import MmnetError
from mmnet.tf import checkpoint
from mmnet.weights import convert
from mmnet.weights.convert import MOBILENET

SECRET = b"the secret of another file" * 40


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """A file in another folder than the weights, and in the current folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "secret").write_bytes(SECRET)
    monkeypatch.chdir(str(folder))
    return folder / "secret"


def test_valid_files_are_read(h5py, onnx, tmp_path):
    write_h5(tmp_path / "a.h5")
    write_onnx(tmp_path / "a.onnx")
    write_torch(tmp_path / "a.ckpt", TORCH_TENSORS)
    for path in tmp_path.iterdir():
        values = read_small(path)
        assert values.keys() == SHAPES.keys()
        np.testing.assert_array_equal(values[next(iter(SHAPES))], KERNEL.transpose(2, 3, 1, 0))


@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_h5_stored_in_another_file_is_rejected(h5py, secret, tmp_path, kind):
    path = tmp_path / "a.h5"
    with h5py.File(str(path), "w") as file:
        if kind == "external":
            space = h5py.h5s.create_simple((3, 3, 3, 4))
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_external(os.fsencode(str(secret)), 0, 432)
            group = file.create_group("Conv1/Conv1")
            h5py.h5d.create(group.id, b"kernel:0", h5py.h5t.IEEE_F32LE, space, properties)
        else:
            layout = h5py.VirtualLayout((3, 3, 3, 4), "<f4")
            layout[:] = h5py.VirtualSource(str(secret), "data", (3, 3, 3, 4))
            file.create_virtual_dataset(KERAS_KERNEL, layout)
    with assert_raises(MmnetError, path, "another file"):
        read_small(path)


@pytest.mark.parametrize("name", ["model_weights", "Conv1", KERAS_KERNEL])
@pytest.mark.parametrize("is_pipe", [False, True], ids=["file", "pipe"])
def test_h5_ignores_links_to_other_files(h5py, tmp_path, name, is_pipe):
    write_h5(tmp_path / "other.h5")
    if is_pipe:
        os.mkfifo(str(tmp_path / "pipe"))
    with h5py.File(str(tmp_path / "a.h5"), "w") as file:
        target = tmp_path / ("pipe" if is_pipe else "other.h5")
        file[name] = h5py.ExternalLink(str(target), "/" if name == "model_weights" else name)
    with assert_raises(MmnetError, tmp_path / "a.h5", "modnet"):
        read_small(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "value",
    [
        np.array([b"a", b"b"]),
        "text",
        np.array(1.0, "f"),
        np.zeros((3, 3, 3, 4), [("a", "f"), ("b", "f")]),
        np.zeros((3, 3, 3, 4), "c8"),
        np.zeros((3, 3, 3, 4), "S3"),
        np.zeros((0, 3), "f"),
    ],
    ids=["texts", "text", "scalar", "compound", "complex", "texts of the shape", "no values"],
)
def test_h5_with_another_dataset_is_rejected(h5py, tmp_path, value):
    path = tmp_path / "a.h5"
    write_h5(path, kernel=value)
    with assert_raises(MmnetError, path, next(iter(SHAPES))):
        read_small(path)


def test_h5_without_space_for_values_is_rejected(h5py, tmp_path):
    path = tmp_path / "a.h5"
    write_h5(path, kernel=h5py.Empty("f"))
    with assert_raises(MmnetError, path, next(iter(SHAPES))):
        read_small(path)
    with h5py.File(str(path), "w") as file:
        file["model_weights"] = np.ones(3, "f")
    with assert_raises(MmnetError, path, "modnet"):
        read_small(path)
    with h5py.File(str(path), "w") as file:  # the values are 0 and take no space in the file
        file.create_dataset(KERAS_KERNEL, (1 << 20, 1 << 20), "<f8", chunks=(64, 64))
    with assert_raises(MmnetError, path, 1 << 20):
        read_small(path)


def test_h5_with_deep_groups_is_rejected(h5py, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(str(path), "w") as file:
        file["a/" * 500 + "kernel"] = np.ones(3, "f")
    with assert_raises(MmnetError, path, "characters"):
        read_small(path)


def hostile_tensors(onnx):
    """Return name -> TensorProto."""
    make = onnx.helper.make_tensor
    name, proto = next(iter(TORCH_TENSORS)), onnx.TensorProto
    external = onnx.numpy_helper.from_array(KERNEL, name)
    onnx.external_data_helper.set_external_data(external, "secret")
    external.ClearField("raw_data")
    negative = onnx.numpy_helper.from_array(KERNEL, name)
    negative.dims[0] = -1
    huge = onnx.numpy_helper.from_array(KERNEL, name)
    huge.dims[:] = [1 << 40, 1 << 40, 3, 3]
    longer = onnx.numpy_helper.from_array(KERNEL, name)
    longer.dims[0] = 5
    return {
        "external": external,
        "negative": negative,
        "huge": huge,
        "longer": longer,
        "texts": make(name, proto.STRING, [4, 3, 3, 3], [b"1"] * 108),
        "complex": make(name, proto.COMPLEX64, [4, 3, 3, 3], [1j] * 108),
        "unknown": proto(name=name, data_type=99, dims=[4, 3, 3, 3]),
        "no type": proto(name=name, dims=[4, 3, 3, 3]),
    }


@pytest.mark.parametrize(
    "kind", ["external", "negative", "huge", "longer", "texts", "complex", "unknown", "no type"]
)
def test_onnx_with_hostile_tensor_is_rejected(onnx, secret, tmp_path, kind):
    path = tmp_path / "a.onnx"
    write_onnx(path, [hostile_tensors(onnx)[kind]])
    with assert_raises(MmnetError, path):
        read_small(path)


def test_onnx_with_name_that_is_not_utf_8_is_rejected(onnx, tmp_path):
    path = tmp_path / "a.onnx"
    write_onnx(path, convolutions=[["x", "name"]])
    data = path.read_bytes().replace(b"backbone", b"backbon\xff")
    path.write_bytes(data.replace(b"nam", b"na\xff"))
    with assert_raises(MmnetError, path):
        read_small(path)


@pytest.mark.parametrize("inputs", ["", "x", "x,missing", "x,", "x,scalar"])
@pytest.mark.parametrize("count", [1, len(MOBILENET)])
def test_onnx_with_incomplete_convolution_is_rejected(onnx, tmp_path, inputs, count):
    path = tmp_path / "a.onnx"
    scalar = onnx.numpy_helper.from_array(np.array(1.0, "f"), "scalar")
    write_onnx(path, [scalar], [inputs.split(",") if inputs else []] * count)
    with assert_raises(MmnetError, path, "onvolution"):
        read_small(path)


def test_tensor_is_compared_with_the_network_before_it_is_copied(tmp_path):
    path = tmp_path / "a.ckpt"
    name = next(iter(TORCH_TENSORS))
    view = View(np.ones(1, "f"), (1 << 20, 1 << 20), (0, 0))
    write_torch(path, dict(TORCH_TENSORS, **{name: view}))
    with assert_raises(MmnetError, path, 1 << 20):
        read_small(path)


def test_large_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "MAX_BYTES", 1000)
    for name in ("a.ckpt", "a.h5", "a.onnx"):
        (tmp_path / name).write_bytes(bytes(1001))
        with assert_raises(MmnetError, tmp_path / name, 1001):
            read_small(tmp_path / name)


def test_checkpoint_that_declares_more_than_its_files_is_not_read(tmp_path, monkeypatch):
    prefix = str(tmp_path / "a")
    checkpoint.write(prefix, {"a": np.zeros((1000, 1000), "f")})
    os.truncate(prefix + ".data-00000-of-00001", 100)
    with assert_raises(MmnetError, prefix, 4000000):
        checkpoint.read(prefix)
