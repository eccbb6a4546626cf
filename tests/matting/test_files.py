"""Tests of mmnet.matting.files."""

import os

import pytest

from helpers import assert_message, assert_raises
from mmnet.io.errors import MmnetError
from mmnet.matting.files import InputFile, Output, find_photos


def create_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def stems(paths, output):
    return [file.stem for file in find_photos([str(path) for path in paths], output)]


@pytest.fixture
def output(tmp_path):
    return Output(str(tmp_path / "out"))


def test_find_photos_returns_each_file_once(tmp_path, output):
    folder = tmp_path / "my photos"
    create_files(folder, "b.JPG", "a.png", "notes.txt", "c.mp4")
    files = find_photos([str(folder), str(folder / "a.png"), "-"], output)
    expected = [
        (str(folder / f"{stem}.{end}"), stem) for stem, end in zip("abc", ("png", "JPG", "mp4"))
    ]
    assert files == [InputFile(*file) for file in expected + [("-", "photo")]]


def test_find_photos_searches_subfolders(tmp_path, output):
    names = ["2025/may/a.jpg", "2025/a.jpg", "2026/a.jpg", "b.jpg", "out/b_cutout.jpg", ".x/c.jpg"]
    create_files(tmp_path, *names)
    assert stems([tmp_path], output) == ["b", "2025/a", "2025/may/a", "2026/a"]


def test_find_photos_reads_lists(tmp_path, output):
    create_files(tmp_path, "photos/x/a.jpg", "photos/y/b.jpg")
    photos = tmp_path / "photos.txt"
    photos.write_text("photos/x/a.jpg\n\nphotos/y/b.jpg\n")
    assert stems([photos], output) == ["x/a", "y/b"]
    photos.write_text("photos/x/a.jpg\n")
    assert stems([photos], output) == ["a"]


@pytest.mark.parametrize("text", ["", "\n \n", "a\0.jpg\n"])
def test_find_photos_rejects_lists_without_photos(tmp_path, output, text):
    (tmp_path / "photos.txt").write_text(text)
    with assert_raises(MmnetError, "photos.txt"):
        stems([tmp_path / "photos.txt"], output)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_find_photos_reads_lists_with_a_byte_order_mark(tmp_path, output, encoding):
    names = ["a.jpg", "x\u2028y.jpg", "x\x85y.jpg", "z\r.jpg"]
    create_files(tmp_path, *names)
    text = "\r\n".join(names) + "\n"
    if encoding == "utf-16-be":
        text = "\ufeff" + text
    (tmp_path / "photos.TXT").write_bytes(text.encode(encoding))
    paths = [file.path for file in find_photos([str(tmp_path / "photos.TXT")], output)]
    assert paths == [str(tmp_path / name) for name in names]
    assert stems([tmp_path / "photos.TXT"], output) == [name[: -len(".jpg")] for name in names]


def test_find_photos_reads_lists_of_names_that_are_not_utf8(tmp_path, output):
    name = os.path.join(os.fsencode(str(tmp_path)), b"caf\xe9.jpg")
    open(name, "w").close()
    (tmp_path / "photos.txt").write_bytes(b"caf\xe9.jpg\n")
    (file,) = find_photos([str(tmp_path / "photos.txt")], output)
    assert os.fsencode(file.path) == name and os.path.exists(file.path)


@pytest.mark.parametrize("listed", ["\xe9/\xe9.jpg", "e\u0301/e\u0301.jpg"], ids=ascii)
@pytest.mark.parametrize("stored", ["\xe9/\xe9.jpg", "e\u0301/\xe9.jpg"], ids=ascii)
def test_find_photos_reads_lists_in_another_normal_form(tmp_path, output, listed, stored):
    create_files(tmp_path, stored)
    (tmp_path / "photos.txt").write_bytes(f"{listed}\n".encode())
    (file,) = find_photos([str(tmp_path / "photos.txt")], output)
    assert file.path == str(tmp_path / stored)


