"""Tests of mmnet.inference.onnx."""

import sys

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from helpers.cards import CARD_OF_0_1, write_card
from helpers.models import need_onnx
from mmnet.inference.onnx import open_onnx, set_batch_size
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.networks.network import Network
from mmnet.tf.device import Device

MODELS = ("mmnet.onnx", "logits.onnx")


@pytest.fixture(scope="module")
def cards(exported_models):
    return dict(zip(MODELS, exported_models(*MODELS)))


@pytest.mark.parametrize("name", MODELS)
def test_batches_do_not_change_alphas(cards, small_images, name):
    card = cards[name]
    batched = open_onnx(card.path, Device(threads=1), batch_size=4)
    assert batched.batch_size == 4
    assert batched.card.parameters == card.parameters
    expected = open_onnx(card.path)(small_images)
    np.testing.assert_allclose(batched(small_images), expected, atol=1e-6)


def test_open_onnx_rejects_a_file_for_another_batch_size(cards, tmp_path):
    path = tmp_path / "two.onnx"
    path.write_bytes(set_batch_size(read_bytes(cards["mmnet.onnx"].path), 2))
    with assert_raises(MmnetError, path, [2, 64, 64, 3], "[1,H,W,"):
        open_onnx(str(path))


def test_open_onnx_describes_the_model(cards):
    card = cards["mmnet.onnx"]
    model = open_onnx(card.path)
    assert (model.network.shape, model.card.preprocess) == ((64, 64), "inside")
    assert (model.card.output_type, model.precision) == ("alpha", "float32")
    assert (model.source, model.sha256) == (card.path, card.sha256)
    assert model.card.operations == card.operations
    assert model.card.parameters == card.parameters
    assert model.card.multiply_adds == card.multiply_adds


def test_open_onnx_needs_a_card_without_metadata(cards, small_images, tmp_path):
    import onnx

    card = cards["mmnet.onnx"]
    path = tmp_path / "bare.onnx"
    bare = onnx.load(card.path)
    del bare.metadata_props[:]
    path.write_bytes(bare.SerializeToString())
    with assert_raises(MmnetError, path, "card"):
        open_onnx(str(path))
    write_card(path, dict(CARD_OF_0_1, format="onnx"))
    model = open_onnx(str(path))
    assert model.network == Network("mmnet", 0.25, SMALL.shape)
    np.testing.assert_array_equal(model(small_images), open_onnx(card.path)(small_images))


def test_open_onnx_rejects_other_files(tmp_path):
    need_onnx()
    path = tmp_path / "a.onnx"
    path.write_text("no model")
    with assert_raises(MmnetError, path, "ONNX"):
        open_onnx(str(path))


def test_open_onnx_names_the_missing_runtime(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_text("")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with assert_raises(MmnetError, "onnxruntime", "pip install"):
        open_onnx(str(tmp_path / "a.onnx"))
