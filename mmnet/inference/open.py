"""Open a trained network from any source.

Only this module decides which network a source contains: the user's fields have priority, then the
record in the source (config.yaml beside a checkpoint, a card, the graph), then the defaults.
"""

import os
from typing import Any, Dict, Optional, Union

from mmnet.inference.checkpoints import CheckpointPredictor, open_weights
from mmnet.inference.ensemble import make_ensemble
from mmnet.inference.foreign import has_signature, open_foreign
from mmnet.inference.onnx import open_onnx
from mmnet.inference.predictor import Predictor
from mmnet.inference.runtimes import has_runtime
from mmnet.inference.tensorflow import open_frozen, open_savedmodel
from mmnet.inference.tflite import open_tflite
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import SEPARATOR
from mmnet.networks.network import Network, make_network, with_views
from mmnet.networks.views import SCALES, scaled_views
from mmnet.tf.device import Device
from mmnet.weights.registry import DEFAULT, find_entry
from mmnet.weights.run_file import network_of_run
from mmnet.weights.source import MODEL_KINDS, Source, find_source
from mmnet.weights.values import WeightOptions, Weights, read_weights, scale_classifier

OPENERS = {  # kind of model file -> (path, device, batch size) -> Predictor
    "pb": open_frozen,
    "savedmodel": open_savedmodel,
    "tflite": open_tflite,
    "onnx": open_onnx,
}


def open_predictor(
    source: Union[str, Source] = DEFAULT,
    network_fields: Optional[Dict[str, Any]] = None,
    *,
    views: Optional[int] = None,
    weight_options: WeightOptions = WeightOptions(),
    device: Device = Device(),
    batch_size: int = 1,
) -> Predictor:
    """Open a trained network.

    Args:
        source: as in ``find_source``, or its Source. Weights by name are opened from their model
            file if an installed runtime can run it and if no argument needs the checkpoint.
            Several sources become one Predictor: see make_ensemble.
        network_fields: fields of Network that the user gave. For models of other projects and
            several sources, ``shape`` is that of images and alphas in calls.
        views: number of views whose logits are averaged (networks/views.py). None: one view; a
            model file as it is. Of several sources it applies to the checkpoints.
        weight_options: how the weights of a checkpoint are read.
        device: device and number of threads.
        batch_size: images per run of a model file. A checkpoint takes any number.

    Raises:
        FileNotFoundError: nothing there.
        MmnetError: a damaged source, another network, an option that applies to checkpoints only,
            or a missing runtime.
    """
    source = source if isinstance(source, Source) else find_source(source)
    if source.kind == "ensemble":
        fields = network_fields or {}
        return open_ensemble(source, fields, views, weight_options, device)
    has_options = weight_options != WeightOptions()
    if source.name and not network_fields and not has_options and device.kind is None:
        source = prefer_model_file(source, views or 1)
    if source.kind == "untrained" and not has_options:
        network = make_network(network_fields or {})
        return CheckpointPredictor(with_view_count(network, views), device)
    if source.kind in ("checkpoint", "untrained"):
        weights = load_weights(source, network_fields, weight_options)
        network = with_view_count(weights.network, views)
        return open_weights(weights._replace(network=network), device)
    for name, value, default in zip(weight_options._fields, weight_options, WeightOptions()):
        if value != default:
            raise MmnetError(f"applies to checkpoints, not to {source.path}", name)
    if source.kind in ("tflite", "onnx") and device.kind not in (None, "cpu"):
        raise MmnetError(f"{device.kind}: {source.path} runs on the CPU", "device")
    fields = network_fields or {}
    if has_signature(source.path):
        predictor: Predictor = open_foreign(source.kind, source.path, device, fields.get("shape"))
    else:
        predictor = OPENERS[source.kind](source.path, device, batch_size)
    predictor.name = source.name
    check_model_fields(source, predictor.network, fields, views)
    return predictor


def check_model_fields(
    source: Source, network: Network, network_fields: Dict[str, Any], views: Optional[int]
) -> None:
    """Raise MmnetError if a model file has another network than the user gave."""
    count = max(1, len(network.views))
    if views not in (None, count):
        message = f"{views}: applies to checkpoints and weights by name; {source.path} has {count}"
        raise MmnetError(message, "views")
    for name, value in network_fields.items():
        known = getattr(network, name)
        if name == "shape" and tuple(value) != known:
            shapes = f"{format_shape(known)}, not {format_shape(value)}"
            raise MmnetError(f"{source.path}: takes images of {shapes}")
        if name != "shape" and value != known:
            parameter = "network" if name == "name" else name
            raise MmnetError(f"applies to checkpoints, not to {source.path}", parameter)


