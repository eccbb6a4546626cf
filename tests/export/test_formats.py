"""From a folded inference graph to the bytes of each format."""

import json
import sys

import numpy as np
import pytest

from mmnet.export.export import ExportSpec
from mmnet.export.formats import to_onnx, to_tflite
from mmnet.export.graphs import native_dilations
from mmnet.inference.card import model_sha256
from mmnet.inference.tflite import open_tflite
from mmnet.tf.compat import tf


def dilated_reference(x, weights, dilation):
    """SAME depthwise convolution of [1,H,W,C] with [3,3,C,1], pixel by pixel."""
    padded = np.pad(x, [(0, 0), (dilation, dilation), (dilation, dilation), (0, 0)], "constant")
    height, width = x.shape[1:3]

    def moved(row, column):
        top, left = row * dilation, column * dilation
        return padded[:, top : top + height, left : left + width]

    return sum(
        moved(row, column) * weights[row, column, :, 0] for row in range(3) for column in range(3)
    )


def test_tflite_computes_the_dilation(tmp_path):
    """One dilated convolution against numpy: what no session may run, the converter gets right."""
    random = np.random.RandomState(0)
    x = random.normal(size=(1, 16, 16, 3)).astype("f")
    weights = random.normal(size=(3, 3, 3, 1)).astype("f")
    with tf.Graph().as_default() as graph:
        y = tf.space_to_depth(tf.placeholder(tf.float32, x.shape, name="input_x"), 4)
        tiled = tf.tile(tf.constant(weights), [1, 1, 16, 1])
        y = tf.nn.depthwise_conv2d(y, tiled, [1, 1, 1, 1], "SAME")
        tf.nn.relu(tf.depth_to_space(y, 4), name="output")
    path = tmp_path / "one.tflite"
    data = to_tflite(native_dilations(graph.as_graph_def()), ExportSpec("tflite", str(path)))
    path.write_bytes(data)
    card = {
        "preprocess": "outside",
        "output_type": "alpha",
        "precision": "float32",
        "sha256": model_sha256(str(path)),
    }
    (tmp_path / "one.tflite.json").write_text(json.dumps(card))
    expected = np.maximum(dilated_reference(x, weights, 4), 0)
    np.testing.assert_allclose(open_tflite(str(path)).run(x), expected, atol=1e-5)


@pytest.mark.parametrize("module", ["onnx", "tf2onnx"])
def test_onnx_without_its_converter(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    if module == "tf2onnx":
        monkeypatch.setitem(sys.modules, "onnx", sys)  # as if it were there
    with pytest.raises(ValueError, match=r"--format onnx needs %s .*pip install" % module):
        to_onnx(tf.GraphDef(), {})
