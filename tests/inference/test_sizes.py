"""Tests of mmnet.inference.sizes."""

import pytest

from mmnet.inference.sizes import model_size, network_size, paper_sizes
from mmnet.inference.tensorflow import open_frozen
from mmnet.networks.network import Network
from mmnet.weights.source import source_bytes


def test_model_size_of_checkpoint_and_frozen_graph_agree(exported_models, small_predictor):
    card = exported_models("frozen.pb")[0]
    size = model_size(small_predictor)
    assert size[:2] == model_size(open_frozen(card.path))[:2]
    assert size.bytes == source_bytes(small_predictor.source) > 0


def test_paper_sizes_match_the_paper():
    sizes = paper_sizes("mmnet")
    assert [size.width_multiplier for size in sizes] == [0.5, 0.75, 1.0, 1.4]
    assert [size.trainable_parameters for size in sizes] == [64260, 120428, 190652, 356588]
    for size in sizes:  # the paper rounds to thousandths of a million
        assert size.parameters / 1e6 == pytest.approx(size.paper_parameters, abs=0.0006)
    assert sizes[2].checkpoint_bytes == 2322908  # size of the published files
    # The published graph has 327.5 M, because its classifier runs at the full size.
    assert [round(size.multiply_adds / 1e6, 1) for size in sizes] == [118.3, 211.3, 325.5, 618.8]


def test_network_size_is_independent_of_the_input_shape():
    small, large = (network_size(Network("tiny", shape=shape)) for shape in [(64, 64), (96, 32)])
    assert small == large and small.paper_parameters is None
