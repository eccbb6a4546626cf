"""Weights by name."""

import json
import os

import pytest

from mmnet.inference.card import read_card
from mmnet.io.checkpoint_files import index_sha256
from mmnet.io.files import sha256_of_file
from mmnet.networks.network import Network
from mmnet.weights import registry
from mmnet.weights.source import find_source


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("MMNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


IN_THE_BOX = {registry.DEFAULT: Network(), registry.VIDEO: Network(channels=4)}


@pytest.mark.parametrize("name", IN_THE_BOX)
def test_the_weights_in_the_box_are_what_the_registry_says(name):
    entry = registry.check_name(name)
    registry.check(name)
    folder = registry.folder_of(name)
    assert registry.is_downloaded(name) and not entry.addresses
    listed = {file.name for file in entry.files}
    assert {name for name in os.listdir(folder) if name != "README.md"} == listed | {
        model + ".json" for model in entry.models
    }
    assert set(entry.models) <= listed
    assert all(file.bytes <= 900000 for file in entry.files)


def test_every_entry_can_be_got():
    for name, entry in registry.read_registry().items():
        names = [file.name for file in entry.files]
        assert entry.checkpoint + ".index" in names and len(names) >= 2, name
        assert bool(entry.folder) != bool(entry.addresses), name
        assert all(len(file.sha256) == 64 for file in entry.files), name
        assert entry.description and entry.data and entry.licence and entry.weak, name


def test_published_checkpoints_are_those_of_the_registry(test_data):
    for step in (304500, 887000, 1898000):
        for file in registry.check_name("mmnet-%d" % step).files:
            path = os.path.join(test_data, "checkpoints", file.name)
            assert (os.path.getsize(path), sha256_of_file(path)) == (file.bytes, file.sha256)


def test_names_and_paths(home, tmp_path, monkeypatch):
    source = find_source(registry.DEFAULT)
    assert (source.kind, source.name) == ("checkpoint", registry.DEFAULT)
    assert os.path.isfile(source.path + ".index")
    assert find_source("untrained").kind == "untrained"
    with pytest.raises(FileNotFoundError, match="did you mean 'mmnet-887000'"):
        find_source("mmnet-88700")
    with pytest.raises(ValueError, match="no weights are named 'x': there are mmnet-persons, "):
        registry.get("x")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mmnet-887000").mkdir()
    (tmp_path / "mmnet-887000" / "MMNetModel-1.index").write_text("")
    assert find_source("mmnet-887000").path == os.path.join("mmnet-887000", "MMNetModel-1")


def test_the_cache(home, tmp_path, monkeypatch):
    name = "mmnet-304500"
    assert registry.folder_of(name) == str(home / "weights" / name)
    assert not registry.is_downloaded(name)
    monkeypatch.delenv("MMNET_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert registry.home() == str(tmp_path / "mmnet")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "anna"))
    assert registry.home() == str(tmp_path / "anna" / ".cache" / "mmnet")


def test_a_damaged_file_is_told(home, monkeypatch):
    name = "mmnet-304500"
    folder = home / "weights" / name
    folder.mkdir(parents=True)
    for file in registry.check_name(name).files:
        (folder / file.name).write_bytes(b"\0" * file.bytes)
    assert registry.get(name) == str(folder)
    with pytest.raises(ValueError, match="is not what the registry says: delete it"):
        registry.check(name)


def test_a_registry_that_is_not_one(tmp_path):
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"x": {"description": "", "files": []}}))
    with pytest.raises(ValueError, match="registry.json: x: data is missing"):
        registry.read_registry(str(path))


@pytest.mark.parametrize("name, network", IN_THE_BOX.items())
def test_the_models_in_the_box_are_the_network_of_its_checkpoint(name, network):
    entry, folder = registry.check_name(name), registry.folder_of(name)
    assert len(entry.models) == 2
    for model in entry.models:
        card = read_card(os.path.join(folder, model))
        assert (card.network, card.checkpoint) == (network, entry.checkpoint)
        assert card.index_sha256 == index_sha256(registry.prefix_of(name))
