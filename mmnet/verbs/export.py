"""The export verb: a checkpoint as SavedModel, TFLite, ONNX or frozen graph."""

import json
import os
import sys

from mmnet.data.pairs import find_data_set
from mmnet.export.calibration import need_training_split, read_calibration
from mmnet.export.export import (
    Form,
    NotEqual,
    card_text,
    export,
    need_together,
    pictures_to_compare,
)
from mmnet.files import need_writable, read_bytes, write_bytes
from mmnet.inference.card import to_dict
from mmnet.inference.open import load_weights

NAMES = {
    "savedmodel": "savedmodel",
    "tflite": "%(network)s_%(precision)s.tflite",
    "onnx": "%(network)s.onnx",
    "pb": "%(network)s.pb",
    "web": os.path.join("web", "network.onnx"),  # beside the page that runs it
}


def run(settings):
    need_writable("--output", settings.output)
    data_set = find_pictures(settings)
    weights = load_weights(settings.checkpoint_path, settings.wanted(), settings.reading())
    if "web" in settings.format:
        need_for_the_page(settings, weights.network)
    forms = [form_of(settings, weights.network, name) for name in dict.fromkeys(settings.format)]
    for form in forms:  # before pictures are read
        need_together(form, weights, settings.calibration_dataset)
    calibration = None
    if settings.calibration_dataset:
        if settings.precision != "int8":
            raise ValueError(
                "--calibration_dataset goes with --precision int8, not %s" % settings.precision
            )
        need_training_split(settings.calibration_split)
        calibration = read_calibration(
            find_data_set(settings.calibration_dataset, settings.calibration_split),
            weights.network,
            settings.calibration_pictures,
            settings.calibration_method,
        )
    code = deliver(weights, forms, data_set, calibration, settings.json)
    if code == 0 and "web" in settings.format:
        write_page(os.path.join(settings.output, "web"))
    return code


def need_for_the_page(settings, network):
    """Raise ValueError for a model that the page of --format web does not run."""
    if settings.output_type != "alpha" or settings.preprocess != "inside" or network.channels != 3:
        raise ValueError(
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
    images = pictures_to_compare(data_set, weights.network)
    try:
        cards = export(weights, forms, images, calibration)
    except NotEqual as error:
        sys.stderr.write("mmnet: error: %s\n" % error)
        return 1
    for card in cards:
        print(json.dumps(to_dict(card)) if as_json else card_text(card))
    return 0


def find_pictures(settings):
    """The DataSet to compare on that the settings name, or None."""
    if settings.dataset_path is None:
        return None
    return find_data_set(settings.dataset_path, settings.dataset_split_name)


def form_of(settings, network, name):
    """The Form of one of the settings' formats."""
    words = {"network": network.name, "precision": settings.precision}
    return Form(
        "onnx" if name == "web" else name,
        os.path.join(settings.output, NAMES[name] % words),
        settings.precision,
        settings.preprocess,
        settings.output_type,
        settings.io,
    )
