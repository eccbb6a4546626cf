"""Tests of mmnet.inference.card."""

import json

import pytest

from helpers import assert_raises
from helpers.cards import CARD_OF_0_1, write_card
from mmnet.inference.card import (
    Card,
    card_path,
    card_to_dict,
    check_own_card,
    model_sha256,
    parse_card,
    read_card,
)
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network

REQUIRED = {"preprocess": "inside", "output_type": "alpha", "precision": "float32"}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(b"a model")
    return path


def test_read_card_returns_what_was_written(model, tmp_path):
    network = Network("mmnet", 0.5, (64, 96))
    card = Card(network, "outside", "logits", "int8", parameters=12, operations={"ADD": 1})
    write_card(model, card_to_dict(card))
    assert read_card(str(model)) == card._replace(sha256=model_sha256(str(model)))
    assert card_path(str(tmp_path / "saved" / "")) == str(tmp_path / "saved.json")


def test_read_card_accepts_cards_of_0_1(model):
    record = write_card(model, CARD_OF_0_1)
    card = read_card(str(model))
    assert card.network == Network("mmnet", 0.25, (64, 64)) and card.logit_scale == 1
    for name in set(CARD_OF_0_1) - {"size", "width_multiplier"}:
        assert getattr(card, name) == record[name]
    assert set(Card._fields) - set(CARD_OF_0_1) == {"network", "logit_scale", "signature"}


def test_parse_card_accepts_the_old_name_of_logit_scale():
    assert parse_card(dict(REQUIRED, temperature=2.0), "x.json").logit_scale == 2
    card = Card(Network(), logit_scale=1.5)
    assert "temperature" not in card_to_dict(card)
    assert parse_card(json.loads(json.dumps(card_to_dict(card))), "x.json") == card


def test_parse_card_uses_defaults_and_ignores_unknown_fields():
    assert parse_card(REQUIRED, "x.json") == Card(Network())
    record = dict(REQUIRED, size=96, parameters=12, other="x")
    card = parse_card(record, "x.json")
    assert card.network == Network(shape=(96, 96))
    assert (card.parameters, card.multiply_adds) == (12, None)


@pytest.mark.parametrize(
    "change, tokens",
    [
        ({"preprocess": "within"}, ["preprocess", "inside, outside", "'within'"]),
        ({"output_type": None}, ["output_type", "None"]),
        ({"precision": ["int8"]}, ["precision", "['int8']"]),
        ({"parameters": "many"}, ["parameters", "'many'", "int"]),
        ({"multiply_adds": [1]}, ["multiply_adds"]),
        ({"size": 50}, ["32", "50x50"]),
        ({"width_multiplier": 0}, ["width_multiplier", "0"]),
        ({"width_multiplier": -1}, ["width_multiplier", "-1"]),
        ({"network": {"shape": [64, 96], "depth": 3}}, ["depth"]),
        ({"network": {"shape": 64}}, []),
    ],
    ids=str,
)
def test_parse_card_rejects_invalid_fields(change, tokens):
    with assert_raises(MmnetError, "x.json", "card", *tokens):
        parse_card(dict(CARD_OF_0_1, **change), "x.json")


@pytest.mark.parametrize("content", [None, "no JSON", "[1]", ""])
def test_read_card_rejects_missing_and_damaged_cards(model, content):
    if content is not None:
        model.with_name("a.tflite.json").write_text(content)
    with assert_raises(MmnetError, model, "card", "mmnet export"):
        read_card(str(model))


def test_read_card_rejects_the_card_of_another_file(model):
    check_own_card(str(model))  # no card
    write_card(model, CARD_OF_0_1)
    check_own_card(str(model))
    model.write_text("another file")
    for check in (read_card, check_own_card):
        with assert_raises(MmnetError, "a.tflite.json", "another file"):
            check(str(model))
