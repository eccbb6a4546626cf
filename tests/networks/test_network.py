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
    "field, value",
    [
        ("width_multiplier", -1),
        ("width_multiplier", 0),
        ("width_multiplier", float("nan")),
        ("channels", 1),
        ("channels", 5),
    ],
)
def test_make_network_rejects_numbers(field, value):
    with assert_raises(MmnetError, field, value):
        make_network({field: value})


@pytest.mark.parametrize(
    "record, fields",
    [
        pytest.param({}, {}, id="empty"),
        pytest.param({"network": None, "size": None, "shape": None}, {}, id="unset options"),
        pytest.param(
            {"width_multiplier": 0.5, "size": 64},
            {"width_multiplier": 0.5, "shape": (64, 64)},
            id="size",
        ),
        pytest.param(
            {"network": "other", "shape": (64, 96)},
            {"name": "other", "shape": (64, 96)},
            id="name and shape",
        ),
        pytest.param(
            {"network": {"name": "other", "shape": [64, 96]}},
            {"name": "other", "shape": [64, 96]},
            id="fields",
        ),
    ],
)
def test_network_fields_of_records(record, fields):
    assert network_fields(record) == fields


def test_network_survives_a_record():
    network = Network("other", 0.75, (64, 96), 4)
    assert make_network({}, network_fields({"network": dict(network._asdict())})) == network


def test_network_as_text():
    assert str(Network(width_multiplier=0.5, shape=(64, 96))) == "mmnet 0.5 at 64x96"
    assert "previous frame" in str(Network(channels=4))
