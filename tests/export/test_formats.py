"""Tests of mmnet.export.formats."""

import sys

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from helpers.cards import write_card
from helpers.graphs import dilated_convolution
from helpers.models import OLD_EXPORTS
from mmnet.export.export import ExportSpec, check_spec
from mmnet.export.formats import CAN_REPLACE, convert_to_tflite
from mmnet.export.graphs import native_dilations
from mmnet.inference.tflite import open_tflite
from mmnet.io.errors import MmnetError
from mmnet.tf.compat import tf
from mmnet.weights.values import Weights


def test_tflite_computes_native_dilations(tmp_path):
    """No session may run native dilations, so only the converted model can be tested."""
    random = np.random.RandomState(0)
    x = random.normal(size=(1, 16, 16, 3)).astype("f")
    weights = random.normal(size=(3, 3, 3, 1)).astype("f")
    with tf.Graph().as_default() as graph:
        y = tf.space_to_depth(tf.placeholder(tf.float32, x.shape, name="input_x"), 4)
        tiled = tf.tile(tf.constant(weights), [1, 1, 16, 1])
        y = tf.nn.depthwise_conv2d(y, tiled, [1, 1, 1, 1], "SAME")
        tf.nn.relu(tf.depth_to_space(y, 4), name="output")
    path = tmp_path / "one.tflite"
    spec = ExportSpec("tflite", str(path))
    path.write_bytes(convert_to_tflite(native_dilations(graph.as_graph_def()), spec, None))
    card = {"preprocess": "outside", "output_type": "alpha", "precision": "float32"}
    write_card(path, card)
    expected = np.maximum(dilated_convolution(x, weights, 4), 0)
    np.testing.assert_allclose(open_tflite(str(path)).run(x), expected, atol=1e-5)


@pytest.mark.parametrize("module", ["onnx", "tf2onnx", "onnxruntime"])
def test_missing_onnx_package_is_reported_before_the_export(monkeypatch, module):
    for name in ("onnx", "tf2onnx", "onnxruntime"):  # any module: as if it were installed
        monkeypatch.setitem(sys.modules, name, None if name == module else sys)
    spec = ExportSpec("onnx", "x.onnx")
    with assert_raises(MmnetError, module, "pip install"):
        check_spec(spec, Weights(SMALL, {}), is_calibrated=False)


def test_only_earlier_exports_and_cards_are_replaced():
    earlier = dict(OLD_EXPORTS, card=b'{"output_type": "alpha"}')
    for name, is_replaceable in CAN_REPLACE.items():
        assert is_replaceable(earlier[name])
        for data in (b"", b"foreign contents", b"{}", b"[]", b"\xff" * 100, b"[" * 100000):
            assert not is_replaceable(data), name
