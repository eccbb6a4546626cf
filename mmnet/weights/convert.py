"""Weights of others, under our variables' names.

MODNet's authors publish PyTorch checkpoints, and others ONNX files of them. MobileNetV2's weights
for ImageNet come as TensorFlow checkpoints (slim) and as Keras' .h5 files; both go into the
encoders of deeplab and modnet.
"""

import io
import os
import re

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.networks.registry import NETWORKS, find_definition
from mmnet.tf import checkpoint
from mmnet.weights.torch_file import is_zip, read_torch

ENDINGS = {  # of batch norm
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
EPSILON = 1e-5  # of batch norm, in both networks
EPSILON_OF_IMAGENET = 1e-3  # in the published MobileNetV2's


def read_foreign(path, network):
    """The values of a foreign file: our variables' names -> float32 arrays.

    Args:
        path: .ckpt, .pth or .pt of PyTorch, .onnx, .h5, or the prefix of a TensorFlow checkpoint.
        network: Network that takes them, "deeplab" or "modnet".

    Raises:
        FileNotFoundError: no such file. ValueError: none of those, or nothing in it is known.
    """
    if find_definition(network).encoder is None:
        accepted = ", ".join(name for name in NETWORKS if NETWORKS[name].encoder)
        raise MmnetError(f"{network.name}: weights can be converted for {accepted}", "network")
    kind = os.path.splitext(path)[1].lower()
    if os.path.exists(path + ".index"):
        values = of_imagenet(checkpoint.read(path), network)
    elif kind == ".onnx":
        values = of_modnet(read_onnx(path))
    elif kind in (".h5", ".hdf5"):
        values = of_imagenet(of_keras(read_h5(path)), network)
    elif is_zip(path):
        values = of_modnet(read_torch(path))
    else:
        raise MmnetError(
            "%s is neither a PyTorch checkpoint (a zip), nor .onnx, nor .h5, nor the prefix of a "
            "TensorFlow checkpoint" % path
        )
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def of_modnet(tensors):
    """Tensors by the authors' names -> values by ours; what is not MODNet's is left out."""
    values = {}
    for name, tensor in tensors.items():
        ours = modnet_name(name)
        if ours is not None:
            values[ours] = as_ours(ours, tensor)
    return values


def modnet_name(name):
    """``f_branch.conv_f.0.layers.0.weight`` -> ``MODNet/f_branch/conv_f_0/weights``.

    None for what is not a variable of MODNet's.
    """
    name = re.sub(r"^(state_dict\.)?(module\.)?(lr_branch\.(?=backbone\.))?", "", name)
    found = re.match(r"backbone\.model\.features\.(\d+)\.(?:conv\.)?(\d+)\.(\w+)$", name)
    if found:
        block, index, ending = int(found[1]), int(found[2]), found[3]
        return mobilenet_name(block, index, ending)
    found = re.match(r"lr_branch\.se_block\.fc\.([02])\.weight$", name)
    if found:
        layer = {"0": "squeeze", "2": "excite"}[found[1]]
        return "MODNet/lr_branch/se_block/%s/weights" % layer
    found = re.match(r"((?:lr|hr|f)_branch)\.(\w+)(?:\.(\d))?\.layers\.(.+)$", name)
    if not found:
        return None
    layer = "_".join(filter(None, found.group(2, 3)))
    scope, ending = "MODNet/%s/%s/" % (found[1], layer), found[4]
    if ending in ("0.weight", "0.bias"):
        return scope + {"0.weight": "weights", "0.bias": "biases"}[ending]
    kind, _, ending = ending.rpartition(".")
    if kind != "1.bnorm" or ending not in ENDINGS:
        return None
    return scope + "BatchNorm/" + ENDINGS[ending]


def mobilenet_name(block, index, ending):
    """PyTorch's place in MobileNetV2 -> our name; None for a counter.

    Args:
        block: of ``features``. index: of its layers: convolution, batch norm, ReLU6, ...
    """
    if block in (0, 18):
        layer, norm = ("Conv", "Conv_1")[block > 0], index
        kernel = "weights"
    else:
        # Expand, depthwise and project: three indices each, but project has no ReLU6.
        parts = ["expand", "depthwise", "project"][-3 if block > 1 else -2 :]
        if index // 3 >= len(parts):
            return None
        part, norm = parts[index // 3], index % 3
        layer = "expanded_conv%s/%s" % ("_%d" % (block - 1) if block > 1 else "", part)
        kernel = "depthwise_weights" if part == "depthwise" else "weights"
    scope = "MODNet/MobilenetV2/%s/" % layer
    if norm == 0:
        return scope + kernel if ending == "weight" else None
    return scope + "BatchNorm/" + ENDINGS[ending] if ending in ENDINGS else None


def as_ours(name, tensor):
    """A tensor of PyTorch in TensorFlow's order: [out,in,h,w] -> [h,w,in,out]."""
    tensor = np.asarray(tensor)
    if name.endswith("weights") and tensor.ndim == 2:
        tensor = tensor[..., np.newaxis, np.newaxis]
    if tensor.ndim != 4:
        return tensor
    if name.endswith("/depthwise_weights"):  # [channels,1,h,w] -> [h,w,channels,1]
        return tensor.transpose(2, 3, 0, 1)
    return tensor.transpose(2, 3, 1, 0)


def of_imagenet(values, network):
    """MobileNetV2's values by slim's names -> those of a network's encoder.

    Batch norm's epsilon there is 1e-3: what is more of it goes into the variance. The pictures
    there are in -1..1: where ours are in 0..1, the first convolution takes that over (a border
    of a pixel aside, where it pads with 0).
    """
    scope = find_definition(network).encoder
    found = {
        "%s/%s" % (scope, name): value
        for name, value in values.items()
        if re.match(
            r"MobilenetV2/(Conv|Conv_1|expanded_conv(_\d+)?/\w+)/(\w+|BatchNorm/\w+)$", name
        )
    }
    for name in found:
        if name.endswith("/moving_variance"):
            found[name] = found[name] + (EPSILON_OF_IMAGENET - EPSILON)
    first = scope + "/MobilenetV2/Conv/"
    if scope == "DeepLab" and first + "weights" in found:
        kernel = found[first + "weights"]
        mean = first + "BatchNorm/moving_mean"
        found[first + "weights"] = 2 * kernel
        found[mean] = found[mean] + kernel.sum(axis=(0, 1, 2))
    return found


def of_keras(values):
    """MobileNetV2's values by Keras' names, ``layer/kernel`` -> by slim's names."""
    renamed = {}
    for name, value in values.items():
        layer, _, ending = name.rpartition("/")
        layer = re.sub(r"^block_(\d+)_", r"expanded_conv_\1_", layer)
        layer = re.sub(r"^(bn_Conv1|Conv1_bn|Conv1)$", "Conv", layer)
        layer = re.sub(r"(_BN|_bn)$", "", layer)
        layer = re.sub(r"^(expanded_conv(?:_\d+)?)_(\w+)$", r"\1/\2", layer)
        if ending in ("gamma", "beta", "moving_mean", "moving_variance"):
            renamed["MobilenetV2/%s/BatchNorm/%s" % (layer, ending)] = value
        elif layer.endswith("/depthwise"):
            renamed["MobilenetV2/%s/depthwise_weights" % layer] = value
        elif ending == "kernel":
            renamed["MobilenetV2/%s/weights" % layer] = value
    return renamed


def read_h5(path):
    """The datasets of Keras' weights: ``layer/kernel`` -> array."""
    try:
        import h5py  # TensorFlow brings it
    except ImportError:
        raise MmnetError("reading an .h5 needs the package h5py: pip install h5py") from None
    values = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            parts = name.split("/")
            values["%s/%s" % (parts[0], parts[-1].split(":")[0])] = item[()]

    try:
        with h5py.File(io.BytesIO(read_bytes(path)), "r") as file:
            file.get("model_weights", file).visititems(take)
    except (OSError, KeyError, RuntimeError) as error:
        raise MmnetError("%s is not an .h5 file of weights (%s)" % (path, error)) from None
    return values


def read_onnx(path):
    """The weights of an ONNX file of MODNet by the authors' names.

    Exporting multiplies batch norm into MobileNetV2's convolutions, which then have other names:
    they are told by their order, and their batch norm adds what is left of it, a bias.
    """
    try:
        import onnx
    except ImportError:
        raise MmnetError("reading an .onnx needs the package onnx: pip install onnx") from None
    try:
        graph = onnx.load_model_from_string(read_bytes(path)).graph
        values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    except Exception as error:  # protobuf's DecodeError is not importable under one name
        raise MmnetError("%s is not an ONNX model (%s)" % (path, error)) from None
    folded = [
        [values[name] for name in node.input[1:] if name in values]
        for node in graph.node
        if node.op_type == "Conv" and modnet_name(node.input[1]) is None
    ]
    if folded and len(folded) != len(CONVOLUTIONS):
        raise MmnetError(
            "%s is not an ONNX model of MODNet: %d of its convolutions have other names, and "
            "MobileNetV2 has %d" % (path, len(folded), len(CONVOLUTIONS))
        )
    for (block, index), given in zip(CONVOLUTIONS, folded):
        at = "backbone.model.features.%d.%s" % (block, "" if block in (0, 18) else "conv.")
        kernel, bias = given if len(given) == 2 else (given[0], np.zeros(len(given[0])))
        values["%s%d.weight" % (at, index)] = kernel
        norm = {
            "weight": np.full(len(bias), np.sqrt(1 + EPSILON)),
            "bias": bias,
            "running_mean": np.zeros(len(bias)),
            "running_var": np.ones(len(bias)),
        }
        values.update({"%s%d.%s" % (at, index + 1, end): value for end, value in norm.items()})
    return values


# (block, index) of PyTorch's convolutions in MobileNetV2, in their order.
CONVOLUTIONS = (
    [(0, 0), (1, 0), (1, 3)]
    + [(block, index) for block in range(2, 18) for index in (0, 3, 6)]
    + [(18, 0)]
)
