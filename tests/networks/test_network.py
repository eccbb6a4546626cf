import pytest

from mmnet.io.errors import format_shape
from mmnet.networks.network import Network, make_network, network_fields


def test_flags_speak_before_the_source_and_that_before_the_defaults():
    assert make_network({}) == Network("mmnet", 1.0, (256, 256), 3)
    said = {"name": "other", "width_multiplier": 0.5, "shape": [64, 96]}
    assert make_network({}, said) == Network("other", 0.5, (64, 96))
    assert make_network({"shape": (128, 128)}, said) == Network("other", 0.5, (128, 128))
    assert make_network({"width_multiplier": 2.0}).width_multiplier == 2.0


@pytest.mark.parametrize("shape", [(250, 256), (256, 0), (16, 64), (64,), (64, 64, 64), ()])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="multiples of 32, not %s" % format_shape(shape)):
        make_network({"shape": shape})


@pytest.mark.parametrize("width", [-1, 0, float("nan")])
def test_wrong_widths_are_refused(width):
    with pytest.raises(ValueError, match="greater than 0, not %s" % width):
        make_network({"width_multiplier": width})
    assert make_network({"width_multiplier": None}).width_multiplier is None  # a model may not say


@pytest.mark.parametrize(
    "record, said",
    [
        ({}, {}),
        ({"network": None, "width_multiplier": None, "size": None, "shape": None}, {}),
        ({"width_multiplier": 0.5, "size": 64}, {"width_multiplier": 0.5, "shape": (64, 64)}),
        ({"network": "other", "shape": (64, 96)}, {"name": "other", "shape": (64, 96)}),
        ({"network": {"name": "other", "shape": [64, 96]}}, {"name": "other", "shape": [64, 96]}),
    ],
)
def test_what_a_record_says(record, said):
    assert network_fields(record) == said


def test_all_fields_of_a_network_come_back():
    network = Network("other", 0.75, (64, 96), 4)
    assert make_network({}, network_fields({"network": dict(network._asdict())})) == network


def test_texts():
    assert format_shape((800, 600)) == "800x600"
    assert str(Network(width_multiplier=0.5, shape=(64, 96))) == "mmnet 0.5 at 64x96"
