""".tflite files as Predictors."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import SMALL
from helpers.cards import CARD_OF_0_1, write_card
from mmnet.inference import tflite as tflite_module
from mmnet.inference.card import card_path
from mmnet.inference.tflite import open_tflite
from mmnet.tf.compat import tflite_supports_threads
from mmnet.tf.device import Device


@pytest.fixture(scope="module")
def cards(delivered):
    return delivered("mmnet.tflite", "outside.tflite")


def test_what_it_says_of_itself(cards):
    card = cards[0]
    model = open_tflite(card.path)
    assert (model.network, model.card.output_type, model.precision) == (SMALL, "alpha", "float32")
    assert (model.source, model.step, model.sha256) == (card.path, None, card.sha256)
    assert model.complexity == (card.parameters, card.multiply_adds)
    assert model.operations == card.operations


def test_a_batch_gives_what_single_pictures_give(cards, lively_images):
    path = cards[0].path
    expected = open_tflite(path)(lively_images)
    batched = open_tflite(path, Device(threads=1), batch=2)
    assert batched.batch == 2
    np.testing.assert_allclose(batched(lively_images), expected, atol=1e-6)


def test_threads(cards, lively_images):
    path = cards[0].path
    if not tflite_supports_threads():
        with pytest.raises(ValueError, match="TFLite runs on one thread, not 2"):
            open_tflite(path, Device(threads=2))
        return
    alphas = open_tflite(path, Device(threads=2))(lively_images)
    np.testing.assert_allclose(alphas, open_tflite(path)(lively_images), atol=1e-6)


def test_its_card(cards, lively_images, tmp_path):
    card = cards[1]
    path = str(tmp_path / "b.tflite")
    shutil.copy(card.path, path)
    with pytest.raises(ValueError, match="its card, which mmnet export writes beside it, cannot"):
        open_tflite(path)
    shutil.copy(card_path(card.path), card_path(path))
    expected = open_tflite(path)(lively_images)
    # As version 0.1 wrote it; the shape is the file's own, whatever a card says.
    for size in (64, 256):
        said = {"preprocess": "outside", "output_type": "probabilities", "size": size}
        write_card(path, dict(CARD_OF_0_1, **said))
        model = open_tflite(path)
        assert model.network == SMALL
        assert model.complexity == (40000, 2000000)
        np.testing.assert_array_equal(model(lively_images), expected)
    for missing in ("parameters", "multiply_adds"):
        write_card(path, dict(CARD_OF_0_1, **{missing: None}))
        assert open_tflite(path).complexity is None
    write_card(path, dict(CARD_OF_0_1, network={"name": "mmnet", "channels": 4}))
    with pytest.raises(ValueError, match=r"b.tflite takes \[1, 64, 64, 3\], not \[1,H,W,4\]"):
        open_tflite(path)


def test_files_that_do_not_open(tmp_path):
    path = tmp_path / "b.tflite"
    path.write_text("another file")
    (tmp_path / "b.tflite.json").write_text(json.dumps(dict(CARD_OF_0_1, sha256="0" * 64)))
    with pytest.raises(ValueError, match="is the card of another file"):
        open_tflite(str(path))
    write_card(path, CARD_OF_0_1)
    with pytest.raises(ValueError, match="is not a TFLite model"):
        open_tflite(str(path))


def test_a_runtime_that_is_not_installed(cards, monkeypatch):
    path = cards[0].path
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    without = SimpleNamespace(lite=SimpleNamespace(), __version__="2.99")
    monkeypatch.setattr(tflite_module, "tf", without)
    with pytest.raises(ValueError, match=r"running a .tflite needs ai-edge-litert .*pip install"):
        open_tflite(path)
