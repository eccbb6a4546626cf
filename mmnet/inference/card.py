"""The card of a model file: what it is, as JSON beside it. No TensorFlow."""

import os
from typing import Dict, NamedTuple, Optional

from mmnet.io.errors import MmnetError, shorten
from mmnet.io.files import read_json, sha256_of_file
from mmnet.io.records import to_record
from mmnet.networks.network import Network, make_network, network_fields
from mmnet.weights.source import SAVED_MODEL

PREPROCESS = ("inside", "outside")  # of the model: where pictures are divided by 255
OUTPUT_TYPES = ("probabilities", "alpha", "logits")
PRECISIONS = ("float32", "float16", "dynamic", "int8")


class Card(NamedTuple):
    """What a model file is. Fields without a value are those that ``mmnet export`` measured."""

    network: Network
    preprocess: str = "inside"
    output_type: str = "alpha"
    precision: str = "float32"
    path: Optional[str] = None
    format: Optional[str] = None  # "pb", "savedmodel", "tflite" or "onnx"
    input: Optional[str] = None  # name, type, shape, what it holds
    output: Optional[str] = None
    checkpoint: Optional[str] = None  # prefix
    index_sha256: Optional[str] = None  # of the checkpoint
    use_ema: bool = False
    logit_scale: float = 1.0  # factor of the checkpoint's logits
    calibration: Optional[dict] = None  # what int8's ranges were measured on
    tensorflow: Optional[str] = None  # its version
    parameters: Optional[int] = None
    multiply_adds: Optional[int] = None  # of one picture
    operations: Optional[Dict[str, int]] = None  # type -> count; None where it cannot be told
    bytes: Optional[int] = None
    sha256: Optional[str] = None  # of the file, or of the SavedModel's saved_model.pb
    pictures: Optional[int] = None  # that were compared
    largest_difference: Optional[float] = None  # of alpha from the checkpoint's, over all pixels
    mean_difference: Optional[float] = None


def card_path(path):
    """Where the card of a model lies."""
    return os.path.normpath(path) + ".json"


def card_to_dict(card):
    """Ready for JSON."""
    return dict(card._asdict(), network=dict(card.network._asdict()))


def read_card(path):
    """The Card that ``mmnet export`` wrote beside a model.

    Raises:
        ValueError: no card, not a card, or another file's; says which.
    """
    where = card_path(path)
    try:
        record = read_json(where)
    except (OSError, ValueError) as error:
        raise MmnetError(
            "%s does not say what it takes and gives, and its card, which mmnet export writes "
            "beside it, cannot be read (%s)" % (path, error)
        ) from None
    if record.get("sha256") != model_sha256(path):
        raise MmnetError("%s is the card of another file than %s: export it again" % (where, path))
    return parse_card(record, where)


def check_own_card(path):
    """Raise ValueError where the card beside a model, if there is one, is that of another file."""
    if os.path.lexists(card_path(path)):
        read_card(path)


def parse_card(record, where):
    """The Card in a record (dict); ValueError, naming ``where`` and the field, for others."""
    for name, known in (
        ("preprocess", PREPROCESS),
        ("output_type", OUTPUT_TYPES),
        ("precision", PRECISIONS),
    ):
        if record.get(name) not in known:
            raise MmnetError(
                "%s is not a card of mmnet export: %s is one of %s, not %s"
                % (where, name, ", ".join(known), shorten(record.get(name)))
            )
    try:
        network = make_network({}, network_fields(record))
        fields = dict(record, network=dict(network._asdict(), shape=list(network.shape)))
        return to_record(fields, Card, where)
    except (TypeError, ValueError) as error:
        raise MmnetError("%s is not a card of mmnet export: %s" % (where, error)) from None


def model_sha256(path):
    """Of a model's file; of the saved_model.pb in a SavedModel, which holds the weights too."""
    return sha256_of_file(os.path.join(path, SAVED_MODEL) if os.path.isdir(path) else path)
