"""Tests of mmnet.io.checkpoint_files."""

import hashlib
import os

import pytest

from helpers import assert_raises
from mmnet.io import checkpoint_files

DATA = ".data-00000-of-00001"


@pytest.fixture
def folder(tmp_path):
    """A folder with checkpoints of the steps 9, 10 and 100, with TensorFlow's file names."""
    for step in (100, 9, 10):
        for suffix in (DATA, ".index"):
            (tmp_path / f"MMNetModel-{step}{suffix}").write_text(f"{step}{suffix}")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "MMNetModel-10"\n')
    return str(tmp_path)


def test_list_checkpoints_sorts_by_step(folder):
    prefixes = checkpoint_files.list_checkpoints(folder)
    assert list(map(checkpoint_files.step_of, prefixes)) == [9, 10, 100]
    assert checkpoint_files.step_of("model.ckpt") is None


def test_find_checkpoint_accepts_folder_prefix_and_files(folder, monkeypatch):
    latest = os.path.join(folder, "MMNetModel-100")
    for path in (folder, latest, latest + ".index", latest + ".meta", latest + DATA):
        assert checkpoint_files.find_checkpoint(path) == latest
    monkeypatch.chdir(folder)
    assert checkpoint_files.find_checkpoint("MMNetModel-9") == "MMNetModel-9"


def test_find_checkpoint_names_missing_file(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    os.unlink(os.path.join(folder, "MMNetModel-100.index"))
    for name, token in (
        ("MMNetModel-8", "prefix"),
        ("empty", "*.index"),
        ("MMNetModel-100", "MMNetModel-100.index"),
    ):
        path = os.path.join(folder, name)
        with assert_raises(FileNotFoundError, path, token):
            checkpoint_files.find_checkpoint(path)


def test_files_of_lists_index_last_and_no_other_step(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for prefix in ("MMNetModel-9", os.path.join(folder, "MMNetModel-10")):
        assert checkpoint_files.files_of(prefix) == [prefix + DATA, prefix + ".index"]
    with open(prefix + ".index", "rb") as file:
        assert checkpoint_files.index_sha256(prefix) == hashlib.sha256(file.read()).hexdigest()


def test_copy_checkpoint_includes_config_and_needs_index(folder, tmp_path):
    target, prefix = tmp_path / "copies", os.path.join(folder, "MMNetModel-9")
    target.mkdir()
    assert checkpoint_files.copy_checkpoint(prefix, str(target)) == str(target / "MMNetModel-9")
    names = ["MMNetModel-9" + DATA, "MMNetModel-9.index"]
    assert sorted(os.listdir(str(target))) == names
    (tmp_path / "config.yaml").write_text("size: 64\n")
    checkpoint_files.copy_checkpoint(prefix, str(target))
    assert sorted(os.listdir(str(target))) == names + ["config.yaml"]
    os.unlink(prefix + ".index")
    with assert_raises(FileNotFoundError, prefix):
        checkpoint_files.copy_checkpoint(prefix, str(target))


def test_delete_checkpoint_deletes_one_step_and_its_record(folder):
    prefix = os.path.join(folder, "MMNetModel-10")
    with open(prefix + ".json", "w") as file:
        file.write("{}")
    checkpoint_files.delete_checkpoint(prefix)
    names = sorted(name for name in os.listdir(folder) if name != "checkpoint")
    left = ("MMNetModel-100", "MMNetModel-9")
    assert names == [prefix + suffix for prefix in left for suffix in (DATA, ".index")]
    checkpoint_files.delete_checkpoint(os.path.join(folder, "MMNetModel-9"))  # has no record
    assert checkpoint_files.list_checkpoints(folder) == [os.path.join(folder, "MMNetModel-100")]
