import hashlib
import os
import threading

import pytest

from mmnet.io import files


def test_an_existing_file_is_replaced_whole_or_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    files.write_text(str(path), "first")
    files.write_text(str(path), "sécond")
    assert path.read_bytes() == "sécond".encode()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(str(path), "third")
    assert path.read_bytes() == "sécond".encode()
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


def test_need_writable_names_the_flag(tmp_path):
    files.check_writable("--output", str(tmp_path / "to be made"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="--output .*file cannot be written"):
        files.check_writable("--output", str(tmp_path / "file"))


def at_once(function, *arguments):
    """The ValueError that a call ends with; it must not wait."""
    caught = []

    def call():
        with pytest.raises(ValueError) as error:
            function(*arguments)
        caught.append(error.value)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert caught, "it waits, or gives something"
    return str(caught[0])


@pytest.mark.parametrize("read", [files.read_bytes, files.read_text, files.read_json])
def test_only_regular_files_are_read(tmp_path, read):
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    os.symlink(pipe, str(tmp_path / "link"))
    for path in (pipe, str(tmp_path / "link"), str(tmp_path), os.devnull, "/dev/zero"):
        assert "%s is not a regular file" % path in at_once(read, path)
    with pytest.raises(FileNotFoundError, match="none"):
        read(str(tmp_path / "none"))
    (tmp_path / "file").write_text("{}")
    os.symlink(str(tmp_path / "file"), str(tmp_path / "other link"))
    assert len(files.read_bytes(str(tmp_path / "other link"))) == 2


def test_no_descriptor_is_left_open(tmp_path):
    (tmp_path / "file").write_text("")
    before = set(os.listdir("/proc/self/fd"))
    files.read_bytes(str(tmp_path / "file"))
    with pytest.raises(ValueError):
        files.read_bytes(str(tmp_path))
    assert set(os.listdir("/proc/self/fd")) == before


def test_text_and_json_that_are_none(tmp_path):
    path = tmp_path / "a.json"
    for contents, said in (
        (b"\xff\xfe", "a.json is not UTF-8 text"),
        (b"{", "a.json is not JSON"),
        (b"", "a.json is not JSON"),
        (b"[" * 100000, "a.json is not JSON"),
        (b"[1]", "a.json holds no JSON object"),
    ):
        path.write_bytes(contents)
        with pytest.raises(ValueError, match=said):
            files.read_json(str(path))
    files.write_json(str(path), {"a": [1, 2.5, None]})
    assert files.read_json(str(path)) == {"a": [1, 2.5, None]}
    assert path.read_text().endswith("}\n")


def test_sha256_of_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of_file(str(tmp_path / "a")) == hashlib.sha256(b"abc").hexdigest()


def test_short_names():
    below_a, below_b = os.path.join("a", "x.pb"), os.path.join("b", "x.pb")
    paths = [os.path.join("runs", name) for name in (below_a, below_b, "y.pb")]
    assert files.short_names(paths) == [below_a, below_b, "y.pb"]
    assert files.short_names(["x.pb", below_a]) == ["x.pb", below_a]
    # One model at two numbers of threads:
    assert files.short_names(["a/x.pb", "a/x.pb"]) == ["x.pb", "x.pb"]


def test_what_a_killed_writer_left_goes_when_it_is_old(tmp_path):
    names = [".writing-a", ".building-b", ".saving-c", "result"]
    for name in names:
        inside = tmp_path / name / "new" / "images"
        inside.mkdir(parents=True)
        (inside / "1.bin").write_text("")
    (tmp_path / ".writing-file").write_text("")
    files.remove_abandoned(str(tmp_path))
    assert len(os.listdir(str(tmp_path))) == 5  # it may still be another process's work
    for folder, _, inside in os.walk(str(tmp_path)):
        for path in [folder] + [os.path.join(folder, name) for name in inside]:
            os.utime(path, (0, 0))
    os.utime(str(tmp_path / ".building-b" / "new" / "images"))  # a file was just put there
    files.remove_abandoned(str(tmp_path))
    assert sorted(os.listdir(str(tmp_path))) == [".building-b", ".saving-c", "result"]


def test_a_full_disk_says_which_file():
    full = pytest.raises(OSError, match="No space left on device: 'a/b.png'")
    with full, files.add_path_to_errors("a/b.png"), open("/dev/full", "wb") as file:
        file.write(b"0")
