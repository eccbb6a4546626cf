"""Tests of mmnet.networks.views, and of networks with several views."""

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from helpers.graphs import run
from mmnet.export.graphs import fold_batch_norm
from mmnet.inference.checkpoints import open_weights
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear
from mmnet.networks.inference_graph import inference_graph
from mmnet.networks.network import Network, with_views
from mmnet.networks.views import View, largest_shape, parse_view, scaled_views

VIEWS = ("64", "96f", "64x96")


def test_parse_view():
    assert parse_view("320") == View((320, 320))
    assert parse_view("320f") == View((320, 320), mirrored=True)
    assert parse_view("320x256f") == View((320, 256), mirrored=True)
    for text in ("256", "320f", "320x256f"):
        assert str(parse_view(text)) == text
    for text in ("", "f", "320F", "320 ", "-320", "320x", "1e3", "1234567"):
        with assert_raises(MmnetError, "views", repr(text)):
            parse_view(text)


def test_shapes_of_views():
    assert largest_shape(VIEWS) == (96, 96)
    assert largest_shape(("64x96", "96x64f")) == (96, 96)
    for shape in ((256, 256), (160, 160), (512, 384), (32, 32)):
        assert scaled_views(shape, 1) == (str(View(shape)),)
        for count in (2, 3):
            views = [parse_view(text) for text in scaled_views(shape, count)]
            assert len(views) == count and views[0] == View(shape)
            assert all(side % 32 == 0 for view in views for side in view.shape)


def test_with_views():
    network = with_views(SMALL, VIEWS)
    assert (network.shape, network.base_shape, network.views) == ((96, 96), (64, 64), VIEWS)
    assert with_views(network, ["128"]) == SMALL._replace(shape=(128, 128))
    assert with_views(SMALL, ["64f"]).views == ("64f",)
    assert SMALL.base_shape == SMALL.shape
    with assert_raises(MmnetError, "views", "100x100"):
        with_views(SMALL, ["64", "100"])
    with assert_raises(MmnetError, "views", "0x0"):
        with_views(SMALL, ["64", "0"])
    assert network.with_input([96, 96]) == network
    with assert_raises(MmnetError, "64 96f", "64x64"):
        network.with_input([64, 64])
    assert Network().with_input([160, 128]).shape == (160, 128)


@pytest.fixture
def images():
    small = np.random.RandomState(0).uniform(0, 255, (2, 12, 12, 3))
    enlarged = [resize_bilinear(image, (96, 96), align_corners=True) for image in small]
    return np.stack(enlarged).astype(np.float32)


def test_views_average_the_logits(small_weights, images):
    """The graph equals one network per view whose images and logits numpy resizes and mirrors."""

    def logits(view):
        weights = small_weights._replace(network=SMALL._replace(shape=view.shape))
        flip = slice(None, None, -1 if view.mirrored else 1)
        resized = [resize_bilinear(image, view.shape, align_corners=True) for image in images]
        alphas = open_weights(weights)(np.stack(resized)[:, :, flip]).astype(np.float64)
        values = np.log(alphas / (1 - alphas))[:, :, flip]
        return [resize_bilinear(value, (96, 96), align_corners=True) for value in values]

    expected = 1 / (1 + np.exp(-np.mean([logits(parse_view(text)) for text in VIEWS], axis=0)))
    predictor = open_weights(small_weights._replace(network=with_views(SMALL, VIEWS)))
    np.testing.assert_allclose(predictor(images), expected, atol=1e-5)
    assert np.abs(expected - expected.mean()).max() > 0.01


def test_views_share_folded_weights(small_weights, images):
    """A constant that several views share is folded once."""
    network = with_views(SMALL, VIEWS)
    several = inference_graph(network, small_weights.values, output_type="alpha")
    one = inference_graph(SMALL, small_weights.values, output_type="alpha")
    for graph_def in (several, fold_batch_norm(several)):
        names = {node.name for node in graph_def.node if node.op == "Const"}
        assert sum("weights" in name for name in names) == sum(
            "weights" in node.name for node in one.node if node.op == "Const"
        )
    folded = run(fold_batch_norm(several), images[:1])
    np.testing.assert_allclose(folded, run(several, images[:1]), atol=1e-5)
