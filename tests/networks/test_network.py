"""Tests of mmnet.networks.network."""

import pytest

from helpers import assert_raises
from mmnet.io.errors import MmnetError, format_shape
from mmnet.networks.network import Network, make_network, network_fields


def test_make_network_prefers_requested_to_recorded_to_default_fields():
    assert make_network({}) == Network("mmnet", 1.0, (256, 256), 3)
    recorded = {"name": "other", "width_multiplier": 0.5, "shape": [64, 96]}
    assert make_network({}, recorded) == Network("other", 0.5, (64, 96))
    assert make_network({"shape": (128, 128)}, recorded) == Network("other", 0.5, (128, 128))
    assert make_network({"width_multiplier": None}).width_multiplier is None  # model file


@pytest.mark.parametrize("shape", [(250, 256), (256, 0), (16, 64), (64,), (64, 64, 64), ()])
def test_make_network_rejects_shapes(shape):
    with assert_raises(MmnetError, "shape", 32, format_shape(shape)):
        make_network({"shape": shape})


@pytest.mark.parametrize(
    "field, values", [("width_multiplier", [-1, 0, float("nan"), 1e308]), ("channels", [1, 5])]
)
def test_make_network_rejects_numbers(field, values):
    for value in values:
        with assert_raises(MmnetError, field, value):
            make_network({field: value})


def test_make_network_rejects_sizes_beyond_the_memory():
    with assert_raises(MmnetError, "3200000000x64", "memory"):
        make_network({"shape": (3200000000, 64)})


def test_network_fields_of_records():
    assert network_fields({}) == network_fields({"network": None, "size": None}) == {}
    fields = {"width_multiplier": 0.5, "shape": (64, 64)}
    assert network_fields({"width_multiplier": 0.5, "size": 64}) == fields
    fields = {"name": "other", "shape": (64, 96)}
    assert network_fields({"network": "other", "shape": (64, 96)}) == fields
    assert network_fields({"network": fields}) == fields


def test_network_survives_a_record():
    network = Network("other", 0.75, (64, 96), 4)
    assert make_network({}, network_fields({"network": dict(network._asdict())})) == network


def test_network_as_text():
    assert str(Network(width_multiplier=0.5, shape=(64, 96))) == "mmnet 0.5 at 64x96"
    assert "previous frame" in str(Network(channels=4))
