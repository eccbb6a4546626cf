"""The export verb: a checkpoint as SavedModel, TFLite, ONNX or frozen graph."""

import dataclasses
import json
import os
import sys
from typing import Optional, Tuple

from mmnet.commands.flag_types import dataset_folder, one_of, positive_int
from mmnet.commands.options import (
    REQUIRED,
    CheckpointOptions,
    JsonOptions,
    OptionalDatasetOptions,
    PreprocessOptions,
    flag,
)
from mmnet.datasets.pairs import find_dataset
from mmnet.export.export import (
    ExportMismatch,
    ExportSpec,
    check_spec,
    comparison_images,
    export,
    format_card,
)
from mmnet.export.representative import check_training_split, read_calibration
from mmnet.inference.card import card_to_dict
from mmnet.inference.open import load_weights
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_writable, read_bytes, write_bytes

NAMES = {
    "savedmodel": "savedmodel",
    "tflite": "%(network)s_%(precision)s.tflite",
    "onnx": "%(network)s.onnx",
    "pb": "%(network)s.pb",
    "web": os.path.join("web", "network.onnx"),  # beside the page that runs it
}


@dataclasses.dataclass(frozen=True)
class Options(CheckpointOptions, PreprocessOptions, OptionalDatasetOptions, JsonOptions):
    """Write a checkpoint as SavedModel, TFLite, ONNX or frozen graph, each with a card (.json).

    Batch norm is folded. Every model is run beside the checkpoint, and all are handed over only
    where the alphas agree: float32 to 1e-4, float16 to 1e-3 in the mean, dynamic and int8 to 1e-2
    in the mean; else nothing is written and the exit code is 1.
    """

    format: Tuple[str, ...] = flag(
        REQUIRED,
        one_of("savedmodel", "tflite", "onnx", "pb", "web"),
        help="savedmodel, tflite, onnx, pb, web (a page that runs it in the browser): one or several",
        nargs="+",
    )
    output: str = flag(
        REQUIRED,
        help="folder to write savedmodel/, NETWORK_PRECISION.tflite, NETWORK.onnx, NETWORK.pb, web/ to",
    )
    precision: str = flag(
        "float32",
        one_of("float32", "float16", "dynamic", "int8"),
        help="of tflite: float32, float16 (weights), dynamic (weights of 8 bit) or int8 (everything); "
        "the others are float32",
    )
    io: str = flag(
        "float", one_of("float", "uint8"), help="what an int8 model takes and gives: float or uint8"
    )
    calibration_dataset: Optional[str] = flag(
        None,
        dataset_folder,
        help="int8: folder that holds SPLIT/image and SPLIT/mask, to measure ranges on",
    )
    calibration_split: str = flag("train", help="its SPLIT, of training pictures")
    calibration_pictures: int = flag(100, positive_int, help="how many of them, evenly spread")
    calibration_method: str = flag(
        "minmax",
        one_of("minmax", "entropy"),
        help="minmax: from the lowest value to the highest; entropy: clipped where it costs least "
        "information (Kullback-Leibler)",
    )
    output_type: str = flag(
        "alpha",
        one_of("probabilities", "alpha", "logits"),
        help="what the output holds: probabilities (channel 1 is alpha), alpha, or logits",
    )


def run(options):
    check_writable(options.output)
    data_set = find_pictures(options)
    weights = load_weights(
        options.checkpoint_path, options.network_fields(), options.weight_options()
    )
    if "web" in options.format:
        need_for_the_page(options, weights.network)
    forms = [form_of(options, weights.network, name) for name in dict.fromkeys(options.format)]
    for form in forms:  # before pictures are read
        check_spec(form, weights, options.calibration_dataset)
    calibration = None
    if options.calibration_dataset:
        if options.precision != "int8":
            raise MmnetError(
                "--calibration_dataset goes with --precision int8, not %s" % options.precision
            )
        check_training_split(options.calibration_split)
        calibration = read_calibration(
            find_dataset(options.calibration_dataset, options.calibration_split),
            weights.network,
            options.calibration_pictures,
            options.calibration_method,
        )
    code = deliver(weights, forms, data_set, calibration, options.json)
    if code == 0 and "web" in options.format:
        write_page(os.path.join(options.output, "web"))
    return code


def need_for_the_page(options, network):
    """Raise ValueError for a model that the page of --format web does not run."""
    if options.output_type != "alpha" or options.preprocess != "inside" or network.channels != 3:
        raise MmnetError(
            "--format web takes pictures of three channels and shows alpha: it goes with "
            "--output_type alpha and --preprocess inside"
        )


def write_page(folder):
    """Put the files of the page beside its network.onnx."""
    source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "export/web")
    for name in sorted(os.listdir(source)):
        write_bytes(os.path.join(folder, name), read_bytes(os.path.join(source, name)))


def deliver(weights, forms, data_set, calibration=None, as_json=False):
    """Export and print the cards; the exit code."""
    images = comparison_images(data_set, weights.network)
    try:
        cards = export(weights, forms, images, calibration)
    except ExportMismatch as error:
        sys.stderr.write("mmnet: error: %s\n" % error)
        return 1
    for card in cards:
        print(json.dumps(card_to_dict(card)) if as_json else format_card(card))
    return 0


def find_pictures(options):
    """The Dataset to compare on that the options name, or None."""
    if options.dataset_path is None:
        return None
    return find_dataset(options.dataset_path, options.dataset_split_name)


def form_of(options, network, name):
    """The ExportSpec of one of the options' formats."""
    words = {"network": network.name, "precision": options.precision}
    return ExportSpec(
        "onnx" if name == "web" else name,
        os.path.join(options.output, NAMES[name] % words),
        options.precision,
        options.preprocess,
        options.output_type,
        options.io,
    )