def open_ensemble(
    source: Source,
    network_fields: Dict[str, Any],
    views: Optional[int],
    weight_options: WeightOptions,
    device: Device,
) -> Predictor:
    """Open several sources as one Predictor, which runs one image at a time.

    For the arguments see ``open_predictor``.

    The fields and options apply to the checkpoints among the sources. Without a checkpoint they
    are an error. ``shape`` is that of images and alphas in calls: each network keeps its own.
    """
    parts = [find_source(text) for text in source.path.split(SEPARATOR)]
    are_checkpoints = [part.kind in ("checkpoint", "untrained") for part in parts]
    fields = {name: value for name, value in network_fields.items() if name != "shape"}
    predictors = []
    for part, is_checkpoint in zip(parts, are_checkpoints):
        is_concerned = is_checkpoint or not any(are_checkpoints)
        predictor = open_predictor(
            part,
            fields if is_concerned else None,
            views=views if is_concerned else None,
            weight_options=weight_options if is_concerned else WeightOptions(),
            device=device,
        )
        predictors.append(predictor)
    return make_ensemble(predictors, network_fields.get("shape"))


def open_for_photos(
    source: Union[str, Source] = DEFAULT,
    network_fields: Optional[Dict[str, Any]] = None,
    *,
    views: Optional[int] = None,
    **options: Any,
) -> Predictor:
    """Open a trained network with the default number of views of a photo: see open_predictor."""
    source = source if isinstance(source, Source) else find_source(source)
    if views is None:
        views = photo_views(source, network_fields)
    return open_predictor(source, network_fields, views=views, **options)


def photo_views(source: Source, network_fields: Optional[Dict[str, Any]] = None) -> Optional[int]:
    """Return the default number of views of photos. None: one view; a model file as it is.

    A checkpoint has the highest number, unless its entry has model files for fewer views, or unless
    it also needs the previous frame.
    """
    if source.kind != "checkpoint":
        return None
    entry = find_entry(source.name) if source.name else None
    if entry is not None and entry.models:
        return max([1, *map(int, entry.views)])
    channels = network_of_checkpoint(source.path, network_fields).channels
    return max(SCALES) if channels == 3 else None


def with_view_count(network: Network, count: Optional[int]) -> Network:
    """Return the network with ``count`` views."""
    if count in (None, 1):
        return network
    if count not in SCALES:
        raise MmnetError(f"must be 1 to {max(SCALES)}, not {count}", "views")
    return with_views(network, scaled_views(network.shape, count))


def prefer_model_file(source: Source, views: int = 1) -> Source:
    """Return the fastest model file of weights by name that can run here, else ``source``."""
    assert source.name is not None
    for model in find_entry(source.name).models_with_views(views):
        kind = MODEL_KINDS[os.path.splitext(model)[1]]
        if has_runtime(kind):
            return Source(kind, os.path.join(os.path.dirname(source.path), model), source.name)
    return source


def load_weights(
    source: Union[str, Source],
    network_fields: Optional[Dict[str, Any]] = None,
    weight_options: WeightOptions = WeightOptions(),
    *,
    finite: bool = True,
) -> Weights:
    """Read the weights of a checkpoint, or make the random weights of "untrained".

    For the arguments see ``open_predictor`` and ``read_weights``.
    """
    source = source if isinstance(source, Source) else find_source(source)
    if source.kind == "untrained":
        if weight_options.use_ema:
            raise MmnetError("untrained weights have no moving averages", "use_ema")
        with CheckpointPredictor(make_network(network_fields or {})) as predictor:
            return scale_classifier(predictor.weights, weight_options.logit_scale)
    if source.kind != "checkpoint":
        raise MmnetError(f"{source.path}: is not a checkpoint")
    network = network_of_checkpoint(source.path, network_fields)
    weights = read_weights(source.path, network, weight_options, finite=finite)
    return weights._replace(name=source.name)


def network_of_checkpoint(prefix: str, network_fields: Optional[Dict[str, Any]] = None) -> Network:
    """Return the network of a checkpoint: from the given fields, its run's record, or defaults."""
    return make_network(network_fields or {}, network_of_run(prefix))
