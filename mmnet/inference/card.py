"""The card of a model file: JSON beside the file that describes it. No TensorFlow."""

import json
import os
from typing import Any, Dict, NamedTuple, Optional

from mmnet.inference.signature import Signature, check_signature
from mmnet.io.errors import MmnetError, shorten
from mmnet.io.files import read_json, sha256_of_file
from mmnet.io.records import to_record
from mmnet.networks.network import Network, make_network, network_fields
from mmnet.weights.source import SAVED_MODEL

FIELD_VALUES = {  # field -> values
    "preprocess": ("inside", "outside"),
    "output_type": ("probabilities", "alpha", "logits"),
    "precision": ("float32", "float16", "dynamic", "int8"),
}


class Card(NamedTuple):
    """Description of a model file. ``mmnet export`` also fills the optional fields."""

    network: Network
    preprocess: str = "inside"  # division of images by 255: in the model, or before it
    output_type: str = "alpha"
    precision: str = "float32"
    path: Optional[str] = None
    format: Optional[str] = None  # "pb", "savedmodel", "tflite" or "onnx"
    input: Optional[str] = None  # name, type, shape and range
    output: Optional[str] = None
    checkpoint: Optional[str] = None  # prefix
    index_sha256: Optional[str] = None  # hash of the checkpoint
    use_ema: bool = False
    logit_scale: float = 1.0  # factor of the checkpoint's logits
    calibration: Optional[dict] = None  # source of the int8 ranges
    tensorflow: Optional[str] = None  # version that exported the model
    parameters: Optional[int] = None  # with the moving statistics of batch norm
    multiply_adds: Optional[int] = None  # convolutions only, for one image
    operations: Optional[Dict[str, int]] = None  # type -> count, the most frequent first
    bytes: Optional[int] = None
    sha256: Optional[str] = None  # hash of the file, or of saved_model.pb
    pictures: Optional[int] = None  # number of images compared with the checkpoint
    largest_difference: Optional[float] = None  # from the checkpoint's alpha, over all pixels
    mean_difference: Optional[float] = None
    signature: Optional[Signature] = None  # written by mmnet card: a model of another project


def card_path(path: str) -> str:
    """Return the path of a model's card."""
    return os.path.normpath(path) + ".json"


def card_to_dict(card: Card) -> Dict[str, Any]:
    """Return a card as a dictionary for JSON."""
    record = dict(card._asdict(), network=dict(card.network._asdict()))
    if card.signature is not None:
        record["signature"] = dict(card.signature._asdict())
    return record


def read_card(path: str, sha256: Optional[str] = None) -> Card:
    """Read the card beside a model, and compare its hash with ``sha256`` or the file's.

    Raises:
        MmnetError: no card, an invalid card, or the card of another file.
    """
    file = card_path(path)
    try:
        record = read_json(file)
    except (OSError, MmnetError) as error:
        raise MmnetError(
            f"{path}: cannot be opened without its card, which mmnet export writes, or "
            f"for models of other projects mmnet card ({error})"
        ) from None
    if record.get("sha256") != (sha256 or model_sha256(path)):
        raise MmnetError(f"{file}: is the card of another file than {path}; write it again")
    return parse_card(record, file)


def check_own_card(path: str, sha256: Optional[str] = None) -> None:
    """Raise MmnetError if a model has a card, but that of another file."""
    if os.path.lexists(card_path(path)):
        read_card(path, sha256)


def parse_card(record: Dict[str, Any], source: str) -> Card:
    """Convert the content of a card, also from version 0.1 or 0.2.

    ``source`` names the card in the MmnetError for a missing or invalid field.
    """
    for name, choices in FIELD_VALUES.items():
        if record.get(name) not in choices:
            raise MmnetError(
                f"{source}: not a card of mmnet: {name}: expected {', '.join(choices)}, "
                f"not {shorten(record.get(name))}"
            )
    fields = dict(record)
    fields.setdefault("logit_scale", fields.pop("temperature", 1.0))  # its name before 0.3
    try:
        if record.get("signature"):
            signature = to_record(record["signature"], Signature, f"{source}: signature")
            check_signature(signature, f"{source}: signature")
            return to_record(fields, Card, source)
        network = make_network({}, network_fields(record))
        fields["network"] = json.loads(json.dumps(network._asdict()))  # lists
        return to_record(fields, Card, source)
    except (TypeError, MmnetError) as error:
        raise MmnetError(f"{source}: not a card of mmnet: {error}") from None


def model_sha256(path: str) -> str:
    """Return the hash of a model file. Of a SavedModel it is the hash of its saved_model.pb."""
    return sha256_of_file(os.path.join(path, SAVED_MODEL) if os.path.isdir(path) else path)
