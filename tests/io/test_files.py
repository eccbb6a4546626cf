"""Tests of mmnet.io.files."""

import hashlib
import os
import threading

import pytest

from helpers import assert_message, assert_raises
from mmnet.io import files
from mmnet.io.errors import MmnetError


def error_without_waiting(function, *arguments):
    """Return the message of the MmnetError that a call raises. The call must not block."""
    caught = []

    def call():
        with pytest.raises(MmnetError) as error:
            function(*arguments)
        caught.append(error.value)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert caught, "the call blocks or returns"
    return str(caught[0])


@pytest.mark.parametrize("read", [files.read_bytes, files.read_text, files.read_json])
def test_read_accepts_only_regular_files(tmp_path, read):
    pipe, link = str(tmp_path / "pipe"), str(tmp_path / "link")
    os.mkfifo(pipe)
    os.symlink(pipe, link)
    for path in (pipe, link, str(tmp_path), os.devnull, "/dev/zero"):
        assert_message(error_without_waiting(read, path), path, "regular file")
    with assert_raises(FileNotFoundError, "missing"):
        read(str(tmp_path / "missing"))


def test_read_bytes_follows_links(tmp_path):
    (tmp_path / "file").write_text("{}")
    os.symlink(str(tmp_path / "file"), str(tmp_path / "link"))
    assert files.read_bytes(str(tmp_path / "link")) == b"{}"


def test_read_bytes_closes_descriptors(tmp_path):
    (tmp_path / "file").write_text("")
    before = set(os.listdir("/proc/self/fd"))
    files.read_bytes(str(tmp_path / "file"))
    with pytest.raises(MmnetError):
        files.read_bytes(str(tmp_path))
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "contents, token",
    [
        pytest.param(b"\xff\xfe", "UTF-8", id="not UTF-8"),
        pytest.param(b"{", "not JSON", id="truncated"),
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"[" * 100000, "not JSON", id="too deep"),
        pytest.param(b"[1]", "object", id="list"),
    ],
)
def test_read_json_rejects_other_contents(tmp_path, contents, token):
    path = tmp_path / "a.json"
    path.write_bytes(contents)
    with assert_raises(MmnetError, path, token):
        files.read_json(str(path))


def test_write_json_is_readable(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(str(path), {"a": [1, 2.5, None]})
    assert files.read_json(str(path)) == {"a": [1, 2.5, None]}
    assert path.read_text().endswith("}\n")


def test_write_text_replaces_whole_files(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    files.write_text(str(path), "first")
    files.write_text(str(path), "sécond")
    assert path.read_bytes() == "sécond".encode()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with assert_raises(OSError, "No space left"):
        files.write_text(str(path), "third")
    assert path.read_bytes() == "sécond".encode()
    assert os.listdir(str(tmp_path)) == ["scores.csv"]


def test_write_text_sets_default_permissions(tmp_path):
    (tmp_path / "default").write_text("")
    files.write_text(str(tmp_path / "written"), "")
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "default").stat().st_mode


def test_add_path_to_errors_names_file_on_full_disk():
    full_disk = assert_raises(OSError, "No space left", "a/b.png")
    with full_disk, files.add_path_to_errors("a/b.png"), open("/dev/full", "wb") as file:
        file.write(b"0")


def test_sha256_of_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of_file(str(tmp_path / "a")) == hashlib.sha256(b"abc").hexdigest()


def test_lock_folder_excludes_other_users(tmp_path):
    locked = assert_raises(MmnetError, tmp_path, os.getpid())
    with files.lock_folder(str(tmp_path)), locked, files.lock_folder(str(tmp_path)):
        pass
    with files.lock_folder(str(tmp_path)):
        pass


def test_is_writable(tmp_path):
    assert files.is_writable(str(tmp_path))
    assert files.is_writable(str(tmp_path / "missing" / "folder"))
    (tmp_path / "file").write_text("")
    assert not files.is_writable(str(tmp_path / "file"))
    read_only = tmp_path / "read-only"
    read_only.mkdir()
    read_only.chmod(0o555)  # root could write to it
    assert not files.is_writable(str(read_only))
    assert not files.is_writable(str(read_only / "below"))


def test_check_writable_names_parameter(tmp_path):
    files.check_writable(str(tmp_path / "missing"))
    (tmp_path / "file").write_text("")
    with assert_raises(MmnetError, "train_dir", tmp_path / "file") as caught:
        files.check_writable(str(tmp_path / "file"), "train_dir")
    assert caught.value.parameter == "train_dir"


def test_check_replaceable_accepts_new_and_own_files(tmp_path):
    path = tmp_path / "report.html"
    files.check_replaceable(str(path), lambda data: False)
    path.write_text("own")
    files.check_replaceable(str(path), lambda data: data == b"own")


def test_check_replaceable_protects_other_files(tmp_path):
    (tmp_path / "file").write_text("foreign")
    os.mkfifo(str(tmp_path / "pipe"))
    file = str(tmp_path / "file")
    for path, is_own, inputs in (
        (str(tmp_path), True, []),
        (str(tmp_path / "pipe"), True, []),
        (file, False, []),
        (file, True, [str(tmp_path / "missing"), file]),
    ):
        with assert_raises(MmnetError, "report", path):
            files.check_replaceable(
                path, lambda _, own=is_own: own, inputs=inputs, parameter="report"
            )


def test_short_names_are_distinct():
    below_a, below_b = os.path.join("a", "x.pb"), os.path.join("b", "x.pb")
    paths = [os.path.join("runs", name) for name in (below_a, below_b, "y.pb")]
    assert files.short_names(paths) == [below_a, below_b, "y.pb"]
    assert files.short_names(["x.pb", below_a]) == ["x.pb", below_a]
    assert files.short_names(["a/x.pb", "a/x.pb"]) == ["x.pb", "x.pb"]  # the path appears twice


def test_remove_abandoned_deletes_old_temporary_files(tmp_path):
    names = [".writing-a", ".building-b", ".saving-c", "result"]
    for name in names:
        inner_folder = tmp_path / name / "new" / "images"
        inner_folder.mkdir(parents=True)
        (inner_folder / "1.bin").write_text("")
    (tmp_path / ".writing-file").write_text("")
    files.remove_abandoned(str(tmp_path))
    assert len(os.listdir(str(tmp_path))) == 5  # another process may still write them
    for folder, _, file_names in os.walk(str(tmp_path)):
        for path in [folder] + [os.path.join(folder, name) for name in file_names]:
            os.utime(path, (0, 0))
    os.utime(str(tmp_path / ".building-b" / "new" / "images"))  # a new file was written there
    files.remove_abandoned(str(tmp_path))
    assert sorted(os.listdir(str(tmp_path))) == [".building-b", ".saving-c", "result"]
