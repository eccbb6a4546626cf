"""A checkpoint as a model file: built, compared with the checkpoint, then handed over."""

import os
import tempfile
from typing import NamedTuple

import numpy as np

from mmnet.datasets.synthetic import draw_portrait
from mmnet.export.formats import CAN_REPLACE, WRITERS
from mmnet.export.graphs import fold_batch_norm
from mmnet.export.representative import input_of, ranges_for
from mmnet.inference.card import Card, card_path, card_to_dict, model_sha256
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.complexity import measure_complexity
from mmnet.inference.open import open_predictor
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.files import (
    check_replaceable,
    remove_abandoned,
    replace_folder,
    restore_folder,
    write_json,
)
from mmnet.io.images import read_image
from mmnet.io.resize import resize_bilinear
from mmnet.networks.inference_graph import INPUT, OUTPUT, describe_tensors, inference_graph
from mmnet.networks.quantization import quantization_ranges
from mmnet.tf.compat import tf
from mmnet.tf.device import Device
from mmnet.weights.source import SAVED_MODEL, source_bytes

EXACT = Device(exact=True)
PICTURES = 4  # that a model and its checkpoint are compared on

# How far alpha may be from the checkpoint's. Rounded weights move single pixels at a border of hair
# a lot, and few of them: what is bounded there is the mean.
BOUNDS = {
    "unfolded": ("largest", 1e-5),  # the same operations on the same numbers
    "float32": ("largest", 1e-4),  # folded weights are rounded again: 4.4e-5 was seen at a pixel
    "float16": ("mean", 1e-3),
    "dynamic": ("mean", 1e-2),
    "int8": ("mean", 1e-2),
}


class ExportSpec(NamedTuple):
    """What a checkpoint is delivered as."""

    format: str  # a key of formats.WRITERS
    path: str  # of the file, or of the SavedModel's folder
    precision: str = "float32"  # of TFLite; the other formats are float32
    preprocess: str = "inside"  # as networks.frozen.inference_graph
    output_type: str = "alpha"
    io: str = "float"  # or "uint8": what an int8 model takes and gives
    fold: bool = True  # multiply batch norm into the convolutions


class ExportMismatch(Exception):
    """A built model does not give what its checkpoint gives."""


