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
from mmnet.files import need_writable
from mmnet.inference.card import to_dict
from mmnet.inference.open import load_weights

NAMES = {
    "savedmodel": "savedmodel",
    "tflite": "%(network)s_%(precision)s.tflite",
    "onnx": "%(network)s.onnx",
    "pb": "%(network)s.pb",
}


def run(settings):
    need_writable("--output", settings.output)
    data_set = find_pictures(settings)
    weights = load_weights(settings.checkpoint_path, settings.wanted(), settings.reading())
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
    return deliver(weights, forms, data_set, calibration, settings.json)


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
        name,
        os.path.join(settings.output, NAMES[name] % words),
        settings.precision,
        settings.preprocess,
        settings.output_type,
        settings.io,
    )
