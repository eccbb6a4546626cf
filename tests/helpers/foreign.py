"""Small models with the signatures of other projects, whose alpha is known: see known_alpha."""

import numpy as np
import pytest

from mmnet.tf.compat import quiet_converters, tf

WEIGHTS = np.array([0.9, -1.3, 0.7], np.float32)  # of red, green and blue
BIAS = np.float32(0.1)


def known_logits(image, mean=(0, 0, 0), std=(1, 1, 1), scale=1 / 255, order=1):
    """Return the logits that every model here computes: float32 [H,W]."""
    values = (image[..., ::order] * scale - np.array(mean)) / np.array(std)
    return (values @ WEIGHTS.astype(np.float64) + BIAS).astype(np.float32)


def known_alpha(image, *arguments, **keywords):
    """Return the alpha that every model here computes: float32 [H,W], 0..1."""
    return 1 / (1 + np.exp(-known_logits(image, *arguments, **keywords)))


def write_onnx(path, shape, outputs=("output",), *, ends=("Sigmoid",), name="input", inputs=()):
    """Write an ONNX model with one 1x1 convolution. ``shape`` is [1,3,H,W]; a text: any length.

    ends: operations after the convolution; "classes": two logits. The result is the tensor "alpha".
    """
    onnx = pytest.importorskip("onnx", reason="ONNX needs the extra `export`")
    pytest.importorskip("onnxruntime", reason="ONNX needs the extra `export`")
    helper, types = onnx.helper, onnx.TensorProto
    weights, bias = WEIGHTS.reshape(1, 3, 1, 1), np.array([BIAS])
    if "classes" in ends:
        weights, bias = np.concatenate([0 * weights, weights]), np.array([0, BIAS], np.float32)
    nodes = [helper.make_node("Conv", [name, "weights", "bias"], ["conv"])]
    last = "conv"
    for operation in (end for end in ends if end != "classes"):
        attributes = {"axis": 1} if operation == "Softmax" else {}
        if operation == "ArgMax":
            attributes = {"axis": 1, "keepdims": 0}
        nodes.append(helper.make_node(operation, [last], [operation], **attributes))
        last = operation
    nodes.append(helper.make_node("Identity", [last], ["alpha"]))
    is_label = "ArgMax" in ends
    alpha_shape = [shape[0], *shape[2:]] if is_label else [shape[0], len(weights), *shape[2:]]
    dtype = types.INT64 if is_label else types.FLOAT
    inputs = [
        helper.make_tensor_value_info(*pair) for pair in [(name, types.FLOAT, shape), *inputs]
    ]
    values = []
    for index, output in enumerate(outputs):  # only the first one is the alpha
        operation = "Identity" if index == 0 else "Neg"
        nodes.append(helper.make_node(operation, ["alpha"], [output]))
        values.append(helper.make_tensor_value_info(output, dtype, alpha_shape))
    constants = [
        onnx.numpy_helper.from_array(array, label)
        for label, array in (("weights", weights), ("bias", bias))
    ]
    graph = helper.make_graph(nodes, "test", inputs, values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return str(path)


def write_rvm(path):
    """Write a model with the signature of RobustVideoMatting: alpha = (known + r1i) / 2.

    The state r1o is the alpha. The input downsample_ratio is added to r4o.
    """
    onnx = pytest.importorskip("onnx", reason="ONNX needs the extra `export`")
    states, any_shape = ("r1i", "r2i", "r3i", "r4i"), ["batch", "channels", "rows", "columns"]
    inputs = [(name, onnx.TensorProto.FLOAT, any_shape) for name in states]
    inputs.append(("downsample_ratio", onnx.TensorProto.FLOAT, [1]))
    shape = [1, 3, "height", "width"]
    model = onnx.load(write_onnx(path, shape, ("known",), name="src", inputs=inputs))
    del model.graph.output[:]
    for operation, names, output in (
        ("Identity", ["src"], "fgr"),
        ("Add", ["known", "r1i"], "sum"),
        ("Mul", ["sum", "half"], "pha"),
        ("Identity", ["pha"], "r1o"),
        ("Identity", ["r2i"], "r2o"),
        ("Identity", ["r3i"], "r3o"),
        ("Add", ["r4i", "downsample_ratio"], "r4o"),
    ):
        model.graph.node.append(onnx.helper.make_node(operation, names, [output]))
        if output != "sum":
            value = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, any_shape)
            model.graph.output.append(value)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.5), "half"))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return str(path)


def write_tensorflow(path, shape, kind="tflite", name="input_1"):
    """Write a .tflite, .pb or SavedModel with one 1x1 convolution; ``shape`` is [1,H,W,3]."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        images = tf.placeholder(tf.float32, shape, name=name)
        logits = tf.nn.conv2d(images, WEIGHTS.reshape(1, 1, 3, 1), 1, "SAME") + BIAS
        alphas = tf.sigmoid(logits, name="activation_10")
        if kind == "savedmodel":
            tf.saved_model.simple_save(session, str(path), {name: images}, {"alpha": alphas})
            return str(path)
        if kind == "pb":
            data = graph.as_graph_def().SerializeToString()
        else:
            with quiet_converters():
                converter = tf.lite.TFLiteConverter.from_session(session, [images], [alphas])
                data = converter.convert()
        path.write_bytes(data)
    return str(path)
