"""A small trained-like network and its exported models, for tests of exports.

New weights give alpha .5 at every pixel, so no test could detect a wrong model. These weights are
random, with batch-norm statistics that fit them: alphas differ from pixel to pixel. The fixtures
small_weights, small_predictor, graph_of and exported_models (conftest.py) build each object once
per session.
"""

import os

import numpy as np
import pytest

from helpers import SMALL
from mmnet.export.comparison import comparison_images
from mmnet.export.export import ExportSpec, export
from mmnet.export.representative import RepresentativeImages
from mmnet.networks.inference_graph import INPUT, inference_graph
from mmnet.networks.layers import BATCH_STATISTICS, TRAINING
from mmnet.networks.registry import build, find_definition
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config
from mmnet.weights.values import read_weights

# Limits of uniform random values, by the last part of a variable's name.
VALUE_LIMITS = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5), "biases": (-0.5, 0.5)}

# Contents of an earlier export, as far as export checks them before it replaces the file.
OLD_EXPORTS = {
    "pb": tf.GraphDef(node=[tf.NodeDef(name=INPUT, op="Placeholder")]).SerializeToString(),
    "savedmodel": b"input_x output the old model",
    "tflite": b"\0\0\0\0TFL3 the old model",
    "onnx": b"input_x output the old model",
}

OUTSIDE = {"preprocess": "outside", "output_type": "probabilities"}
SPECS = {  # file name -> ExportSpec; ``ExportedModels`` sets the path
    "frozen.pb": ExportSpec("pb", "", output_type="probabilities", fold=False),  # mmnet freeze
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


def write_random_checkpoint(folder, network=SMALL):
    """Write a checkpoint at step 5, equal for every TensorFlow. Return its Weights."""
    prefix = os.path.join(folder, "MMNetModel-5")
    checkpoint.write(prefix, random_values(network))
    return read_weights(prefix, network)


def random_values(network=SMALL):
    """Return random weights and the moving statistics that fit them: name -> array."""
    random, images = np.random.RandomState(0), comparison_images(None, network)
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        build(network, tf.constant(images), TRAINING)
        variables, statistics = tf.global_variables(), tf.get_collection(BATCH_STATISTICS)
        values = {}
        for variable in variables:
            name, shape = variable.op.name, variable.shape.as_list()
            low, high = VALUE_LIMITS.get(name.rpartition("/")[2], (-1, 1))
            values[name] = random.uniform(low, high, shape).astype("f")
        checkpoint.restore(session, values, variables)
        values.update(session.run({variable.op.name: batch for variable, batch in statistics}))
    # Rounding changes random layers more than trained layers; smaller logits compensate for it.
    classifier = find_definition(network).classifier + "/weights"
    values[classifier] /= 1.5 * np.abs(values[classifier]).sum()
    return values


def need_onnx():
    """Skip a test of ONNX if the extra `export` is not installed."""
    pytest.importorskip("tf2onnx", reason="ONNX needs the extra `export`")
    pytest.importorskip("onnxruntime", reason="ONNX needs the extra `export`")


class ExportedModels:
    """Models, each exported on first use. No test may write into ``folder``."""

    def __init__(self, weights, folder):
        self.weights, self.folder, self._cards = weights, folder, {}

    def __call__(self, *names):
        """Return the cards of models, by file names of SPECS."""
        if any(name.endswith(".onnx") for name in names):
            need_onnx()
        new = [name for name in names if name not in self._cards]
        if new:
            specs = [SPECS[name]._replace(path=os.path.join(self.folder, name)) for name in new]
            images, representative = comparison_images(None, self.weights.network), None
            if any(spec.precision == "int8" for spec in specs):
                representative = RepresentativeImages(images, "minmax", {"split": "train"})
            self._cards.update(zip(new, export(self.weights, specs, images, representative)))
        return [self._cards[name] for name in names]

    def path(self, name):
        """Return the path of one model."""
        return self(name)[0].path


def swapped_channels(network, values, **arguments):
    """Build an inference graph in which background and foreground are exchanged."""
    classifier = find_definition(network).classifier + "/weights"
    values = dict(values, **{classifier: values[classifier][..., ::-1]})
    return inference_graph(network, values, **arguments)
