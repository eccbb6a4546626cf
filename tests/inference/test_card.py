"""The card of a model file."""

import pytest

from helpers import SMALL
from helpers.cards import CARD_OF_0_1, write_card
from mmnet.inference.card import Card, card_path, card_to_dict, model_sha256, parse_card, read_card
from mmnet.networks.network import Network

# A card as version 0.1 wrote it: no "network", its parts at the top level.


def test_there_and_back(tmp_path):
    model = tmp_path / "a.tflite"
    model.write_bytes(b"a model")
    network = Network("mmnet", 0.5, (64, 96))
    card = Card(network, "outside", "logits", "int8", parameters=12, operations={"ADD": 1})
    record = write_card(model, card_to_dict(card))
    assert record["network"] == {
        "name": "mmnet",
        "width_multiplier": 0.5,
        "shape": (64, 96),
        "channels": 3,
    }
    assert read_card(str(model)) == card._replace(sha256=model_sha256(str(model)))
    assert card_path(str(tmp_path / "saved" / "")) == str(tmp_path / "saved.json")


def test_a_card_of_0_1(tmp_path):
    model = tmp_path / "mmnet_float32.tflite"
    model.write_bytes(b"12345")
    record = write_card(model, CARD_OF_0_1)
    card = read_card(str(model))
    assert card.network == SMALL
    for name in set(CARD_OF_0_1) - {"size", "width_multiplier"}:
        assert getattr(card, name) == record[name]
    assert set(Card._fields) - set(CARD_OF_0_1) == {"network", "temperature"}


def test_what_is_not_said_is_the_default():
    said = {"preprocess": "inside", "output_type": "alpha", "precision": "float32"}
    assert parse_card(said, "x.json") == Card(Network())
    assert parse_card(dict(said, size=96), "x.json").network == Network(shape=(96, 96))


def test_numbers():
    """What a card does not know is passed over; onnx_file makes numbers of an ONNX file's text."""
    said = {"preprocess": "inside", "output_type": "alpha", "precision": "float32"}
    numbers = {"parameters": 12, "multiply_adds": 34, "other": "x"}
    card = parse_card(dict(said, **numbers), "x.json")
    assert (card.parameters, card.multiply_adds) == (12, 34)
    card = parse_card(dict(said, parameters=12), "x.json")
    assert (card.parameters, card.multiply_adds) == (12, None)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"preprocess": "within"}, "preprocess is one of inside, outside, not 'within'"),
        ({"output_type": None}, "output_type is one of .*, not None"),
        ({"precision": ["int8"]}, "precision is one of "),
        ({"parameters": "many"}, "parameters is 'many', not int"),
        ({"multiply_adds": [1]}, "is not a card of mmnet export"),
        ({"size": 50}, "multiples of 32, not 50x50"),
        ({"width_multiplier": 0}, "width_multiplier is greater than 0, not 0"),
        ({"width_multiplier": -1}, "width_multiplier is greater than 0, not -1"),
        ({"network": {"shape": [64, 96], "depth": 3}}, "is not a card of mmnet export"),
        ({"network": {"shape": 64}}, "is not a card of mmnet export"),
    ],
)
def test_what_is_no_card(change, said):
    with pytest.raises(ValueError, match="^x.json is not a card of mmnet export: ") as caught:
        parse_card(dict(CARD_OF_0_1, **change), "x.json")
    assert caught.match(said)


def test_cards_that_are_not_read(tmp_path):
    model = tmp_path / "b.tflite"
    model.write_text("a model")
    unread = "its card, which mmnet export writes beside it, cannot be read"
    with pytest.raises(ValueError, match=unread):
        read_card(str(model))
    card = tmp_path / "b.tflite.json"
    for text in ("no JSON", "[1]", ""):
        card.write_text(text)
        with pytest.raises(ValueError, match=unread):
            read_card(str(model))
    write_card(model, CARD_OF_0_1)
    read_card(str(model))
    model.write_text("another file")
    with pytest.raises(ValueError, match="b.tflite.json is the card of another file than .*b.tfl"):
        read_card(str(model))
