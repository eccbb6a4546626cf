"""A small network whose alphas differ from pixel to pixel, for tests of what is delivered.

Fresh weights give .5 everywhere, whatever is done to them. The fixtures lively_weights,
lively_predictor, graph_of and delivered (conftest.py) build each thing once a session.
"""

import os

import numpy as np
import pytest

from helpers import SMALL
from mmnet.export.export import ExportSpec, comparison_images, export
from mmnet.export.representative import Calibration
from mmnet.networks.inference_graph import INPUT, inference_graph
from mmnet.networks.layers import BATCH_STATISTICS, TRAINING
from mmnet.networks.registry import build, find_definition
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config
from mmnet.weights.values import read_weights

CLASSIFIER = "Tiny/final_block/pointwise_conv/weights"
RANGES = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5), "biases": (-0.5, 0.5)}


# What an earlier export may have left, as far as export looks into it before it replaces it.
OLDER = {
    "pb": tf.GraphDef(node=[tf.NodeDef(name=INPUT, op="Placeholder")]).SerializeToString(),
    "savedmodel": b"the old one",
    "tflite": b"\0\0\0\0TFL3 the old one",
    "onnx": b"input_x output the old one",
}


def write_lively(folder, network=SMALL):
    """Write the checkpoint of step 5, the same on every TensorFlow; its Weights."""
    prefix = os.path.join(folder, "MMNetModel-5")
    checkpoint.write(prefix, lively_values(network))
    return read_weights(prefix, network)


def lively_values(network=SMALL):
    """Random weights with moving statistics that fit them: name -> array."""
    random, images = np.random.RandomState(0), comparison_images(None, network)
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        build(network, tf.constant(images), TRAINING)
        variables, statistics = tf.global_variables(), tf.get_collection(BATCH_STATISTICS)
        values = {}
        for variable in variables:
            name, shape = variable.op.name, variable.shape.as_list()
            low, high = RANGES.get(name.rpartition("/")[2], (-1, 1))
            values[name] = random.uniform(low, high, shape).astype("f")
        checkpoint.restore(session, values, variables)
        values.update(session.run({variable.op.name: batch for variable, batch in statistics}))
    # Rounding moves random layers more than trained ones.
    classifier = find_definition(network).classifier + "/weights"
    values[classifier] /= 1.5 * np.abs(values[classifier]).sum()
    return values


OUTSIDE = {"preprocess": "outside", "output_type": "probabilities"}
MODELS = {  # name -> ExportSpec, whose path Delivered fills in
    "frozen.pb": ExportSpec(
        "pb", "", output_type="probabilities", fold=False
    ),  # as freeze writes it
    "savedmodel": ExportSpec("savedmodel", ""),
    "mmnet.tflite": ExportSpec("tflite", ""),
    "mmnet.onnx": ExportSpec("onnx", ""),
    "outside.pb": ExportSpec("pb", "", **OUTSIDE),
    "outside": ExportSpec("savedmodel", "", **OUTSIDE),
    "outside.tflite": ExportSpec("tflite", "", **OUTSIDE),
    "outside.onnx": ExportSpec("onnx", "", **OUTSIDE),
    "alpha": ExportSpec("savedmodel", "", preprocess="outside"),
    "logits.tflite": ExportSpec("tflite", "", preprocess="outside", output_type="logits"),
    "logits.onnx": ExportSpec("onnx", "", output_type="logits"),
    "float16.tflite": ExportSpec("tflite", "", precision="float16"),
    "dynamic.tflite": ExportSpec("tflite", "", precision="dynamic"),
    "int8.tflite": ExportSpec("tflite", "", precision="int8"),
    "uint8.tflite": ExportSpec("tflite", "", precision="int8", io="uint8"),
}


def need_onnx():
    """Skip a test of ONNX where the extra `export` is not installed."""
    pytest.importorskip("tf2onnx", reason="ONNX needs the extra `export`")
    pytest.importorskip("onnxruntime", reason="ONNX needs the extra `export`")


class Delivered:
    """Models made of lively weights, each when it is first asked for: names of MODELS -> Cards.

    No test writes into ``folder``.
    """

    def __init__(self, weights, folder):
        self.weights, self.folder, self._cards = weights, folder, {}

    def __call__(self, *names):
        if any(name.endswith(".onnx") for name in names):
            need_onnx()
        new = [name for name in names if name not in self._cards]
        if new:
            forms = [MODELS[name]._replace(path=os.path.join(self.folder, name)) for name in new]
            images, calibration = comparison_images(None, self.weights.network), None
            if any(form.precision == "int8" for form in forms):
                calibration = Calibration(images, "minmax", {"split": "train"})
            self._cards.update(zip(new, export(self.weights, forms, images, calibration)))
        return [self._cards[name] for name in names]

    def path(self, name):
        """The path of one model."""
        return self(name)[0].path


def swapped_channels(network, values, **given):
    values = dict(values, **{CLASSIFIER: values[CLASSIFIER][..., ::-1]})
    return inference_graph(network, values, **given)
