"""Tests of mmnet.weights.registry, and of the bundled weights."""

import glob
import json
import os

import pytest

from helpers import assert_raises
from helpers.foreign import write_rvm
from mmnet import load
from mmnet.inference import trial
from mmnet.inference.card import read_card
from mmnet.inference.recipes import RECIPES
from mmnet.io.checkpoint_files import index_sha256
from mmnet.io.errors import MmnetError
from mmnet.io.files import sha256_of_file
from mmnet.networks.network import Network, with_views
from mmnet.weights import registry
from mmnet.weights.source import find_source

BUNDLED = {registry.DEFAULT: Network(), registry.FAST: Network(shape=(160, 160))}
DOWNLOADED = "mmnet-304500"
COUNTS = (1, 2, 3)  # of views


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Set an empty folder for downloads."""
    monkeypatch.setenv("MMNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_files_match_the_registry(name):
    entry = registry.find_entry(name)
    registry.verify(name)
    folder = registry.weights_folder(name)
    assert registry.is_downloaded(name) and not entry.addresses
    files = {file.name for file in entry.files}
    models = [model for count in COUNTS for model in entry.models_with_views(count)]
    cards = {model + ".json" for model in models}
    assert {name for name in os.listdir(folder) if name != "README.md"} == files | cards
    assert set(models) <= files
    assert all(file.bytes <= 1000000 for file in entry.files)


def test_bundled_files_are_small():
    folders = map(registry.weights_folder, BUNDLED)
    paths = [path for folder in folders for path in glob.glob(os.path.join(folder, "*"))]
    assert sum(map(os.path.getsize, paths)) < 10e6


@pytest.mark.parametrize("name, network", BUNDLED.items(), ids=list(BUNDLED))
def test_bundled_models_are_exported_from_the_bundled_checkpoint(name, network):
    entry, folder = registry.find_entry(name), registry.weights_folder(name)
    views = {count: entry.views[str(count)].views for count in COUNTS if str(count) in entry.views}
    networks = {1: network, **{n: with_views(network, views[n]) for n in views}}
    models = [(n, model) for n in networks for model in entry.models_with_views(n)]
    assert views.keys() == set(map(int, entry.views))
    for count in networks:
        kinds = [os.path.splitext(model)[1] for model in entry.models_with_views(count)]
        assert kinds == [".tflite", ".onnx"]
    for count, model in models:
        card = read_card(os.path.join(folder, model))
        assert card.network == networks[count]
        assert os.path.basename(card.checkpoint) == entry.checkpoint
        assert card.index_sha256 == index_sha256(os.path.join(folder, entry.checkpoint))


@pytest.mark.parametrize("name", registry.read_registry())
def test_entry_is_complete(name):
    entry = registry.find_entry(name)
    files = [file.name for file in entry.files]
    if entry.like is None:
        assert entry.checkpoint + ".index" in files and len(files) >= 2
        assert all(len(file.sha256) == 64 for file in entry.files)
    else:  # a model of another project
        assert entry.like in RECIPES and files == [entry.checkpoint] and entry.page
    assert bool(entry.folder) != bool(entry.addresses)
    assert entry.description and entry.data and entry.licence and entry.weak


@pytest.mark.parametrize("step", [304500, 887000, 1898000])
def test_published_checkpoints_match_the_registry(test_data, step):
    for file in registry.find_entry(f"mmnet-{step}").files:
        path = os.path.join(test_data, "checkpoints", file.name)
        assert (os.path.getsize(path), sha256_of_file(path)) == (file.bytes, file.sha256)


def test_unknown_names_get_suggestions():
    with assert_raises(MmnetError, "'mmnet-person'", "'mmnet-persons'"):
        registry.fetch("mmnet-person")
    with assert_raises(MmnetError, "'x'", *registry.read_registry()):
        registry.fetch("x")
    assert registry.is_name("untrained") and not registry.is_name("x")


def test_cache_folder_follows_the_environment(home, tmp_path, monkeypatch):
    assert registry.weights_folder(DOWNLOADED) == str(home / "weights" / DOWNLOADED)
    monkeypatch.delenv("MMNET_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert registry.cache_folder() == str(tmp_path / "mmnet")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert registry.cache_folder() == str(tmp_path / "user" / ".cache" / "mmnet")


def test_fetch_downloads_missing_files_only(home, monkeypatch):
    downloads = []
    monkeypatch.setattr(
        registry.downloads, "download", lambda *arguments, **_: downloads.append(arguments)
    )
    entry = registry.find_entry(DOWNLOADED)
    complete, *missing = entry.files
    folder = home / "weights" / DOWNLOADED
    folder.mkdir(parents=True)
    (folder / complete.name).write_bytes(b"\0" * complete.bytes)
    assert not registry.is_downloaded(DOWNLOADED)
    assert registry.fetch(DOWNLOADED) == str(folder)
    assert downloads == [(file, entry.addresses, str(folder)) for file in missing]


def test_verify_detects_damaged_files(home):
    folder = home / "weights" / DOWNLOADED
    folder.mkdir(parents=True)
    for file in registry.find_entry(DOWNLOADED).files:
        (folder / file.name).write_bytes(b"\0" * file.bytes)
    assert registry.fetch(DOWNLOADED) == str(folder)  # compares sizes only
    with assert_raises(MmnetError, folder, "SHA-256"):
        registry.verify(DOWNLOADED)


def test_read_registry_names_the_missing_field(tmp_path):
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"x": {"description": "", "files": []}}))
    with assert_raises(MmnetError, path, "x", "data"):
        registry.read_registry(str(path))


@pytest.mark.parametrize("name", registry.REMOVED)
def test_removed_weights_name_their_replacement(name):
    replacement = registry.REMOVED[name]
    with assert_raises(MmnetError, name, "0.3", replacement):
        registry.find_entry(name)
    with assert_raises(FileNotFoundError, name, "0.3", replacement):
        find_source(name)


def test_model_of_another_project_is_downloaded_on_request_only(home, run, monkeypatch):
    assert find_source("rvm-mobilenetv3", download=False).kind == "onnx"
    assert "weights get rvm-mobilenetv3 --trust" in run("weights", "list")[1]
    with assert_raises(MmnetError, "mmnet weights get rvm-mobilenetv3"):
        find_source("rvm-mobilenetv3")

    def download(file, addresses, folder, *, trust):
        assert trust
        os.makedirs(folder)
        write_rvm(os.path.join(folder, file.name))

    monkeypatch.setattr(registry.downloads, "download", download)
    monkeypatch.setattr(trial, "run_in_child", lambda path, function, *values: function(*values))
    code, out, err = run("weights", "get", "rvm-mobilenetv3", "--trust")
    assert code == 0, err
    assert out.strip() == find_source("rvm-mobilenetv3").path
    with load("rvm-mobilenetv3") as predictor:
        assert predictor.is_recurrent
