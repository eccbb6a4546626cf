"""Tests of mmnet.weights.source."""

import os

import pytest

from helpers import assert_raises
from mmnet.io.errors import MmnetError
from mmnet.weights import registry
from mmnet.weights.source import Source, find_source, is_model_file, source_bytes

FILES = ("run/MMNetModel-3.index", "run/MMNetModel-3.data-00000-of-00001", "run/MMNetModel-2.index")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with one source of each kind."""
    for name in FILES + ("a.tflite", "b.onnx", "c.PB", "saved/saved_model.pb", "saved/other"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "text, source, count",
    [
        ("untrained", Source("untrained"), 0),
        ("run", Source("checkpoint", "run/MMNetModel-3"), 2),
        ("run/MMNetModel-2", Source("checkpoint", "run/MMNetModel-2"), 1),
        ("a.tflite", Source("tflite", "a.tflite"), 1),
        ("b.onnx", Source("onnx", "b.onnx"), 1),
        ("c.PB", Source("pb", "c.PB"), 1),
        ("saved", Source("savedmodel", "saved"), 2),
    ],
)
def test_find_source_recognizes_every_kind(folder, text, source, count):
    assert find_source(text) == source
    assert find_source(text, download=False) == source
    assert is_model_file(text) == (source.kind not in ("checkpoint", "untrained"))
    assert source_bytes(source.path) == count  # one byte per file


def test_find_source_opens_bundled_weights_by_name():
    source = find_source(registry.DEFAULT)
    assert (source.kind, source.name) == ("checkpoint", registry.DEFAULT)
    assert os.path.isfile(source.path + ".index")


def test_existing_path_has_priority_over_a_name(folder):
    (folder / "run").rename(folder / "mmnet-887000")
    assert find_source("mmnet-887000").path == "mmnet-887000/MMNetModel-3"


@pytest.mark.parametrize("download", [True, False])
def test_missing_sources_are_errors(folder, download):
    (folder / "pipe.pb").mkdir()
    os.mkfifo(str(folder / "pipe.onnx"))
    for text, error, tokens in (
        ("mmnet-88700", FileNotFoundError, ["'mmnet-887000'"]),
        ("none/MMNetModel-1", FileNotFoundError, ["none/MMNetModel-1"]),
        ("none.tflite", FileNotFoundError, ["none.tflite"]),
        ("pipe.pb", FileNotFoundError, ["pipe.pb"]),  # a folder without checkpoints
        ("pipe.onnx", MmnetError, ["pipe.onnx"]),
    ):
        with assert_raises(error, *tokens):
            find_source(text, download=download)


def test_find_source_downloads_only_on_request(folder, monkeypatch):
    monkeypatch.setenv("MMNET_HOME", str(folder / "home"))
    monkeypatch.setattr(registry.downloads, "download", None)
    assert find_source("mmnet-1898000", download=False).name == "mmnet-1898000"
    with pytest.raises(TypeError):
        find_source("mmnet-1898000")
