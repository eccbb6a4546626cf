"""Convert weights of other projects to our variable names and layouts.

The authors of MODNet publish PyTorch checkpoints, and others publish ONNX files of them. Weights of
MobileNetV2 for ImageNet exist as TensorFlow checkpoints (slim) and as .h5 files of Keras; both
become the encoder of deeplab or modnet.
"""

import io
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from mmnet.io.errors import MmnetError, shorten, shorten_name
from mmnet.io.files import read_bytes
from mmnet.io.optional import import_optional
from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import Network
from mmnet.networks.registry import NETWORKS, build, find_definition, input_shape
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.weights.torch_file import MAX_NAME_LENGTH, read_torch
from mmnet.weights.values import Weights, check_finite

BATCH_NORM = {  # name in PyTorch -> name in TensorFlow
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
MAX_BYTES = 1 << 27  # largest foreign file; MODNet has 26 MB
ENCODER_EPSILON = 1e-5  # batch norm in deeplab and modnet
IMAGENET_EPSILON = 1e-3  # batch norm in MobileNetV2 for ImageNet


class Layer(NamedTuple):
    """A convolution of MobileNetV2, followed by batch norm."""

    convolution: str  # name in PyTorch
    norm: str  # name of the batch norm in PyTorch
    scope: str  # name of both in TensorFlow


def _mobilenet_layers() -> List[Layer]:
    blocks = [["Conv"], ["expanded_conv/depthwise", "expanded_conv/project"]]
    for number in range(1, 17):
        parts = ("expand", "depthwise", "project")
        blocks.append([f"expanded_conv_{number}/{part}" for part in parts])
    blocks.append(["Conv_1"])
    layers = []
    for block, scopes in enumerate(blocks):
        prefix = f"backbone.model.features.{block}." + ("conv." if len(scopes) > 1 else "")
        for number, scope in enumerate(scopes):
            layers.append(Layer(f"{prefix}{3 * number}", f"{prefix}{3 * number + 1}", scope))
    return layers


def _kernel_name(scope):
    """Return the name of a convolution's weights in TensorFlow."""
    return f"{scope}/{'depthwise_weights' if scope.endswith('/depthwise') else 'weights'}"


MOBILENET = _mobilenet_layers()
MODNET_NAMES = {  # names outside the branches: PyTorch -> TensorFlow
    "lr_branch.se_block.fc.0.weight": "MODNet/lr_branch/se_block/squeeze/weights",
    "lr_branch.se_block.fc.2.weight": "MODNet/lr_branch/se_block/excite/weights",
}
for layer in MOBILENET:
    scope = f"MODNet/MobilenetV2/{layer.scope}"
    MODNET_NAMES[f"{layer.convolution}.weight"] = _kernel_name(scope)
    for torch_name, name in BATCH_NORM.items():
        MODNET_NAMES[f"{layer.norm}.{torch_name}"] = f"{scope}/BatchNorm/{name}"
BRANCH_NAMES = {"layers.0.weight": "weights", "layers.0.bias": "biases"}
BRANCH_NAMES.update({f"layers.1.bnorm.{key}": f"BatchNorm/{BATCH_NORM[key]}" for key in BATCH_NORM})

KERAS_LAYERS = (  # layer in Keras -> layer in slim: patterns that are applied in this order
    (r"^block_(\d+)_", r"expanded_conv_\1_"),
    (r"^(bn_Conv1|Conv1_bn|Conv1)$", "Conv"),
    (r"(_BN|_bn)$", ""),
    (r"^(expanded_conv(?:_\d+)?)_(\w+)$", r"\1/\2"),
)


class Conversion(NamedTuple):
    """Converted weights."""

    weights: Weights
    missing: List[str]  # variables of the network that the file does not contain


def convert_weights(path: str, network: Network) -> Conversion:
    """Read the weights of another project, as ``read_foreign``."""
    shapes = variable_shapes(network)
    values = read_foreign(path, network, shapes)
    check_finite(path, values)
    return Conversion(Weights(network, values, path), sorted(shapes.keys() - values.keys()))


def variable_shapes(network: Network) -> Dict[str, List[int]]:
    """Return the shape of each variable of a network by name."""
    with tf.Graph().as_default():
        build(network, tf.placeholder(tf.float32, input_shape(network, 1)), INFERENCE)
        return {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}


def read_foreign(
    path: str, network: Network, shapes: Dict[str, List[int]]
) -> Dict[str, np.ndarray]:
    """Read the variables of a network from a file of another project: name -> float32 array.

    Args:
        path: .ckpt, .pth or .pt of PyTorch, .onnx, .h5, or the prefix of a TensorFlow checkpoint.
        network: deeplab or modnet, or a variant of them.
        shapes: ``variable_shapes(network)``.
    """
    scope = find_definition(network).encoder
    if scope is None:
        accepted = ", ".join(name for name in NETWORKS if NETWORKS[name].encoder)
        raise MmnetError(f"{network.name}: weights can be converted for {accepted}", "network")
    extension = os.path.splitext(path)[1].lower()
    if os.path.exists(path + ".index"):
        tensors = rename_mobilenet(checkpoint.read(path), scope)
    elif extension in (".h5", ".hdf5"):
        tensors = rename_mobilenet(rename_keras(read_h5(path)), scope)
    elif extension == ".onnx":
        return load_variables(path, network, shapes, convert_modnet(read_onnx(path)))
    else:
        tensors = convert_modnet(read_torch(read_bytes(path, MAX_BYTES), path))
        return load_variables(path, network, shapes, tensors)
    return adapt_mobilenet(load_variables(path, network, shapes, tensors), scope)


def load_variables(
    path: str, network: Network, shapes: Dict[str, List[int]], tensors: Dict[str, Any]
) -> Dict[str, np.ndarray]:
    """Load the tensors that are variables of a network. Check shape and type of each before.

    Args:
        tensors: our variable name -> array, or a dataset of h5py, which is read here.
    """
    names = [name for name in tensors if name in shapes]
    if not names:
        raise MmnetError(f"{path}: contains no weights of {network.name}")
    values = {}
    for name in names:
        tensor = tensors[name]
        if list(tensor.shape or ()) != shapes[name]:
            raise MmnetError(
                f"{path}: is not {network.name} with width_multiplier "
                f"{network.width_multiplier:g}: {name} has the shape "
                f"{shorten(list(tensor.shape or ()))}, expected {shapes[name]}"
            )
        try:
            if not np.can_cast(tensor.dtype, np.float32, "same_kind"):
                raise TypeError(f"{tensor.dtype} is no type of numbers")
            with np.errstate(over="ignore"):  # infinite values are reported later
                values[name] = np.asarray(tensor, np.float32)
        except (OSError, RuntimeError, TypeError, ValueError) as error:  # h5py
            reason = shorten_name(str(error))
            raise MmnetError(f"{path}: {name} cannot be read ({reason})") from None
    return values


def convert_modnet(tensors: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Convert the tensors of MODNet from PyTorch to TensorFlow. Unknown tensors are ignored."""
    names = {torch_name: modnet_name(torch_name) for torch_name in tensors}
    return {name: transpose_kernel(name, tensors[key]) for key, name in names.items() if name}


def modnet_name(torch_name: str) -> Optional[str]:
    """Convert a PyTorch name to ours, or return None if MODNet has no such variable.

    Example: ``f_branch.conv_f.0.layers.0.weight`` -> ``MODNet/f_branch/conv_f_0/weights``.
    """
    prefix = r"^(state_dict\.)?(module\.)?(lr_branch\.(?=backbone\.))?"
    torch_name = re.sub(prefix, "", torch_name)
    if torch_name in MODNET_NAMES:
        return MODNET_NAMES[torch_name]
    match = re.match(r"(lr|hr|f)_branch\.(\w+(?:\.\d)?)\.(layers\..+)$", torch_name)
    if match is None or match[3] not in BRANCH_NAMES:
        return None
    layer = match[2].replace(".", "_")
    return f"MODNet/{match[1]}_branch/{layer}/{BRANCH_NAMES[match[3]]}"


def transpose_kernel(name: str, tensor: np.ndarray) -> np.ndarray:
    """Transpose a kernel from PyTorch to TensorFlow: [out,in,h,w] -> [h,w,in,out]."""
    tensor = np.asarray(tensor)
    if name.endswith("weights") and tensor.ndim == 2:  # a fully connected layer
        tensor = tensor[..., np.newaxis, np.newaxis]
    if tensor.ndim != 4:
        return tensor
    if name.endswith("/depthwise_weights"):  # [channels,1,h,w] -> [h,w,channels,1]
        return tensor.transpose(2, 3, 0, 1)
    return tensor.transpose(2, 3, 1, 0)


def rename_mobilenet(values: Dict[str, Any], scope: str) -> Dict[str, Any]:
    """Rename MobileNetV2 from slim to the encoder of a network."""
    pattern = r"MobilenetV2/(Conv|Conv_1|expanded_conv(_\d+)?/\w+)/(\w+|BatchNorm/\w+)$"
    return {f"{scope}/{name}": values[name] for name in values if re.match(pattern, name)}


def adapt_mobilenet(values: Dict[str, np.ndarray], scope: str) -> Dict[str, np.ndarray]:
    """Adapt MobileNetV2 for ImageNet to the epsilon and the input of our encoder.

    The variance absorbs the difference of epsilon. MobileNetV2 takes images in -1..1. If the
    network takes 0..1, the first convolution absorbs the difference, except at the border of the
    image, which is padded with 0.
    """
    encoder = dict(values)
    for name in encoder:
        if name.endswith("/moving_variance"):
            encoder[name] = encoder[name] + (IMAGENET_EPSILON - ENCODER_EPSILON)
    kernel_name = f"{scope}/MobilenetV2/Conv/weights"
    mean_name = f"{scope}/MobilenetV2/Conv/BatchNorm/moving_mean"
    if scope == "DeepLab" and {kernel_name, mean_name} <= encoder.keys():
        kernel = encoder[kernel_name]
        encoder[kernel_name] = 2 * kernel
        encoder[mean_name] = encoder[mean_name] + kernel.sum(axis=(0, 1, 2))
    return encoder


def rename_keras(values: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Rename MobileNetV2 from Keras (``layer/kernel``) to slim."""
    renamed = {}
    for name, value in values.items():
        layer, _, ending = name.rpartition("/")
        for pattern, replacement in KERAS_LAYERS:
            layer = re.sub(pattern, replacement, layer)
        if ending in BATCH_NORM.values():
            renamed[f"MobilenetV2/{layer}/BatchNorm/{ending}"] = value
        elif ending in ("kernel", "depthwise_kernel"):
            renamed[_kernel_name(f"MobilenetV2/{layer}")] = value
    return renamed


def read_h5(path: str) -> Dict[str, Any]:
    """Return the datasets in an .h5 file of Keras, which h5py reads later: ``layer/kernel`` -> it.

    Links to other files are ignored.
    """
    h5py = import_optional("h5py", f"{path}: reading an .h5", "train")
    datasets = {}

    def add(name):
        if len(name) > MAX_NAME_LENGTH:
            raise MmnetError(f"{path}: contains a name of {len(name)} characters")
        item = file[name]
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise MmnetError(f"{path}: {shorten_name(name)} is stored in another file")
            name = re.sub("^model_weights/", "", name)
            layer, ending = name.split("/")[0], name.rpartition("/")[2].partition(":")[0]
            datasets[f"{layer}/{ending}"] = item

    data = read_bytes(path, MAX_BYTES)
    try:
        file = h5py.File(io.BytesIO(data), "r")
        file.visit(add)
    except MmnetError:
        raise
    except Exception as error:  # h5py raises other classes on damaged files
        reason = shorten_name(str(error))
        raise MmnetError(f"{path}: not an .h5 file of weights ({reason})") from None
    return datasets


def read_onnx(path: str) -> Dict[str, np.ndarray]:
    """Read the weights in an ONNX file of MODNet: PyTorch name -> array.

    Exporters fold batch norm into the convolutions of MobileNetV2 and rename these. They are
    recognized by their order, and the remaining bias becomes their batch norm.
    """
    onnx = import_optional("onnx", f"{path}: reading an .onnx", "export")
    data = read_bytes(path, MAX_BYTES)
    try:
        graph = onnx.load_model_from_string(data).graph
        values = {str(tensor.name): _onnx_array(onnx, tensor) for tensor in graph.initializer}
    except Exception as error:  # protobuf raises other classes on other versions
        raise MmnetError(f"{path}: not an ONNX model ({shorten_name(str(error))})") from None
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    # str: protobuf returns names that are not UTF-8 as bytes.
    inputs = [list(map(str, node.input[1:3])) for node in convolutions]
    folded = [names for names in inputs if not names or modnet_name(names[0]) is None]
    if len(folded) not in (0, len(MOBILENET)):
        raise MmnetError(
            f"{path}: not an ONNX model of MODNet: {len(folded)} convolutions have unknown names, "
            f"but MobileNetV2 has {len(MOBILENET)}"
        )
    for layer, names in zip(MOBILENET, folded):
        names = [name for name in names if name]  # an absent bias has an empty name
        if not names or not all(name in values for name in names) or not values[names[0]].ndim:
            raise MmnetError(f"{path}: a convolution has no kernel or no bias in the file")
        kernel, *bias = (values[name] for name in names)
        channels = len(kernel)
        values[f"{layer.convolution}.weight"] = kernel
        # The batch norm adds the bias and changes nothing else.
        values[f"{layer.norm}.weight"] = np.full(channels, np.sqrt(1 + ENCODER_EPSILON))
        values[f"{layer.norm}.bias"] = bias[0] if bias else np.zeros(channels)
        values[f"{layer.norm}.running_mean"] = np.zeros(channels)
        values[f"{layer.norm}.running_var"] = np.ones(channels)
    return values


def _onnx_array(onnx, tensor):
    """Return the array of an ONNX tensor. Check its declaration before allocating memory."""
    proto, name = onnx.TensorProto, shorten_name(str(tensor.name))
    if tensor.data_location == proto.EXTERNAL:
        raise MmnetError(f"{name} is stored in another file")
    if tensor.data_type in (proto.STRING, proto.COMPLEX64, proto.COMPLEX128):
        raise MmnetError(f"{name} contains no real numbers")
    if any(side < 0 or side > MAX_BYTES for side in tensor.dims):
        raise MmnetError(f"{name} has the shape {shorten(list(tensor.dims))}")
    array = onnx.numpy_helper.to_array(tensor)
    return array.astype(np.float32) if tensor.data_type == proto.BFLOAT16 else array