def test_find_photos_reads_every_extension(tmp_path, output, caplog):
    names = (
        "a.jfif b.JPE c.tif d.tiff e.bmp f.gif g.heic h.avif i.mts j.m2ts k.ts l.WMV m.flv n.ogv"
    )
    create_files(tmp_path, *names.split())
    assert stems([tmp_path], output) == list("abcdefghijklmn")
    assert caplog.text == ""


def test_find_photos_names_files_that_it_ignores(tmp_path, output, caplog):
    names = [f"raw/{number:02d}.cr2" for number in range(30)]
    create_files(tmp_path, "a.jpg", "b.dng", "notes.txt", ".hidden", "out/b.dng", *names)
    os.mkfifo(str(tmp_path / "pipe"))
    assert stems([tmp_path], output) == ["a"]
    assert_message(caplog.text, tmp_path, 32, "b.dng", "notes.txt", names[17], "...")
    for name in (names[18], "hidden", "pipe", "out/b.dng"):
        assert name not in caplog.text
    with assert_raises(MmnetError, tmp_path / "raw", "00.cr2", "19.cr2, ..."):
        stems([tmp_path / "raw"], output)


def test_find_photos_skips_typescript_and_ogg_audio(tmp_path, output, caplog):
    (tmp_path / "clip.ts").write_bytes(b"G\x40\0\x10" + bytes(184))
    (tmp_path / "main.ts").write_text("export const size = 256;")
    (tmp_path / "movie.ogg").write_bytes(b"OggS" + bytes(24) + b"\x80theora")
    (tmp_path / "song.ogg").write_bytes(b"OggS" + bytes(24) + b"\x01vorbis")
    assert stems([tmp_path], output) == ["clip", "movie"]
    assert_message(caplog.text, "main.ts, song.ogg")
    assert stems([tmp_path / "song.ogg"], output) == ["song"]


def test_find_photos_follows_linked_folders_once(tmp_path, output):
    create_files(tmp_path, "disk/a.jpg", "disk/x/b.jpg", "disk/x/y/c.jpg", "other/d.jpg", "e.jpg")
    create_files(tmp_path, "out/f.jpg")
    links = {
        "disk/0": "disk/x",  # is also a subfolder
        "disk/above": ".",
        "disk/x/loop": "disk",
        "disk/x/other": "other",
        "disk/x/other again": "other",
        "other/self": "other",
        "other/result": "out",
    }
    for link, target in links.items():
        os.symlink(str(tmp_path / target), str(tmp_path / link))
    os.symlink("missing", str(tmp_path / "disk/broken"))
    os.symlink(str(tmp_path / "e.jpg"), str(tmp_path / "disk/e.jpg"))
    assert stems([tmp_path / "disk"], output) == ["a", "e", "x/b", "x/y/c", "x/other/d"]
    os.symlink(str(tmp_path / "disk"), str(tmp_path / "link"))
    assert stems([tmp_path / "link"], output) == ["a", "e", "x/b", "x/y/c", "x/other/d"]


