"""Export a checkpoint as model files. A model is delivered only if it equals the checkpoint.

1. Check that the models can be made and that their paths may be written.
2. Build each model in a temporary folder, open it and compare its alphas with the checkpoint's.
3. If all models agree, move them to their paths, each with its card. Otherwise change nothing.
"""

import os
import tempfile
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet.export import rembg
from mmnet.export.comparison import EXACT, bound_violation
from mmnet.export.formats import CAN_REPLACE, WRITERS, check_format
from mmnet.export.graphs import fold_batch_norm
from mmnet.export.representative import RepresentativeImages, int8_ranges
from mmnet.inference.card import Card, card_path, card_to_dict, model_sha256
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.complexity import measure_complexity
from mmnet.inference.open import open_predictor
from mmnet.io import checkpoint_files, files
from mmnet.io.errors import MmnetError
from mmnet.networks.inference_graph import INPUT, OUTPUT, describe_tensors, inference_graph
from mmnet.networks.quantization import quantization_ranges
from mmnet.tf.compat import converts_shared_weights, tf
from mmnet.weights.source import SAVED_MODEL, source_bytes
from mmnet.weights.values import Weights

SAVED_MODEL_NAMES = {SAVED_MODEL, "variables", "assets", "fingerprint.pb"}


class ExportSpec(NamedTuple):
    """A model file to make from a checkpoint."""

    format: str  # a key of formats.WRITERS
    path: str  # file, or folder of a SavedModel
    precision: str = "float32"  # other precisions only for "tflite"
    preprocess: str = "inside"  # division by 255: "inside" (input 0..255) or "outside" (0..1)
    output_type: str = "alpha"  # see networks.inference_graph
    io: str = "float"  # number format of an int8 model's input and output: "float" or "uint8"
    fold: bool = True  # fold batch norm into the weights of convolutions
    views: Tuple[str, ...] = ()  # views of the network, for the metadata
    target: Optional[str] = None  # "rembg": an ONNX file of 320x320 in the form that rembg takes


class ExportMismatch(Exception):
    """The alphas of an exported model differ from its checkpoint by more than the bound."""


def export(
    weights: Weights,
    specs: Sequence[ExportSpec],
    images: np.ndarray,
    representative: Optional[RepresentativeImages] = None,
) -> List[Card]:
    """Write model files with their cards. Write all or none.

    Args:
        weights: the checkpoint.
        specs: models to make, with paths in one folder.
        images: float32 [N,H,W,3], 0..255, on which models and checkpoint are compared.
        representative: images for an int8 model, unless the checkpoint was trained for 8 bits.

    Raises:
        ExportMismatch: a model differs from the checkpoint.
        MmnetError: a model cannot be made, or its path must not be replaced.
    """
    inputs = checkpoint_files.files_of(weights.source) if weights.source else []
    for spec in specs:
        check_spec(spec, weights, is_calibrated=representative is not None)
        check_target(spec, inputs)
    alphas = open_weights(weights, EXACT)(images)
    folder = os.path.dirname(os.path.abspath(specs[0].path))
    os.makedirs(folder, exist_ok=True)
    files.remove_abandoned(folder)
    cards = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
        paths = [os.path.join(building, os.path.basename(spec.path)) for spec in specs]
        for spec, path in zip(specs, paths):
            card = build_model(weights, spec, path, representative)
            cards.append(compare_model(path, card, spec, images, alphas))
        for card, path in zip(cards, paths):
            install(path, card)
    return cards


def build_model(
    weights: Weights, spec: ExportSpec, path: str, representative: Optional[RepresentativeImages]
) -> Card:
    """Write a model and its card to a temporary path. The card already names ``spec.path``."""
    is_int8 = spec.precision == "int8"
    ranges = int8_ranges(weights, representative) if is_int8 else None
    graph_def = inference_graph(
        weights.network,
        weights.values,
        preprocess=spec.preprocess,
        output_type=spec.output_type,
        int8=is_int8,
        ranges=ranges,
    )
    if spec.fold:
        graph_def = fold_batch_norm(graph_def)
    images = calibration = None
    if is_int8 and representative is not None:
        images = None if ranges else representative.as_input(spec.preprocess)
        calibration = representative.record
    elif is_int8:
        calibration = {"method": "quantised training"}
    WRITERS[spec.format](path, graph_def, spec, images)
    card = describe_model(weights, spec)._replace(
        calibration=calibration,
        bytes=source_bytes(path),
        sha256=model_sha256(path),
        **measure_complexity(graph_def),
    )
    files.write_json(card_path(path), card_to_dict(card))
    return card


