import os

import numpy as np
import pytest

from helpers.torch_zip import write_torch
from mmnet.cli import main
from mmnet.commands.presets import network_in
from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import Network
from mmnet.networks.registry import build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.weights.convert import CONVOLUTIONS, modnet_name, read_foreign

WIDTH = 0.25  # of what is made up here


def official(name):
    """Our name -> the authors' (module names and index), the other way round than modnet_name."""
    for candidate in CANDIDATES:
        if modnet_name(candidate) == name:
            return candidate
    raise AssertionError(name)


def candidates():
    norm = ("weight", "bias", "running_mean", "running_var")
    for block, index in CONVOLUTIONS:
        at = "backbone.model.features.%d.%s" % (block, "" if block in (0, 18) else "conv.")
        yield "%s%d.weight" % (at, index)
        for end in norm:
            yield "%s%d.%s" % (at, index + 1, end)
    for index in (0, 2):
        yield "lr_branch.se_block.fc.%d.weight" % index
    layers = ["lr_branch.conv_lr16x", "lr_branch.conv_lr8x", "lr_branch.conv_lr"]
    layers += ["hr_branch.%s" % at for at in ("tohr_enc2x", "conv_enc2x", "tohr_enc4x")]
    layers += ["hr_branch.conv_enc4x"] + ["hr_branch.conv_hr4x.%d" % at for at in range(3)]
    layers += ["hr_branch.conv_hr2x.%d" % at for at in range(4)]
    layers += ["hr_branch.conv_hr.0", "hr_branch.conv_hr.1"]
    layers += ["f_branch.%s" % at for at in ("conv_lr4x", "conv_f2x", "conv_f.0", "conv_f.1")]
    for layer in layers:
        yield layer + ".layers.0.weight"
        yield layer + ".layers.0.bias"
        for end in norm:
            yield "%s.layers.1.bnorm.%s" % (layer, end)


CANDIDATES = list(candidates())


def variables_of(network):
    """Random values of a network's variables: name -> array."""
    random = np.random.RandomState(0)
    with tf.Graph().as_default():
        build(network, tf.placeholder(tf.float32, [1, 64, 64, 3]), INFERENCE)
        return {
            one.op.name: random.uniform(0.1, 1, one.shape.as_list()).astype("f")
            for one in tf.global_variables()
        }


def as_theirs(name, value):
    """[h,w,in,out] -> [out,in,h,w]."""
    if value.ndim < 4:
        return value
    if "se_block" in name:
        return value[0, 0].T
    order = (2, 3, 0, 1) if name.endswith("depthwise_weights") else (3, 2, 0, 1)
    return value.transpose(order)


@pytest.fixture(scope="module")
def modnet():
    """(values by our names, by the authors')."""
    ours = variables_of(Network("modnet", WIDTH))
    theirs = {official(name): as_theirs(name, value) for name, value in ours.items()}
    return ours, theirs


def convert(path, network, output, *more):
    command = ["weights", "convert", str(path), "--network", network, "--output", str(output)]
    return main(command + list(more))


@pytest.mark.parametrize("before", ["", "module.", "twice"])
def test_a_published_modnet(modnet, tmp_path, capfd, before):
    ours, theirs = modnet
    named = dict(theirs, **{"backbone.model.features.0.1.num_batches_tracked": np.array(9)})
    if before == "twice":  # the backbone is a part of a branch as well
        named.update(
            {"lr_branch." + name: named[name] for name in named if name.startswith("backbone.")}
        )
    else:
        named = {before + name: value for name, value in named.items()}
    write_torch(tmp_path / "modnet.ckpt", named)
    prefix = tmp_path / "converted" / "MMNetModel-0"
    assert convert(tmp_path / "modnet.ckpt", "modnet", prefix, "--width_multiplier", "0.25") == 0
    assert capfd.readouterr().out == "%s\n  %d variables\n" % (prefix, len(ours))
    read = checkpoint.read(str(prefix))
    assert read.keys() == ours.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(read[name], value)
    said = network_in(str(tmp_path / "converted" / "config.yaml"))
    assert (said["name"], said["width_multiplier"]) == ("modnet", WIDTH)


