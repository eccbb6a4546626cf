"""Open a trained network, whatever it lies in. Here, and only here, it is decided which it is.

Flags speak first, then what the source says of itself (the run beside a checkpoint, a card, the
graph), then the defaults.
"""

from mmnet.config.resolve import network_of_run
from mmnet.device import Device
from mmnet.inference.checkpoints import CheckpointPredictor, open_weights
from mmnet.inference.frozen import open_frozen, open_savedmodel
from mmnet.inference.onnx_file import open_onnx
from mmnet.inference.tflite import open_tflite
from mmnet.network import decide, shape_text
from mmnet.weights.find import find_source
from mmnet.weights.values import read_weights

OPENERS = {
    "pb": open_frozen,
    "savedmodel": open_savedmodel,
    "tflite": open_tflite,
    "onnx": open_onnx,
}


def open_predictor(source=None, wanted=None, *, use_ema=False, device=Device(), batch=1):
    """A Predictor of a checkpoint (its prefix, or a folder: its latest), a .pb, a .tflite, an .onnx
    or a SavedModel's folder; with untrained weights where ``source`` is None.

    Args:
        wanted: fields of Network that the user gave, name -> value.
        use_ema: checkpoints: take the moving averages of the weights. device: Device.
        batch: pictures a run of a model file; a checkpoint takes any number.

    Raises:
        FileNotFoundError: nothing there. ValueError: damaged, another network's, or what runs it is
            not installed; says what to install.
    """
    if source is None:
        return CheckpointPredictor(decide(wanted or {}), device)
    found = find_source(source)
    if found.kind == "checkpoint":
        return open_weights(load_weights(found.path, wanted, use_ema), device)
    predictor = OPENERS[found.kind](found.path, device, batch)
    need_wanted(predictor, wanted or {})
    return predictor


def load_weights(source, wanted=None, use_ema=False, *, finite=True):
    """The Weights of a checkpoint; arguments as open_predictor and read_weights."""
    prefix = find_source(source).path
    return read_weights(prefix, network_of_checkpoint(prefix, wanted), use_ema, finite=finite)


def network_of_checkpoint(prefix, wanted=None):
    """The Network of a checkpoint: what is wanted, else what its run says, else the default."""
    return decide(wanted or {}, network_of_run(prefix))


def need_wanted(predictor, wanted):
    """Raise ValueError where a model file is another network than the user asked for."""
    shape = predictor.network.shape
    if tuple(wanted.get("shape", shape)) != shape:
        raise ValueError(
            "%s takes pictures of %s, not %s"
            % (predictor.source, shape_text(shape), shape_text(wanted["shape"]))
        )