def describe_model(weights: Weights, spec: ExportSpec) -> Card:
    """Return the card of a model before it is built."""
    input_text, output_text = describe_tensors(weights.network, spec.preprocess, spec.output_type)
    number_format = "uint8" if spec.io == "uint8" else "float32"
    inputs = f"{INPUT} {number_format} {input_text}"
    outputs = f"{OUTPUT} {number_format} {output_text}"
    if spec.target == "rembg":
        inputs, outputs = rembg.INPUT_TEXT, rembg.OUTPUT_TEXT
    return Card(
        weights.network,
        spec.preprocess,
        spec.output_type,
        spec.precision,
        path=spec.path,
        format=spec.format,
        input=inputs,
        output=outputs,
        checkpoint=weights.source,
        index_sha256=weights.sha256,
        use_ema=weights.options.use_ema,
        logit_scale=weights.options.logit_scale,
        tensorflow=tf.__version__,
        signature=rembg.SIGNATURE if spec.target == "rembg" else None,
    )


def compare_model(
    path: str, card: Card, spec: ExportSpec, images: np.ndarray, alphas: np.ndarray
) -> Card:
    """Run a model and return its card with the difference from the checkpoint's alphas."""
    predictor = open_predictor(path, device=EXACT)
    difference = np.abs(predictor(images) - alphas)
    largest, mean = float(difference.max()), float(difference.mean())
    problem = bound_violation(spec.precision, largest=largest, mean=mean, is_folded=spec.fold)
    if problem:
        raise ExportMismatch(f"{spec.path}: not written: {problem}")
    return card._replace(
        operations=predictor.card.operations,
        pictures=len(images),
        largest_difference=largest,
        mean_difference=mean,
    )


def install(path: str, card: Card) -> None:
    """Move a model from the temporary folder to ``card.path``.

    The card is written last. It contains the hash of the file, so an interrupted export is detected
    when the model is opened.
    """
    assert card.path is not None
    os.makedirs(os.path.dirname(os.path.abspath(card.path)), exist_ok=True)
    if card.format == "savedmodel":
        files.replace_folder(card.path, path)  # the old folder disappears with the temporary folder
    else:
        os.replace(path, card.path)
    files.write_json(card_path(card.path), card_to_dict(card))


def check_spec(spec: ExportSpec, weights: Weights, *, is_calibrated: bool) -> None:
    """Raise MmnetError if a model cannot be made. is_calibrated: with representative images."""
    has_ranges = bool(quantization_ranges(weights.values))
    if spec.precision != "float32" and spec.format != "tflite":
        message = f"{spec.precision} is available for tflite only; {spec.format} is float32"
        raise MmnetError(message, "precision")
    if spec.precision == "int8" and not is_calibrated and not has_ranges:
        message = "int8 needs training images, or a checkpoint that was trained for 8 bits"
        raise MmnetError(message, "calibration_dataset")
    if is_calibrated and has_ranges:
        message = f"{weights.source} was trained for 8 bits and contains its own ranges"
        raise MmnetError(message, "calibration_dataset")
    check_format(spec.format)
    if spec.format == "tflite" and spec.views and not converts_shared_weights():
        raise MmnetError("a .tflite with several views needs TensorFlow 2.x; use onnx", "views")
    if spec.precision != "int8" and spec.io != "float":
        raise MmnetError(f"{spec.io} needs precision int8, not {spec.precision}", "io")


def check_target(spec: ExportSpec, inputs: Sequence[str] = ()) -> None:
    """Raise MmnetError if the path holds anything but an earlier export, or is an input."""
    files.restore_folder(spec.path)
    files.check_replaceable(card_path(spec.path), CAN_REPLACE["card"], inputs=inputs)
    if spec.format != "savedmodel":
        files.check_replaceable(spec.path, CAN_REPLACE[spec.format], inputs=inputs)
    elif os.path.lexists(spec.path):
        files.check_replaceable(os.path.join(spec.path, SAVED_MODEL), CAN_REPLACE[spec.format])
        if set(os.listdir(spec.path)) - SAVED_MODEL_NAMES:
            message = f"{spec.path} contains other files and is not replaced; use another folder"
            raise MmnetError(message, "output")