def test_golden_forward_pass_of_the_official_modnet(test_data, tmp_path, capfd):
    golden = np.load(os.path.join(test_data, "golden", "modnet_official.npz"))
    start = "variable/"
    named = {name[len(start) :]: golden[name] for name in golden.files if name.startswith(start)}
    write_torch(tmp_path / "modnet.ckpt", named)
    values = read_foreign(str(tmp_path / "modnet.ckpt"), Network("modnet"))
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [1, 256, 256, 3])
        outputs = build(Network("modnet"), images, INFERENCE)
        assert sum(one.shape.num_elements() for one in tf.trainable_variables()) == 6487075
        report = checkpoint.restore(session, values, tf.global_variables())
        assert not report.missing and not report.unused
        fetches = dict(outputs.heads, matte=tf.sigmoid(outputs.logits))
        fetched = session.run(fetches, {images: golden["image_256"]})
    for name, value in fetched.items():  # sums in another order; weights of float16 are exact
        np.testing.assert_allclose(value[..., 0], golden[name][:, 0], rtol=0, atol=2e-4)


@pytest.mark.parametrize("folded", [False, True])
def test_modnet_as_onnx(modnet, tmp_path, folded):
    onnx = pytest.importorskip("onnx")
    ours, theirs = modnet
    tensors, nodes = dict(theirs), []
    for block, index in CONVOLUTIONS:
        at = "backbone.model.features.%d.%s" % (block, "" if block in (0, 18) else "conv.")
        kernel, norm = "%s%d.weight" % (at, index), "%s%d." % (at, index + 1)
        names = [kernel]
        if folded:
            gamma, beta, mean, variance = (
                tensors.pop(norm + end) for end in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gamma / np.sqrt(variance + 1e-5)
            names = ["onnx::Conv_%d" % len(nodes), "onnx::Bias_%d" % len(nodes)]
            tensors[names[0]] = tensors.pop(kernel) * scale[:, None, None, None]
            tensors[names[1]] = beta - mean * scale
        nodes.append(onnx.helper.make_node("Conv", ["x"] + names, ["x%d" % len(nodes)]))
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "modnet", [], [], initializers)
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "modnet.onnx"))
    read = read_foreign(str(tmp_path / "modnet.onnx"), Network("modnet", WIDTH))
    assert read.keys() == ours.keys()
    for name, value in ours.items():
        if not folded or "MobilenetV2" not in name:
            np.testing.assert_array_equal(read[name], value)
    layer = "MODNet/MobilenetV2/expanded_conv_3/expand/"

    def through(values):
        """A pixel of ones through a convolution and its batch norm."""
        gamma, beta, mean, variance = (
            values[layer + "BatchNorm/" + end].astype(np.float64)
            for end in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        x = values[layer + "weights"][0, 0].sum(axis=0)
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    np.testing.assert_allclose(through(read), through(ours), rtol=1e-5)


def imagenet_values():
    """MobileNetV2 by slim's names, with its last convolution and what else lies there."""
    ours = variables_of(Network("modnet", WIDTH))
    start = "MODNet/"
    values = {name[len(start) :]: value for name, value in ours.items() if "/MobilenetV2/" in name}
    others = ("MobilenetV2/Logits/Conv2d_1c_1x1/weights", "MobilenetV2/Conv/weights/RMSProp")
    return dict(values, **{name: np.ones(3, "f") for name in others})


def keras_names(values):
    """slim's names -> those of Keras' .h5 files."""
    for name, value in values.items():
        _, layer, ending = name.split("/", 2)
        part, _, ending = ending.rpartition("/")
        norm = part.endswith("BatchNorm")
        part = part.replace("BatchNorm", "").strip("/")
        if layer == "Conv":
            keras = "bn_Conv1" if norm else "Conv1"
        elif layer == "Conv_1":
            keras = "Conv_1_bn" if norm else "Conv_1"
        elif layer.startswith("expanded_conv"):
            block = layer.replace("expanded_conv_", "block_")
            keras = "%s_%s%s" % (block, part, "_BN" if norm else "")
        else:
            continue
        ending = {"weights": "kernel", "depthwise_weights": "depthwise_kernel"}.get(ending, ending)
        if ending != "RMSProp":
            yield "%s/%s/%s:0" % (keras, keras, ending), value


@pytest.mark.parametrize("kind", ["slim", "keras"])
@pytest.mark.parametrize("network, scope", [("deeplab", "DeepLab/"), ("modnet", "MODNet/")])
def test_weights_for_imagenet_go_into_the_encoder(tmp_path, capfd, kind, network, scope):
    values = imagenet_values()
    if kind == "slim":
        path = str(tmp_path / "mobilenet_v2.ckpt")
        checkpoint.write(path, values)
    else:
        h5py = pytest.importorskip("h5py")
        path = str(tmp_path / "mobilenet_v2.h5")
        with h5py.File(path, "w") as file:
            for name, value in keras_names(values):
                file[name] = value
    prefix = str(tmp_path / "encoder" / "MMNetModel-0")
    assert convert(path, network, prefix, "--width_multiplier", "0.25") == 0
    assert "--ignore_missing_vars starts those fresh" in capfd.readouterr().out
    read = checkpoint.read(prefix)
    names = {name for name in variables_of(Network(network, WIDTH)) if "/MobilenetV2/" in name}
    assert read.keys() == names
    for name, value in read.items():
        theirs = values[name[len(scope) :]]
        if name.endswith("moving_variance"):  # its epsilon was greater
            np.testing.assert_allclose(value + 1e-5, theirs + 1e-3, rtol=1e-5)
        elif network == "modnet" or "/MobilenetV2/Conv/" not in name:
            np.testing.assert_array_equal(value, theirs)
    if network == "deeplab":  # takes pictures in 0..1, they took -1..1
        pixels = np.random.RandomState(1).rand(3, 3, 3)
        kernel = scope + "MobilenetV2/Conv/weights"
        mean = scope + "MobilenetV2/Conv/BatchNorm/moving_mean"
        ours = np.tensordot(pixels, read[kernel], 3) - read[mean]
        theirs = np.tensordot(2 * pixels - 1, values[kernel[len(scope) :]], 3)
        np.testing.assert_allclose(ours, theirs - values[mean[len(scope) :]], rtol=1e-4)


def test_bad_input(modnet, tmp_path, capfd):
    _, theirs = modnet
    write_torch(tmp_path / "modnet.ckpt", theirs)
    write_torch(tmp_path / "other.ckpt", {"a": np.ones(3, "f")})
    broken = dict(theirs)
    broken["f_branch.conv_f.1.layers.0.bias"] = np.array([np.nan], "f")
    write_torch(tmp_path / "broken.ckpt", broken)
    (tmp_path / "text.ckpt").write_text("no zip")
    (tmp_path / "text.onnx").write_text("no ONNX")
    (tmp_path / "text.h5").write_text("no HDF5")
    narrow = ["--width_multiplier", "0.25"]
    for name, network, flags, says in (
        ("modnet.ckpt", "modnet", [], "is not modnet of width_multiplier 1: MODNet/"),
        ("modnet.ckpt", "deeplab", narrow, "modnet.ckpt holds no weights of deeplab"),
        ("modnet.ckpt", "mmnet", narrow, "--network mmnet: weights are converted for deeplab"),
        ("modnet.ckpt", "modnett", narrow, "--network modnett: weights are converted for"),
        ("other.ckpt", "modnet", narrow, "other.ckpt holds no weights of modnet"),
        ("broken.ckpt", "modnet", narrow, "1 of the 1 numbers of MODNet/f_branch/conv_f_1/biases"),
        ("text.ckpt", "modnet", narrow, "text.ckpt is neither a PyTorch checkpoint (a zip), nor"),
        ("text.onnx", "modnet", narrow, "text.onnx is not an ONNX model"),
        ("text.h5", "modnet", narrow, "text.h5 is not an .h5 file of weights"),
        ("none.ckpt", "modnet", narrow, "none.ckpt"),
    ):
        assert convert(tmp_path / name, network, tmp_path / "out" / "x", *narrow[: len(flags)]) == 2
        error = capfd.readouterr().err
        assert says in error and error.count("\n") == 1, (name, error)
    assert not (tmp_path / "out").exists()


def test_another_networks_folder_is_left_alone(modnet, tmp_path, capfd):
    _, theirs = modnet
    write_torch(tmp_path / "modnet.ckpt", theirs)
    (tmp_path / "config.yaml").write_text("network: mmnet\n")
    output = tmp_path / "MMNetModel-0"
    assert convert(tmp_path / "modnet.ckpt", "modnet", output, "--width_multiplier", "0.25") == 2
    assert "is the folder of mmnet 1 at 256x256: give another" in capfd.readouterr().err
    assert not (tmp_path / "MMNetModel-0.index").exists()
