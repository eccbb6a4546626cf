"""Tests of mmnet.inference.tflite."""

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from helpers.cards import CARD_OF_0_1, write_card
from mmnet.inference import tflite
from mmnet.inference.card import card_path
from mmnet.inference.tflite import open_tflite
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network
from mmnet.tf.compat import tflite_supports_threads
from mmnet.tf.device import Device


@pytest.fixture(scope="module")
def cards(exported_models):
    return exported_models("mmnet.tflite", "outside.tflite")


@pytest.fixture
def copied_model(cards, tmp_path):
    """A copy of outside.tflite without its card."""
    path = str(tmp_path / "b.tflite")
    shutil.copy(cards[1].path, path)
    return path


def test_open_tflite_uses_several_threads_if_it_can(cards, small_images):
    path, device = cards[0].path, Device(threads=2)
    if not tflite_supports_threads():
        with assert_raises(MmnetError, "threads", 2):
            open_tflite(path, device)
    else:
        alphas = open_tflite(path, device)(small_images)
        np.testing.assert_allclose(alphas, open_tflite(path)(small_images), atol=1e-6)


def test_open_tflite_reads_the_file_once(cards, monkeypatch):
    paths = []

    def read_bytes(path):
        paths.append(path)
        with open(path, "rb") as file:
            return file.read()

    monkeypatch.setattr(tflite, "read_bytes", read_bytes)
    monkeypatch.setattr("mmnet.inference.card.model_sha256", None)
    open_tflite(cards[0].path)
    assert paths == [cards[0].path]


def test_open_tflite_needs_a_card(cards, copied_model, small_images):
    with assert_raises(MmnetError, copied_model, "card"):
        open_tflite(copied_model)
    shutil.copy(card_path(cards[1].path), card_path(copied_model))
    expected = open_tflite(cards[1].path)(small_images)
    np.testing.assert_array_equal(open_tflite(copied_model)(small_images), expected)


@pytest.mark.parametrize("size", [64, 256])
def test_open_tflite_accepts_cards_of_0_1(cards, copied_model, small_images, size):
    """The shape is that of the file, whatever the card records."""
    fields = {"preprocess": "outside", "output_type": "probabilities", "size": size}
    write_card(copied_model, dict(CARD_OF_0_1, **fields))
    model = open_tflite(copied_model)
    assert model.network == Network("mmnet", 0.25, SMALL.shape)
    assert model.card.parameters == 40000
    assert model.card.multiply_adds == 2000000
    expected = open_tflite(cards[1].path)(small_images)
    np.testing.assert_array_equal(model(small_images), expected)


@pytest.mark.parametrize("missing", ["parameters", "multiply_adds"])
def test_complexity_is_none_if_the_card_lacks_it(copied_model, missing):
    write_card(copied_model, dict(CARD_OF_0_1, **{missing: None}))
    assert getattr(open_tflite(copied_model).card, missing) is None


def test_open_tflite_rejects_a_card_with_other_channels(copied_model):
    write_card(copied_model, dict(CARD_OF_0_1, network={"name": "mmnet", "channels": 4}))
    with assert_raises(MmnetError, "b.tflite", [1, 64, 64, 3], "[1,H,W,4]"):
        open_tflite(copied_model)


@pytest.mark.parametrize("length", [0, 3, 100, 0.5, 0.99])
def test_truncated_model_never_reaches_the_interpreter(cards, copied_model, length, monkeypatch):
    shutil.copy(card_path(cards[1].path), card_path(copied_model))
    with open(copied_model, "r+b") as file:
        size = len(file.read())
        file.truncate(int(length * size) if isinstance(length, float) else length)
    monkeypatch.setattr(tflite, "find_interpreter", None)
    with assert_raises(MmnetError, "b.tflite.json", "another file"):
        open_tflite(copied_model)


def test_open_tflite_rejects_other_files(tmp_path):
    path = tmp_path / "b.tflite"
    path.write_text("another file")
    write_card(path, CARD_OF_0_1)
    with assert_raises(MmnetError, path, "TFLite"):
        open_tflite(str(path))


def test_open_tflite_names_the_missing_runtime(cards, monkeypatch):
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    without = SimpleNamespace(lite=SimpleNamespace(), __version__="2.99")
    monkeypatch.setattr(tflite, "tf", without)
    monkeypatch.setattr(tflite, "tflite_supports_threads", lambda: True)
    with assert_raises(MmnetError, "ai-edge-litert", "pip install"):
        open_tflite(cards[0].path)
