"""Open models of other projects as Predictors. Their card contains a Signature."""

import hashlib
from functools import partial
from typing import Any, Callable, Dict, Optional

import numpy as np

from mmnet.inference.card import Card, card_path, model_sha256, read_card
from mmnet.inference.ensemble import average_alphas
from mmnet.inference.onnx import load_onnx
from mmnet.inference.predictor import FlexiblePredictor
from mmnet.inference.signature import (
    RATIO,
    Shape,
    TensorModel,
    make_input,
    make_ratio,
    make_states,
    read_alpha,
)
from mmnet.inference.tensorflow import load_frozen, load_savedmodel
from mmnet.inference.tflite import load_tflite
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes, read_json
from mmnet.tf.device import Device

LOADERS = {  # kind of model file -> (path, content, device) -> TensorModel
    "pb": load_frozen,
    "savedmodel": load_savedmodel,
    "tflite": load_tflite,
    "onnx": load_onnx,
}


def has_signature(path: str) -> bool:
    """Return whether the card of a model describes a model of another project."""
    try:
        return bool(read_json(card_path(path)).get("signature"))
    except (OSError, MmnetError):
        return False


def load_model(kind: str, path: str, device: Device = Device()) -> TensorModel:
    """Load a model of any project, without a card. A damaged file may end the process."""
    data = b"" if kind == "savedmodel" else read_bytes(path)
    return LOADERS[kind](path, data, device)


def open_foreign(
    kind: str, path: str, device: Device = Device(), shape: Optional[Shape] = None
) -> FlexiblePredictor:
    """Open a model of another project that has a card of ``mmnet card``.

    ``shape``: shape of images and alphas in calls (default: of the model's input).
    """
    data = b"" if kind == "savedmodel" else read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest() if data else model_sha256(path)
    card = read_card(path, sha256)
    return make_predictor(LOADERS[kind](path, data, device), card, path, shape)


def make_predictor(
    model: TensorModel, card: Card, path: str, shape: Optional[Shape] = None
) -> FlexiblePredictor:
    """Return the Predictor of a loaded model. For ``shape`` see open_foreign."""
    signature = card.signature
    assert signature is not None
    if shape is not None:
        card = card._replace(network=card.network._replace(shape=shape))
    run = partial(run_model, model, card, path)
    predictor = FlexiblePredictor(
        partial(run_mirrored, run) if signature.mirrored else run,
        card,
        source=path,
        release=model.release,
        process=model.process,
        is_recurrent=bool(signature.states),
    )
    text = f"{card.sha256} {signature}"  # another card gives other alphas
    predictor.sha256 = hashlib.sha256(text.encode()).hexdigest()
    return predictor


def run_mirrored(run: Callable[..., np.ndarray], image: np.ndarray, *_: Any) -> np.ndarray:
    """Return the mean alpha of an image and its mirror image: see run_model."""
    mirror_image = np.ascontiguousarray(image[:, ::-1])
    return average_alphas([run(image, None, None), run(mirror_image, None, None)[:, ::-1]])


def run_model(
    model: TensorModel,
    card: Card,
    path: str,
    image: np.ndarray,
    previous_alpha: Optional[np.ndarray],
    state: Optional[Dict[str, Any]],
) -> np.ndarray:
    """Return the alpha of one image: see Predictor.run_image."""
    signature = card.signature
    assert signature is not None
    try:
        arrays = {
            signature.input: make_input(image, signature),
            **make_states(model, signature, state or {}),
        }
        if signature.downsample is not None:
            height_axis = 1 if signature.layout == "nhwc" else 2
            shape = arrays[signature.input].shape[height_axis : height_axis + 2]
            arrays[RATIO] = make_ratio((shape[0], shape[1]), signature)
        outputs = model.run(arrays)
        if state is not None:
            state.update({name: outputs[signature.states[name]] for name in signature.states})
        return read_alpha(outputs[signature.output], image.shape[:2], signature)
    except MmnetError as error:
        raise MmnetError(f"{path}: {error}") from None
    except Exception as error:  # each runtime raises classes of its own
        raise MmnetError(f"{path}: cannot run ({' '.join(str(error).split())[:300]})") from None
