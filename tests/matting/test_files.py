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


def test_find_photos_warns_of_unsupported_images(tmp_path, output, caplog):
    create_files(tmp_path, "a.jpg", "b.gif", "c.tif")
    assert stems([tmp_path], output) == ["a"]
    assert_message(caplog.text, str(tmp_path), 2, "b.gif")


def test_find_photos_rejects_equal_outputs(tmp_path, output):
    create_files(tmp_path, "p/a.jpg", "p/a.png")
    with assert_raises(MmnetError, "a.jpg", "a.png"):
        stems([tmp_path / "p"], output)
    create_files(tmp_path, "q/b.jpg")
    with assert_raises(MmnetError, "a.jpg", "b.jpg"):
        stems([tmp_path / "p/a.jpg", tmp_path / "q/b.jpg"], Output(str(tmp_path / "one.png")))


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


def test_output_is_one_file_unless_a_folder_exists(tmp_path):
    path, output = str(tmp_path / "o.png"), Output(str(tmp_path / "o.png"))
    assert (output.is_one_file, output.folder) == (True, str(tmp_path))
    os.mkdir(path)
    assert (Output(path).is_one_file, Output(path).folder) == (False, path)


def test_output_is_complete_if_all_outputs_are_newer(tmp_path, output):
    create_files(tmp_path, "a.jpg", "out/a_alpha.png")
    photo, alpha = InputFile(str(tmp_path / "a.jpg"), "a"), str(tmp_path / "out/a_alpha.png")
    assert output.is_complete(photo, ["alpha"])
    assert not output.is_complete(photo, ["alpha", "cutout"])
    os.utime(alpha, (1, 1))
    assert not output.is_complete(photo, ["alpha"])
