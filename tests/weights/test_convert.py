"""Tests of mmnet.weights.convert."""

import functools
import os

import numpy as np
import pytest

from helpers import assert_raises
from helpers.torch_zip import write_torch
from mmnet.io.errors import MmnetError
from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import Network
from mmnet.networks.registry import build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.weights.convert import (
    BATCH_NORM,
    ENCODER_EPSILON,
    IMAGENET_EPSILON,
    MOBILENET,
    convert_weights,
    modnet_name,
    read_foreign,
    variable_shapes,
)

MODNET = Network("modnet", 0.25)


def torch_names():
    """Yield the names of all tensors in the published MODNet."""
    for layer in MOBILENET:
        yield f"{layer.convolution}.weight"
        for ending in BATCH_NORM:
            yield f"{layer.norm}.{ending}"
    for index in (0, 2):
        yield f"lr_branch.se_block.fc.{index}.weight"
    lr_layers = ["conv_lr16x", "conv_lr8x", "conv_lr"]
    hr_layers = ["tohr_enc2x", "conv_enc2x", "tohr_enc4x", "conv_enc4x", "conv_hr.0", "conv_hr.1"]
    hr_layers += [f"conv_hr4x.{i}" for i in range(3)] + [f"conv_hr2x.{i}" for i in range(4)]
    f_layers = ["conv_lr4x", "conv_f2x", "conv_f.0", "conv_f.1"]
    layers = [f"lr_branch.{name}" for name in lr_layers]
    layers += [f"hr_branch.{name}" for name in hr_layers]
    for layer in layers + [f"f_branch.{name}" for name in f_layers]:
        yield f"{layer}.layers.0.weight"
        yield f"{layer}.layers.0.bias"
        for ending in BATCH_NORM:
            yield f"{layer}.layers.1.bnorm.{ending}"


TORCH_NAMES = {modnet_name(name): name for name in torch_names()}


@functools.lru_cache(maxsize=None)
def random_values(network):
    """Return random values of a network's variables."""
    random, shapes = np.random.RandomState(0), variable_shapes(network)
    return {name: random.uniform(0.1, 1, shape).astype("f") for name, shape in shapes.items()}


def to_torch_layout(name, value):
    """Transpose [h,w,in,out] -> [out,in,h,w]."""
    if value.ndim < 4:
        return value
    if "se_block" in name:
        return value[0, 0].T
    return value.transpose((2, 3, 0, 1) if name.endswith("depthwise_weights") else (3, 2, 0, 1))


@pytest.fixture(scope="module")
def modnet():
    """Random values of MODNet: our name -> value, and PyTorch name -> tensor."""
    values = random_values(MODNET)
    tensors = {TORCH_NAMES[name]: to_torch_layout(name, value) for name, value in values.items()}
    return values, tensors


@pytest.mark.parametrize("prefix", ["", "module.", "twice"])
def test_published_modnet_is_converted_exactly(modnet, tmp_path, prefix):
    values, tensors = modnet
    contents = dict(tensors, **{"backbone.model.features.0.1.num_batches_tracked": np.array(9)})
    if prefix == "twice":  # the backbone is also a part of a branch
        backbone = [name for name in contents if name.startswith("backbone.")]
        contents.update({f"lr_branch.{name}": contents[name] for name in backbone})
    else:
        contents = {prefix + name: value for name, value in contents.items()}
    write_torch(tmp_path / "modnet.ckpt", contents)
    conversion = convert_weights(str(tmp_path / "modnet.ckpt"), MODNET)
    assert conversion.missing == []
    assert conversion.weights.values.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(conversion.weights.values[name], value)


def test_golden_forward_pass_of_the_official_modnet(test_data, tmp_path):
    golden = np.load(os.path.join(test_data, "golden", "modnet_official.npz"))
    prefix = "variable/"
    names = [name for name in golden.files if name.startswith(prefix)]
    tensors = {name[len(prefix) :]: golden[name] for name in names}
    write_torch(tmp_path / "modnet.ckpt", tensors)
    values = convert_weights(str(tmp_path / "modnet.ckpt"), Network("modnet")).weights.values
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [1, 256, 256, 3])
        outputs = build(Network("modnet"), images, INFERENCE)
        assert sum(v.shape.num_elements() for v in tf.trainable_variables()) == 6487075
        report = checkpoint.restore(session, values, tf.global_variables())
        assert not report.missing and not report.unused
        fetches = dict(outputs.heads, matte=tf.sigmoid(outputs.logits))
        results = session.run(fetches, {images: golden["image_256"]})
    for name, value in results.items():  # the order of sums differs; float16 weights are exact
        np.testing.assert_allclose(value[..., 0], golden[name][:, 0], rtol=0, atol=2e-4)


