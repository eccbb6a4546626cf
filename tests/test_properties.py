"""Property tests of parsers: any input gives a value of the promised type, or a clear error."""

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

from helpers import ROOT
from helpers.results import make_identity
from mmnet.commands import COMMANDS, flag_types, load_command
from mmnet.commands.presets import convert, read_preset
from mmnet.commands.synthesize import Options as SynthesizeOptions
from mmnet.datasets.pairs import Dataset, Pair
from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.records import read_evaluation, record_path, write_record
from mmnet.inference.card import Card, card_to_dict, parse_card
from mmnet.inference.replay import NAMINGS, RESULT_FILE
from mmnet.io.errors import MmnetError
from mmnet.io.records import to_record
from mmnet.networks.network import Network
from mmnet.weights.run_file import to_yaml

sys.path.append(ROOT)
from offline_infer.datapre import MAX_STEM_LENGTH, make_safe_stems  # noqa: E402

FEW = settings(max_examples=60, deadline=None, derandomize=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FLAG_TYPES = {  # name of a type -> whether a value is valid
    "positive_int": lambda value: value >= 1,
    "whole_number": lambda value: value >= 0,
    "seed_number": lambda value: 0 <= value < 1 << 32,
    "positive_float": lambda value: value > 0 and math.isfinite(value),
    "not_negative": lambda value: value >= 0 and math.isfinite(value),
    "decay": lambda value: 0 <= value < 1,
    "network_side": lambda value: value >= 32 and value % 32 == 0,
    "positive_ints": lambda value: value and all(number >= 1 for number in value),
}
NUMBERS = st.integers().map(str) | st.floats().map(str) | st.text(string.printable, max_size=12)
SAFE_CHARACTERS = set(string.ascii_letters + string.digits + "_-")
# A file name cannot contain NUL.
FILE_CHARACTERS = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
STEMS = st.lists(st.text(FILE_CHARACTERS, min_size=1), max_size=6)


@pytest.mark.parametrize("name", FLAG_TYPES)
@FEW
@given(text=NUMBERS)
@example(text="٣")
@example(text="9" * 5000)
@example(text="1_000")
@example(text="nan")
def test_flag_type_returns_valid_value_or_raises(name, text):
    try:
        value = getattr(flag_types, name)(text)
    except MmnetError as error:
        assert "\n" not in str(error).replace(text, "") and len(str(error)) < 300
    else:
        assert FLAG_TYPES[name](value)


@FEW
@given(st.sampled_from(sorted(COMMANDS)), JSON)
def test_convert_returns_value_or_raises(command, value):
    for field in dataclasses.fields(load_command(command).Options):
        try:
            convert(field, value, "--" + field.name)
        except (MmnetError, OSError) as error:
            assert str(error)


@FEW
@given(st.integers(1, 5000), st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 9999)] * 2))
def test_options_survive_yaml(pictures, seed, shape):
    options = SynthesizeOptions(
        output="portraits", dataset_split_name="test", pictures=pictures, seed=seed, shape=shape
    )
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(to_yaml(dataclasses.asdict(options)))
        file.flush()
        values = read_preset(file.name)
    fields = {field.name: field for field in dataclasses.fields(SynthesizeOptions)}
    converted = {name: convert(fields[name], value, name) for name, value in values.items()}
    assert SynthesizeOptions(**converted) == options


@FEW
@given(st.text(max_size=60))
@example("a: &a [1]\nb: *a\n")
@example("{" * 2000)
@example("? [a]\n: 1")
@example("!!python/object/apply:os.system [ls]")
def test_read_preset_returns_dict_or_names_file(text):
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.flush()
        try:
            assert isinstance(read_preset(file.name), dict)
        except MmnetError as error:
            assert file.name in str(error)


class Item(NamedTuple):
    name: str
    weight: Optional[float] = None


class Sample(NamedTuple):
    number: int
    flag: bool
    items: List[Item]
    pair: Tuple[int, int] = (1, 2)
    counts: Optional[Dict[str, int]] = None


@FEW
@given(JSON)
def test_to_record_returns_record_or_names_file(value):
    try:
        record = to_record(value, Sample, "x.json")
    except MmnetError as error:
        assert str(error).startswith("x.json")
    else:
        assert isinstance(record.number, int)


@FEW
@given(st.sampled_from(Sample._fields), JSON)
def test_to_record_names_wrong_field(name, value):
    fields = {"number": 1, "flag": True, "items": [{"name": "a"}]}
    assert to_record(fields, Sample, "x.json").items == [Item("a")]
    try:
        to_record(dict(fields, **{name: value}), Sample, "x.json")
    except MmnetError as error:
        assert str(error).startswith("x.json: " + name)


@FEW
@given(
    st.sampled_from(["inside", "outside"]),
    st.sampled_from(["alpha", "logits", "probabilities"]),
    st.tuples(*[st.integers(1, 20).map(lambda n: 32 * n)] * 2),
    st.none() | st.dictionaries(st.text(max_size=5), st.integers(0, 999)),
)
def test_card_survives_json(preprocess, output_type, shape, operations):
    network = Network(width_multiplier=0.5, shape=shape)
    card = Card(network, preprocess, output_type, "int8", operations=operations)
    assert parse_card(json.loads(json.dumps(card_to_dict(card))), "x") == card


@FEW
@given(JSON)
def test_parse_card_rejects_other_json(value):
    if isinstance(value, dict):
        with pytest.raises(MmnetError):
            parse_card(value, "x.json")


@FEW
@given(STEMS)
def test_make_safe_stems_returns_distinct_result_names(stems):
    stems = list(dict.fromkeys(stems))
    names = make_safe_stems(stems)
    assert len(set(names)) == len(names) == len(stems)
    for stem, name in zip(stems, names):
        assert set(name) <= SAFE_CHARACTERS
        assert len(name) <= MAX_STEM_LENGTH + 4
        if set(stem) <= SAFE_CHARACTERS and len(stem) <= 200:
            assert name == stem
        for naming in NAMINGS:
            assert RESULT_FILE.match(name + naming)


@FEW
@given(STEMS.filter(bool), st.booleans())
def test_evaluation_survives_record(stems, square):
    identity = make_identity(network={"shape": [64, 64] if square else [64, 96]})
    shapes = {"network": tuple(identity.network["shape"]), "target": (8, 6)}
    scores = {
        (metric, place): np.random.RandomState(0).rand(len(stems))
        for place in shapes
        for metric in ("mad", "gauss_grad")
    }
    dataset = Dataset("faces", "test", [Pair(stem, stem + ".jpg", None) for stem in stems])
    with tempfile.TemporaryDirectory() as folder:
        path = record_path(folder, dataset, identity.target_eval_shape, None)
        os.makedirs(os.path.dirname(path))
        write_record(path, Evaluation(dataset, None, 3, shapes, scores), identity)
        evaluation = read_evaluation(folder, dataset, None, identity)
    assert evaluation is not None
    assert (evaluation.shapes, evaluation.global_step) == (shapes, 3)
    assert list(evaluation.scores) == list(scores)
    for key, values in scores.items():
        np.testing.assert_array_equal(evaluation.scores[key], values)