def test_find_photos_reports_folders_without_permission(tmp_path, output, caplog, monkeypatch):
    create_files(tmp_path, "a.jpg", "x/b.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("x"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert stems([tmp_path], output) == ["a"]
    assert_message(caplog.text, "Permission denied", tmp_path / "x")


def test_find_photos_rejects_equal_outputs(tmp_path, output):
    create_files(tmp_path, "p/a.jpg", "p/a.png")
    with assert_raises(MmnetError, "a.jpg", "a.png"):
        stems([tmp_path / "p"], output)
    create_files(tmp_path, "p/c.mp4", "p/c.mov", "p/x/d.heic", "p/x/d.jpg", "p/x/d.webp")
    with assert_raises(MmnetError, "a.jpg", "a.png", "c.mp4", "c.mov", "d.heic", "d.jpg", "d.webp"):
        stems([tmp_path / "p"], output)
    create_files(
        tmp_path, *(f"many/{number:02d}.{end}" for number in range(30) for end in ("jpg", "png"))
    )
    with assert_raises(MmnetError, "00.jpg", "09.png, ...") as caught:
        stems([tmp_path / "many"], output)
    assert "10.jpg" not in str(caught.value)
    create_files(tmp_path, "q/b.jpg")
    with assert_raises(MmnetError, "a.jpg", "b.jpg"):
        stems([tmp_path / "p/a.jpg", tmp_path / "q/b.jpg"], Output(str(tmp_path / "one.png")))


@pytest.mark.parametrize("photo", ["IMG_1.JPG", "IMG_1.heic", "IMG_1.png"])
def test_find_photos_accepts_live_photos(tmp_path, output, photo):
    create_files(tmp_path, photo, "IMG_1.MOV")
    assert stems([tmp_path], output) == ["IMG_1", "IMG_1"]
    with assert_raises(MmnetError, photo, "IMG_1.MOV"):
        stems([tmp_path], Output(str(tmp_path / "one.png")))


def test_find_photos_rejects_photos_in_the_output(tmp_path):
    create_files(tmp_path, "a.jpg", "a_alpha.png", "b_alpha.png", "c.png")
    output = Output(str(tmp_path))
    assert stems([tmp_path / "a.jpg", tmp_path / "b_alpha.png"], output) == ["a", "b_alpha"]
    with assert_raises(MmnetError, "a_alpha.png", "output"):
        stems([tmp_path / "a.jpg", tmp_path / "a_alpha.png"], output)
    with assert_raises(MmnetError, tmp_path, "output"):
        stems([tmp_path], output)
    with assert_raises(MmnetError, "c.png", "output"):
        stems([tmp_path / "c.png"], Output(str(tmp_path / "c.png")))


@pytest.mark.parametrize(
    "name, error", [("none", FileNotFoundError), ("none.jpg", FileNotFoundError), ("", MmnetError)]
)
def test_find_photos_rejects_missing_and_empty_folders(tmp_path, output, name, error):
    with assert_raises(error, tmp_path / name):
        stems([tmp_path / name], output)


@pytest.mark.parametrize(
    "output, path, kind, expected",
    [
        ("out", "a.jpg", "cutout", "out/x/a_cutout.png"),
        ("out", "a.mp4", "cutout", "out/x/a_cutout.webm"),
        ("out", "a.mp4", "alpha", "out/x/a_alpha.mp4"),
        ("o.png", "a.jpg", "alpha", "o.png"),
        ("f/%05d.png", "a.mp4", "alpha", "f/%05d.png"),
    ],
)
def test_output_names_files(output, path, kind, expected):
    assert Output(output).path_of(InputFile(path, "x/a"), kind) == expected


@pytest.mark.parametrize("name", ["o.png", "o.JPG", "o.webp", "o.tif", "o.heic", "o.avi", "o.ts"])
def test_output_is_one_file_unless_a_folder_exists(tmp_path, name):
    path, output = str(tmp_path / name), Output(str(tmp_path / name))
    assert (output.is_one_file, output.folder) == (True, str(tmp_path))
    os.mkdir(path)
    assert (Output(path).is_one_file, Output(path).folder) == (False, path)


@pytest.mark.parametrize("name", ["o", "o.v2", "2026.05", "o.txt"])
def test_output_is_a_folder_without_an_extension_of_images(name):
    assert not Output(name).is_one_file


def test_output_is_complete_if_all_outputs_are_newer(tmp_path, output):
    create_files(tmp_path, "a.jpg", "out/a_alpha.png")
    photo, alpha = InputFile(str(tmp_path / "a.jpg"), "a"), str(tmp_path / "out/a_alpha.png")
    assert output.is_complete(photo, ["alpha"])
    assert not output.is_complete(photo, ["alpha", "cutout"])
    os.utime(alpha, (1, 1))
    assert not output.is_complete(photo, ["alpha"])