@pytest.mark.parametrize("is_folded", [False, True], ids=["plain", "folded"])
def test_onnx_of_modnet_is_converted(modnet, tmp_path, is_folded):
    onnx = pytest.importorskip("onnx")
    values, tensors = modnet
    tensors, nodes = dict(tensors), []
    for number, layer in enumerate(MOBILENET):
        names = [f"{layer.convolution}.weight"]
        if is_folded:
            gamma, beta, mean, variance = (
                tensors.pop(f"{layer.norm}.{ending}") for ending in BATCH_NORM
            )
            scale = gamma / np.sqrt(variance + ENCODER_EPSILON)
            kernel = tensors.pop(names[0]) * scale[:, None, None, None]
            names = [f"onnx::Conv_{number}", f"onnx::Bias_{number}"]
            tensors.update(zip(names, (kernel, beta - mean * scale)))
        nodes.append(onnx.helper.make_node("Conv", ["x"] + names, [f"x{number}"]))
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "modnet", [], [], initializers)
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "modnet.onnx"))
    converted = convert_weights(str(tmp_path / "modnet.onnx"), MODNET).weights.values
    assert converted.keys() == values.keys()
    for name, value in values.items():
        if not is_folded or "MobilenetV2" not in name:
            np.testing.assert_array_equal(converted[name], value)
    scope = "MODNet/MobilenetV2/expanded_conv_3/expand"

    def output_for_ones(values):
        """Return the output of a convolution and its batch norm for a pixel of ones."""
        gamma, beta, mean, variance = (
            values[f"{scope}/BatchNorm/{name}"].astype(np.float64) for name in BATCH_NORM.values()
        )
        x = values[f"{scope}/weights"][0, 0].sum(axis=0)
        return gamma * (x - mean) / np.sqrt(variance + ENCODER_EPSILON) + beta

    np.testing.assert_allclose(output_for_ones(converted), output_for_ones(values), rtol=1e-5)


def imagenet_values():
    """Return MobileNetV2 with slim's names, and variables that are not converted."""
    prefix = "MODNet/"
    values = {name[len(prefix) :]: value for name, value in random_values(MODNET).items()}
    values = {name: value for name, value in values.items() if name.startswith("MobilenetV2/")}
    others = ("MobilenetV2/Logits/Conv2d_1c_1x1/weights", "MobilenetV2/Conv/weights/RMSProp")
    return dict(values, **{name: np.ones(3, "f") for name in others})


def keras_values(values):
    """Yield (name in Keras, value) for values with the names of slim."""
    for name, value in values.items():
        scope, _, ending = name[len("MobilenetV2/") :].rpartition("/")
        if scope.startswith("Logits") or ending == "RMSProp":
            continue
        layer = scope.replace("/BatchNorm", "")
        is_batch_norm = layer != scope
        if layer == "Conv":
            keras = "bn_Conv1" if is_batch_norm else "Conv1"
        elif layer == "Conv_1":
            keras = "Conv_1_bn" if is_batch_norm else "Conv_1"
        else:
            keras = layer.replace("expanded_conv_", "block_").replace("/", "_")
            keras += "_BN" if is_batch_norm else ""
        ending = {"weights": "kernel", "depthwise_weights": "depthwise_kernel"}.get(ending, ending)
        yield f"{keras}/{keras}/{ending}:0", value


@pytest.mark.parametrize("kind", ["slim", "keras"])
@pytest.mark.parametrize("network, scope", [("deeplab", "DeepLab/"), ("modnet", "MODNet/")])
def test_imagenet_weights_become_the_encoder(tmp_path, kind, network, scope):
    values = imagenet_values()
    path = str(tmp_path / "mobilenet_v2.h5")
    if kind == "slim":
        checkpoint.write(path, values)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, value in keras_values(values):
                file[name] = value
    network = Network(network, 0.25)
    conversion = convert_weights(path, network)
    converted = conversion.weights.values
    variables = random_values(network)
    assert converted.keys() == {name for name in variables if "/MobilenetV2/" in name}
    assert conversion.missing == sorted(variables.keys() - converted.keys())
    for name, value in converted.items():
        original = values[name[len(scope) :]]
        if name.endswith("moving_variance"):
            np.testing.assert_allclose(
                value + ENCODER_EPSILON, original + IMAGENET_EPSILON, rtol=1e-5
            )
        elif network.name == "modnet" or "/MobilenetV2/Conv/" not in name:
            np.testing.assert_array_equal(value, original)
    if network.name == "deeplab":  # it takes images in 0..1; MobileNetV2 takes -1..1
        pixels = np.random.RandomState(1).rand(3, 3, 3)
        kernel, mean = ("MobilenetV2/Conv/weights", "MobilenetV2/Conv/BatchNorm/moving_mean")
        output = np.tensordot(pixels, converted[scope + kernel], 3) - converted[scope + mean]
        expected = np.tensordot(2 * pixels - 1, values[kernel], 3) - values[mean]
        np.testing.assert_allclose(output, expected, rtol=1e-4)


def test_conversion_rejects_weights_of_another_network(modnet, tmp_path):
    _, tensors = modnet
    path = str(tmp_path / "modnet.ckpt")
    write_torch(path, tensors)
    with assert_raises(MmnetError, path, "modnet", "width_multiplier 1", "MODNet/"):
        convert_weights(path, Network("modnet"))
    with assert_raises(MmnetError, path, "deeplab"):
        convert_weights(path, Network("deeplab", 0.25))
    with assert_raises(MmnetError, "network", "mmnet", "deeplab, deeplab_os8, modnet"):
        convert_weights(path, Network("mmnet"))
    write_torch(path, {"a": np.ones(3, "f")})
    with assert_raises(MmnetError, path, "modnet"):
        convert_weights(path, MODNET)
    write_torch(path, dict(tensors, **{"f_branch.conv_f.1.layers.0.bias": np.full(1, np.nan, "f")}))
    with assert_raises(MmnetError, path, "1 of 1", "MODNet/f_branch/conv_f_1/biases"):
        convert_weights(path, MODNET)


@pytest.mark.parametrize("name, token", [("a.ckpt", "zip"), ("a.onnx", "ONNX"), ("a.h5", ".h5")])
def test_conversion_rejects_other_files(tmp_path, name, token):
    path = tmp_path / name
    with pytest.raises(FileNotFoundError):
        read_foreign(str(path), MODNET, {})
    path.write_text("text")
    with assert_raises(MmnetError, path, token):
        read_foreign(str(path), MODNET, {})
