""".onnx files as Predictors."""

import sys

import numpy as np
import pytest

from helpers import SMALL
from helpers.cards import CARD_OF_0_1, write_card
from helpers.lively import need_onnx
from mmnet.inference.onnx import of_batch, open_onnx
from mmnet.tf.device import Device

MODELS = ("mmnet.onnx", "logits.onnx")


@pytest.fixture(scope="module")
def cards(delivered):
    return dict(zip(MODELS, delivered(*MODELS)))


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_gives_what_single_pictures_give(cards, lively_images, name):
    card = cards[name]
    batched = open_onnx(card.path, Device(threads=1), batch=4)
    assert batched.batch == 4
    assert batched.complexity.parameters == card.parameters
    expected = open_onnx(card.path)(lively_images)
    np.testing.assert_allclose(batched(lively_images), expected, atol=1e-6)


def test_another_batch_is_refused(cards, tmp_path):
    """of_batch is asked for; a file that takes two pictures is not taken for one of one."""
    other = tmp_path / "two.onnx"
    other.write_bytes(of_batch(cards["mmnet.onnx"].path, 2))
    with pytest.raises(ValueError, match=r"two.onnx takes \[2, 64, 64, 3\], not \[1,H,W,3\]"):
        open_onnx(str(other))


def test_what_it_says_of_itself(cards, lively_images, tmp_path):
    """It needs no card; a file without what is said in it has one, which 0.1 may have written."""
    import onnx

    card = cards["mmnet.onnx"]
    model = open_onnx(card.path)
    assert (model.network.shape, model.card.preprocess) == ((64, 64), "inside")
    assert (model.card.output_type, model.precision) == ("alpha", "float32")
    assert (model.source, model.sha256) == (card.path, card.sha256)
    assert model.operations == card.operations
    assert model.complexity == (card.parameters, card.multiply_adds)
    path = tmp_path / "silent.onnx"
    silent = onnx.load(card.path)
    del silent.metadata_props[:]
    path.write_bytes(silent.SerializeToString())
    with pytest.raises(ValueError, match="its card, which mmnet export writes beside it, cannot"):
        open_onnx(str(path))
    write_card(path, dict(CARD_OF_0_1, format="onnx"))
    model = open_onnx(str(path))
    assert model.network == SMALL
    np.testing.assert_array_equal(model(lively_images), open_onnx(card.path)(lively_images))


def test_files_that_do_not_open(tmp_path):
    need_onnx()
    path = tmp_path / "a.onnx"
    path.write_text("no model")
    with pytest.raises(ValueError, match="a.onnx is not an ONNX model"):
        open_onnx(str(path))


def test_a_runtime_that_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_text("")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"running an .onnx needs onnxruntime .*pip install"):
        open_onnx(str(tmp_path / "a.onnx"))
