"""Tests of mmnet.io.files."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers import assert_raises
from mmnet.io import files
from mmnet.io.errors import MmnetError


@pytest.mark.parametrize("read", [files.read_bytes, files.read_text, files.read_json])
def test_read_accepts_only_regular_files(tmp_path, read):
    pipe, link = str(tmp_path / "pipe"), str(tmp_path / "link")
    os.mkfifo(pipe)
    os.symlink(pipe, link)
    for path in (pipe, link, str(tmp_path), os.devnull, "/dev/zero"):
        with assert_raises(MmnetError, path, "regular file"):
            read(path)
    with assert_raises(FileNotFoundError, "missing"):
        read(str(tmp_path / "missing"))


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


def test_read_bytes_reads_no_huge_file(tmp_path):
    path = tmp_path / "sparse"
    path.write_bytes(b"")
    os.truncate(str(path), files.MAX_BYTES + 1)  # takes no space on the disk
    with assert_raises(MmnetError, path, files.MAX_BYTES):
        files.read_bytes(str(path))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux")
def test_read_bytes_names_the_file_of_an_error():
    with assert_raises(OSError, "/proc/self/mem"):
        files.read_bytes("/proc/self/mem")


def test_write_json_replaces_a_link_and_keeps_its_target(tmp_path):
    path, link = tmp_path / "a.json", tmp_path / "link"
    files.write_json(str(path), {"a": [1, 2.5, None]})
    assert path.read_text().endswith("}\n")
    link.symlink_to(path)
    assert files.read_json(str(link)) == {"a": [1, 2.5, None]}
    assert files.sha256_of_file(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
    files.write_json(str(link), {})
    assert files.read_json(str(link)) == {} and not link.is_symlink()
    assert files.read_json(str(path)) == {"a": [1, 2.5, None]}


def test_write_text_replaces_whole_files(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    path.write_text("first")
    permissions = path.stat().st_mode
    files.write_text(str(path), "sécond")
    assert path.read_bytes() == "sécond".encode() and path.stat().st_mode == permissions

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with assert_raises(OSError, "No space left"):
        files.write_text(str(path), "third")
    assert path.read_bytes() == "sécond".encode()
    assert os.listdir(str(tmp_path)) == ["scores.csv"]


def test_write_bytes_keeps_the_umask_in_threads(tmp_path, monkeypatch):
    original = os.umask

    def slow_umask(mask):
        previous = original(mask)
        time.sleep(0.01)  # another thread creates a file now
        return previous

    original_mask = original(0o027)
    monkeypatch.setattr(os, "umask", slow_umask)
    try:
        paths = [str(tmp_path / str(number)) for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(files.write_bytes, paths, [b"data"] * len(paths)))
    finally:
        umask = original(original_mask)
    assert umask == 0o027
    assert {os.stat(path).st_mode & 0o777 for path in paths} == {0o640}


def test_add_path_to_errors_names_file_on_full_disk():
    full_disk = assert_raises(OSError, "No space left", "a/b.png")
    with full_disk, files.add_path_to_errors("a/b.png"), open("/dev/full", "wb") as file:
        file.write(b"0")


@pytest.mark.parametrize("can_exchange", [True, False], ids=["renameat2", "two renames"])
def test_replace_folder_keeps_previous_folder(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    target, new = tmp_path / "model", tmp_path / "new"
    for folder in (target, new):
        folder.mkdir()
        (folder / folder.name).write_text("")
    with assert_raises(OSError, "missing"):
        files.replace_folder(str(target), str(tmp_path / "missing"))
    assert os.listdir(str(target)) == ["model"]
    files.replace_folder(str(target), str(new))
    assert os.listdir(str(target)) == ["new"] and os.listdir(str(new)) == ["model"]
    target.rename(tmp_path / "model.before")  # a crash between the two renames
    files.restore_folder(str(target))
    assert os.listdir(str(target)) == ["new"]


def test_lock_folder_excludes_other_users(tmp_path):
    locked = assert_raises(MmnetError, tmp_path, os.getpid())
    with files.lock_folder(str(tmp_path)), locked, files.lock_folder(str(tmp_path)):
        pass
    with files.lock_folder(str(tmp_path)):
        pass


def test_check_writable_names_parameter_and_folder(tmp_path):
    for folder in (tmp_path, tmp_path / "missing" / "folder"):
        files.check_writable(str(folder))
    (tmp_path / "file").write_text("")
    read_only = tmp_path / "read-only"
    read_only.mkdir()
    read_only.chmod(0o555)  # root could write to it
    for path in (tmp_path / "file", read_only, read_only / "below"):
        with assert_raises(MmnetError, "train_dir", path) as caught:
            files.check_writable(str(path), "train_dir")
        assert caught.value.parameter == "train_dir"


def test_check_replaceable_protects_other_files(tmp_path):
    file, pipe = tmp_path / "report.html", tmp_path / "pipe"
    os.mkfifo(str(pipe))
    files.check_replaceable(str(file), lambda data: False)  # a new file
    file.write_text("own")
    files.check_replaceable(str(file), lambda data: data == b"own")
    for path, inputs in (
        (tmp_path, []),
        (pipe, []),
        (file, [str(tmp_path / "missing"), str(file)]),
    ):
        with assert_raises(MmnetError, "report", path):
            files.check_replaceable(str(path), lambda data: True, inputs=inputs, parameter="report")
    with assert_raises(MmnetError, "output", file):
        files.check_replaceable(str(file), lambda data: data == b"other")


def test_short_names_are_distinct():
    below_a, below_b = os.path.join("a", "x.pb"), os.path.join("b", "x.pb")
    paths = [os.path.join("runs", name) for name in (below_a, below_b, "y.pb")]
    assert files.short_names(paths) == [below_a, below_b, "y.pb"]
    assert files.short_names(["x.pb", below_a]) == ["x.pb", below_a]
    assert files.short_names(["a/x.pb", "a/x.pb"]) == ["x.pb", "x.pb"]  # the path appears twice
    several = files.short_names(["1/x.pb + 1/y.pb", "2/x.pb + 2/y.pb"])
    assert len(set(several)) == 2 and not any(os.sep in name for name in several)


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
