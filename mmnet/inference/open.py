"""Open a trained network, whatever it lies in. Here, and only here, it is decided which it is.

Flags speak first, then what the source says of itself (the run beside a checkpoint, a card, the
graph), then the defaults.
"""

import importlib.util

from mmnet.inference.checkpoints import CheckpointPredictor, open_weights
from mmnet.inference.onnx import open_onnx
from mmnet.inference.tensorflow import open_frozen, open_savedmodel
from mmnet.inference.tflite import open_tflite
from mmnet.io.errors import MmnetError, format_shape
from mmnet.networks.network import make_network
from mmnet.tf.device import Device
from mmnet.weights.registry import DEFAULT, model_paths
from mmnet.weights.run_file import network_of_run
from mmnet.weights.source import find_source
from mmnet.weights.values import WeightOptions, read_weights, scale_classifier

OPENERS = {
    "pb": open_frozen,
    "savedmodel": open_savedmodel,
    "tflite": open_tflite,
    "onnx": open_onnx,
}
INTERPRETERS = {"tflite": "ai_edge_litert", "onnx": "onnxruntime"}  # that need no TensorFlow


def open_predictor(
    source=DEFAULT, wanted=None, *, weight_options=WeightOptions(), device=Device(), batch=1
):
    """A Predictor of weights by name, a checkpoint (its prefix, or a folder: its latest), a .pb, a
    .tflite, an .onnx or a SavedModel's folder.

    Weights with a name may have model files beside their checkpoint, the same network: the first
    that an interpreter is here for is taken, where nothing is asked for that only a checkpoint has.

    Args:
        wanted: fields of Network that the user gave, name -> value.
        reading: Reading, of a checkpoint. device: Device.
        batch: pictures a run of a model file; a checkpoint takes any number.

    Raises:
        FileNotFoundError: nothing there. ValueError: damaged, another network's, or what runs it is
            not installed; says what to install.
    """
    found = find_source(source)
    if found.kind == "untrained":
        return CheckpointPredictor(make_network(wanted or {}), device)
    if found.name and not wanted and weight_options == WeightOptions() and device.kind is None:
        found = prefer_model_file(found)
    if found.kind == "checkpoint":
        return open_weights(load_weights(found.path, wanted, weight_options), device)
    predictor = OPENERS[found.kind](found.path, device, batch)
    need_wanted(predictor, wanted or {})
    return predictor


def prefer_model_file(source):
    """The Source of a model file of weights with a name, or themselves."""
    for path in model_paths(source.name):
        model = find_source(path)
        if importlib.util.find_spec(INTERPRETERS[model.kind]):
            return model._replace(name=source.name)
    return source


def load_weights(source, wanted=None, weight_options=WeightOptions(), *, finite=True):
    """The Weights of a checkpoint; arguments as open_predictor and read_weights."""
    found = find_source(source)
    if found.kind == "untrained":
        return scale_classifier(
            CheckpointPredictor(make_network(wanted or {})).weights, weight_options.logit_scale
        )
    network = network_of_checkpoint(found.path, wanted)
    return read_weights(found.path, network, weight_options, finite=finite)


def network_of_checkpoint(prefix, wanted=None):
    """The Network of a checkpoint: what is wanted, else what its run says, else the default."""
    return make_network(wanted or {}, network_of_run(prefix))


def need_wanted(predictor, wanted):
    """Raise ValueError where a model file is another network than the user asked for."""
    shape = predictor.network.shape
    if tuple(wanted.get("shape", shape)) != shape:
        raise MmnetError(
            "%s takes pictures of %s, not %s"
            % (predictor.source, format_shape(shape), format_shape(wanted["shape"]))
        )
