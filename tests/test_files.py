import os

import pytest

from mmnet import files


def test_an_existing_file_is_replaced_whole_or_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    files.write_text(str(path), "first")
    files.write_text(str(path), "sécond")
    assert path.read_bytes() == "sécond".encode("utf-8")

    def full_disk(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(str(path), "third")
    assert path.read_bytes() == "sécond".encode("utf-8")
    assert os.listdir(str(tmp_path)) == ["scores.csv"]


def test_new_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    files.write_text(str(tmp_path / "ours"), "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_is_writable(tmp_path):
    assert files.is_writable(str(tmp_path))
    assert files.is_writable(str(tmp_path / "to be" / "made"))
    (tmp_path / "file").write_text("")
    assert not files.is_writable(str(tmp_path / "file"))
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)  # root could write there all the same; nobody is meant to
    assert not files.is_writable(str(locked)) and not files.is_writable(str(locked / "below"))


def test_short_names():
    paths = [os.path.join("runs", "a", "x.pb"), os.path.join("runs", "b", "x.pb"), os.path.join("runs", "y.pb")]
    assert files.short_names(paths) == [os.path.join("a", "x.pb"), os.path.join("b", "x.pb"), "y.pb"]
    assert files.short_names(["x.pb", os.path.join("a", "x.pb")]) == ["x.pb", os.path.join("a", "x.pb")]
    assert files.short_names(["a/x.pb", "a/x.pb"]) == ["x.pb", "x.pb"]  # one model at two numbers of threads
