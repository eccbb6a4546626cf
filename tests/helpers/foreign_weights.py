"""Small weights of MODNet and MobileNetV2 in files of other projects, valid and hostile."""

import importlib.util
import os
import tempfile
import zipfile

import numpy as np

from helpers.torch_zip import write_torch, write_torch_zip
from mmnet.networks.network import Network
from mmnet.weights.convert import read_foreign

MODNET = Network("modnet", 0.25)
SHAPES = {  # two variables of MODNet, with other sizes
    "MODNet/MobilenetV2/Conv/weights": [3, 3, 3, 4],
    "MODNet/MobilenetV2/Conv/BatchNorm/gamma": [4],
}
KERNEL = np.arange(108, dtype="f").reshape(4, 3, 3, 3)
TORCH_TENSORS = {
    "backbone.model.features.0.0.weight": KERNEL,
    "backbone.model.features.0.1.weight": np.ones(4, "f"),
}
KERAS_KERNEL, KERAS_GAMMA = "Conv1/Conv1/kernel:0", "bn_Conv1/bn_Conv1/gamma:0"


def read_small(path):
    """Read a file as weights of a network with only SHAPES."""
    return read_foreign(str(path), MODNET, SHAPES)


def write_h5(path, **datasets):
    """Write the kernel and the gamma of Keras. ``kernel`` and ``gamma`` replace their values."""
    import h5py

    values = {"kernel": KERNEL.transpose(2, 3, 1, 0), "gamma": np.ones(4, "f"), **datasets}
    with h5py.File(str(path), "w") as file:
        file[KERAS_KERNEL], file[KERAS_GAMMA] = values["kernel"], values["gamma"]


def write_onnx(path, initializers=None, convolutions=()):
    """Write an ONNX file with initializers, and Conv nodes with these inputs."""
    import onnx

    if initializers is None:
        initializers = [onnx.numpy_helper.from_array(v, k) for k, v in TORCH_TENSORS.items()]
    nodes = [onnx.helper.make_node("Conv", inputs, ["y"]) for inputs in convolutions]
    graph = onnx.helper.make_graph(nodes, "modnet", [], [], initializers)
    with open(str(path), "wb") as file:
        file.write(onnx.helper.make_model(graph).SerializeToString())


def small_files():
    """Return name -> (extension, bytes, reader) of the files that the installed packages read."""
    writers = {"torch": (".ckpt", lambda path: write_torch(path, TORCH_TENSORS), read_small)}
    if importlib.util.find_spec("h5py"):
        writers["h5"] = (".h5", write_h5, read_small)
    if importlib.util.find_spec("onnx"):
        writers["onnx"] = (".onnx", write_onnx, read_small)
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (extension, write, read) in writers.items():
            path = os.path.join(folder, "a" + extension)
            write(path)
            with open(path, "rb") as file:
                files[name] = extension, file.read(), read
        with zipfile.ZipFile(os.path.join(folder, "a.ckpt")) as archive:
            files["pickle"] = ".pkl", archive.read("archive/data.pkl"), read_pickle
    return files


def read_pickle(path):
    """Read a file as the pickle in a checkpoint of PyTorch."""
    with open(path, "rb") as file:
        write_torch_zip(path + ".ckpt", file.read(), [v.tobytes() for v in TORCH_TENSORS.values()])
    return read_small(path + ".ckpt")
