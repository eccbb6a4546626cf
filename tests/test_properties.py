"""What parses, on input that nobody thought of: a value of the promised kind, or ValueError."""

import dataclasses
import json
import math
import os
import string
import sys
import tempfile
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmnet.commands.settings import VERBS, Synthesize

from helpers import ROOT
from helpers.results import make_identity
from mmnet.commands import flag_types as kinds
from mmnet.commands.presets import convert, read_preset, to_yaml
from mmnet.datasets.pairs import Dataset, Pair
from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.records import read_evaluation, write_record
from mmnet.inference.card import Card, card_to_dict, parse_card
from mmnet.inference.replay import NAMINGS, RESULT_FILE
from mmnet.io.records import to_record
from mmnet.networks.network import Network

sys.path.append(ROOT)
from offline_infer.datapre import MAX_STEM_LENGTH, make_safe_stems  # noqa: E402

FEW = settings(max_examples=60, deadline=None, derandomize=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
PLAIN_KINDS = {
    kinds.positive_int: lambda value: value >= 1,
    kinds.whole_number: lambda value: value >= 0,
    kinds.seed_number: lambda value: 0 <= value < 1 << 32,
    kinds.positive_float: lambda value: value > 0 and math.isfinite(value),
    kinds.not_negative: lambda value: value >= 0 and math.isfinite(value),
    kinds.decay: lambda value: 0 <= value < 1,
    kinds.network_side: lambda value: value >= 32 and value % 32 == 0,
    kinds.positive_ints: lambda value: value and all(one >= 1 for one in value),
}
NUMBERS = st.integers().map(str) | st.floats().map(str) | st.text(string.printable, max_size=12)


@pytest.mark.parametrize("kind", list(PLAIN_KINDS), ids=lambda kind: kind.__name__)
def test_kinds_give_what_they_promise(kind):
    @FEW
    @given(NUMBERS)
    @example("٣")
    @example("9" * 5000)
    @example("1_000")
    @example("nan")
    def check(text):
        try:
            value = kind(text)
        except ValueError as error:
            assert "\n" not in str(error).replace(text, "") and len(str(error)) < 300
        else:
            assert PLAIN_KINDS[kind](value)

    check()


@FEW
@given(st.sampled_from(sorted(VERBS)), JSON)
def test_convert_gives_a_value_or_one_line(verb, value):
    for field in dataclasses.fields(VERBS[verb]):
        try:
            convert(field, value, "--" + field.name)
        except (ValueError, OSError) as error:
            assert str(error)


@FEW
@given(st.integers(1, 5000), st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 9999)] * 2))
def test_settings_come_back_from_yaml(pictures, seed, shape):
    given_settings = Synthesize("made", "test", pictures, seed, shape)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.yaml")
        with open(path, "w") as file:
            file.write(to_yaml(given_settings))
        values = read_preset(path)
    fields = {field.name: field for field in dataclasses.fields(Synthesize)}
    again = {name: convert(fields[name], value, name) for name, value in values.items()}
    assert Synthesize(**again) == given_settings


@FEW
@given(st.text(max_size=60))
@example("a: &a [1]\nb: *a\n")
@example("{" * 2000)
@example("? [a]\n: 1")
@example("!!python/object/apply:os.system [ls]")
def test_presets_are_read_or_refused(text):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.yaml")
        with open(path, "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
        try:
            assert isinstance(read_preset(path), dict)
        except ValueError as error:
            assert path in str(error)


class Inner(NamedTuple):
    name: str
    weight: Optional[float] = None


class Sample(NamedTuple):
    number: int
    flag: bool
    items: List[Inner]
    pair: Tuple[int, int] = (1, 2)
    counts: Optional[Dict[str, int]] = None


@FEW
@given(JSON)
def test_records_of_anything(value):
    try:
        record = to_record(value, Sample, "x.json")
    except ValueError as error:
        assert str(error).startswith("x.json")
    else:
        assert isinstance(record.number, int)


@FEW
@given(st.sampled_from(Sample._fields), JSON)
def test_records_with_one_wrong_field(name, value):
    good = {"number": 1, "flag": True, "items": [{"name": "a"}]}
    assert to_record(good, Sample, "x.json").items == [Inner("a")]
    try:
        to_record(dict(good, **{name: value}), Sample, "x.json")
    except ValueError as error:
        assert str(error).startswith("x.json: " + name)


@FEW
@given(
    st.sampled_from(["inside", "outside"]),
    st.sampled_from(["alpha", "logits", "probabilities"]),
    st.tuples(*[st.integers(1, 20).map(lambda n: 32 * n)] * 2),
    st.none() | st.dictionaries(st.text(max_size=5), st.integers(0, 999)),
)
def test_cards_come_back(preprocess, output_type, shape, operations):
    network = Network(width_multiplier=0.5, shape=shape)
    card = Card(network, preprocess, output_type, "int8", operations=operations)
    assert parse_card(json.loads(json.dumps(card_to_dict(card))), "x") == card


@FEW
@given(JSON)
def test_cards_of_anything(value):
    if isinstance(value, dict):
        with pytest.raises(ValueError):
            parse_card(value, "x.json")


# No file's name holds a NUL.
LETTERS = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
STEMS = st.lists(st.text(LETTERS, min_size=1), max_size=6)


@FEW
@given(STEMS)
def test_safe_stems(stems):
    stems = list(dict.fromkeys(stems))
    names = make_safe_stems(stems)
    assert len(set(names)) == len(names) == len(stems)
    for stem, name in zip(stems, names):
        assert set(name) <= set(string.ascii_letters + string.digits + "_-")
        assert len(name) <= MAX_STEM_LENGTH + 4
        if set(stem) <= set(string.ascii_letters + string.digits + "_-") and len(stem) <= 200:
            assert name == stem
        for naming in NAMINGS:
            assert RESULT_FILE.match(name + naming)


@FEW
@given(STEMS.filter(bool), st.booleans())
def test_scores_come_back_from_record(stems, square):
    identity = make_identity(network={"shape": [64, 64] if square else [64, 96]})
    shapes = {"network": tuple(identity.network["shape"]), "target": (8, 6)}
    scores = {
        (metric, place): np.random.RandomState(0).rand(len(stems))
        for place in shapes
        for metric in ("mad", "gauss_grad")
    }
    dataset = Dataset("faces", "test", [Pair(stem, stem + ".jpg", None) for stem in stems])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "record.json")
        write_record(path, Evaluation(dataset, None, 3, shapes, scores), identity)
        evaluation = read_evaluation(path, dataset, None, identity)
    assert evaluation is not None
    assert (evaluation.shapes, evaluation.global_step) == (shapes, 3)
    assert list(evaluation.scores) == list(scores)
    for key, values in scores.items():
        np.testing.assert_array_equal(evaluation.scores[key], values)