def export(weights, forms, images, calibration=None):
    """Write models, each with its card beside it.

    Every one is built and compared in a temporary folder first: all are handed over, or none, and
    then what was there before stays.

    Args:
        weights: Weights. forms: list of ExportSpec, their paths in one folder. images: float32 [N,H,W,C]
            0..255 to compare on. calibration: Calibration of int8; None takes the ranges of a
            checkpoint that was trained for 8 bits.

    Returns:
        list of Card.

    Raises:
        ExportMismatch: a model differs from its checkpoint by more than BOUNDS.
        ValueError: forms that do not go together, a folder that is not ours, a converter that is
            not installed, or one that fails.
    """
    for form in forms:
        check_spec(form, weights, calibration)
        need_ours(form, checkpoint_files.files_of(weights.source) if weights.source else ())
    alphas = open_weights(weights, EXACT)(images)
    folder = os.path.dirname(os.path.abspath(forms[0].path))
    os.makedirs(folder, exist_ok=True)
    remove_abandoned(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
        built = []
        for form in forms:
            path = os.path.join(building, os.path.basename(form.path))
            card = build(weights, form, path, calibration)
            predictor = open_predictor(path, device=EXACT)
            difference = np.abs(predictor(images) - alphas)
            largest, mean = float(difference.max()), float(difference.mean())
            problem = bound_violation(
                "float32" if form.fold else "unfolded", form.precision, largest, mean
            )
            if problem:
                raise ExportMismatch("%s is not written: %s" % (form.path, problem))
            card = card._replace(
                operations=predictor.operations,
                pictures=len(images),
                largest_difference=largest,
                mean_difference=mean,
            )
            built.append((path, card))
        for path, card in built:
            os.makedirs(os.path.dirname(card.path) or ".", exist_ok=True)
            install(path, card)
    return [card for _, card in built]


def build(weights, form, path, calibration):
    """Write a model and a first card to ``path``; returns the Card that it will have."""
    int8 = form.precision == "int8"
    ranges = ranges_for(weights, calibration) if int8 else None
    graph_def = inference_graph(
        weights.network,
        weights.values,
        preprocess=form.preprocess,
        output_type=form.output_type,
        int8=int8,
        ranges=ranges,
    )
    if form.fold:
        graph_def = fold_batch_norm(graph_def)
    pictures = None
    if int8 and ranges is None:
        pictures = input_of(calibration, form.preprocess)
    WRITERS[form.format](path, graph_def, form=form, calibration=pictures)
    about = {"method": "quantised training"} if ranges else None
    kind = "uint8 " if form.io == "uint8" else "float32 "
    takes, gives = describe_tensors(weights.network, form.preprocess, form.output_type)
    complexity = measure_complexity(graph_def)
    card = Card(
        weights.network,
        form.preprocess,
        form.output_type,
        form.precision,
        path=form.path,
        format=form.format,
        input=INPUT + " " + kind + takes,
        output=OUTPUT + " " + kind + gives,
        checkpoint=weights.source,
        index_sha256=weights.sha256,
        use_ema=weights.options.use_ema,
        logit_scale=weights.options.logit_scale,
        calibration=calibration.about if int8 and calibration else about,
        tensorflow=tf.__version__,
        parameters=complexity.parameters,
        multiply_adds=complexity.multiply_adds,
        bytes=source_bytes(path),
        sha256=model_sha256(path),
    )
    write_json(card_path(path), card_to_dict(card))
    return card


def install(built, card):
    """Move a model from the temporary folder to its place.

    The card comes last and names the file's hash, so that a model whose card is still the old one
    is noticed.
    """
    if card.format == "savedmodel":
        replace_folder(card.path, built)  # what was there goes with the temporary folder
    else:
        os.replace(built, card.path)
    write_json(card_path(card.path), card_to_dict(card))


def check_spec(form, weights, calibration):
    """Raise ValueError for a ExportSpec that cannot be made of these Weights.

    calibration: what ranges are measured on, None for nothing; that alone counts here.
    """
    has_ranges = bool(quantization_ranges(weights.values))
    if form.precision != "float32" and form.format != "tflite":
        raise MmnetError(
            "--precision %s is TFLite's only: %s is float32 (export it without --precision)"
            % (form.precision, form.format)
        )
    if form.precision == "int8" and calibration is None and not has_ranges:
        raise MmnetError(
            "--precision int8 needs --calibration_dataset: training portraits that its ranges are "
            "measured on (a checkpoint of train --quantize has its own)"
        )
    if calibration is not None and has_ranges:
        raise MmnetError(
            "this checkpoint was trained with --quantize and has its own ranges: leave "
            "--calibration_dataset out"
        )
    if form.precision != "int8" and form.io != "float":
        raise MmnetError("--io %s goes with --precision int8, not %s" % (form.io, form.precision))


def need_ours(form, inputs=()):
    """Raise ValueError where something else than an earlier export lies at a ExportSpec's place."""
    restore_folder(form.path)
    check_replaceable(card_path(form.path), CAN_REPLACE["card"], inputs=inputs)
    if form.format != "savedmodel":
        check_replaceable(form.path, CAN_REPLACE[form.format], inputs=inputs)
    elif os.path.lexists(form.path) and not os.path.isfile(os.path.join(form.path, SAVED_MODEL)):
        raise MmnetError(
            "%s is not a SavedModel and stays: move it away or give another --output" % form.path
        )


def bound_violation(float32, precision, largest, mean):
    """What is wrong where differences of alpha are beyond their bound; None where they are not.

    float32: the key of BOUNDS for a model in float32.
    """
    kind, bound = BOUNDS[float32 if precision == "float32" else precision]
    value = {"largest": largest, "mean": mean}[kind]
    if value <= bound:  # NaN is not
        return None
    words = {"largest": "up to %.3g", "mean": "%.3g in the mean"}[kind] % value
    return "its alphas are %s off the checkpoint's, and at most %g is the rounding of %s" % (
        words,
        bound,
        precision,
    )


def comparison_images(data_set, network):
    """float32 [PICTURES,H,W,3] 0..255: the first of a Dataset, or made-up ones where it is None."""
    if data_set is not None:
        images = [read_image(pair.image) for pair in data_set.pairs[:PICTURES]]
    else:
        seeds = range(PICTURES)
        images = [draw_portrait(np.random.RandomState(seed), (400, 300))[0] for seed in seeds]
    return np.stack([resize_bilinear(image, network.shape, align_corners=True) for image in images])


def format_card(card):
    """A delivered model for a person to read."""
    kind, bound = BOUNDS[card.precision]
    operations = "TensorFlow 1.15's interpreter cannot list them"
    if card.operations:
        operations = "%d: %s" % (
            sum(card.operations.values()),
            ", ".join("%d %s" % (number, name) for name, number in card.operations.items()),
        )
    lines = [
        card.path,
        "  input       " + card.input,
        "  output      " + card.output,
        "  operations  " + operations,
        "  size        %d bytes, SHA-256 %s" % (card.bytes, card.sha256),
        "  difference of alpha from the checkpoint over %d pictures: largest %.2g, mean %.2g%s"
        % (
            card.pictures,
            card.largest_difference,
            card.mean_difference,
            " (at %s only the mean is bounded: %g)" % (card.precision, bound)
            if kind == "mean"
            else "",
        ),
    ]
    return "\n".join(lines)
