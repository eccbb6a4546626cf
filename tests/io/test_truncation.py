"""Tests of mmnet.io.truncation, and of the warnings of truncated clips."""

import os

import pytest

from helpers import assert_message
from helpers.clips import read_clip, video_frames, write_frames
from mmnet.io.truncation import is_truncated

av = pytest.importorskip("av", reason="no PyAV for this Python")

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
FILES = {  # id -> (name, encoder, options of the file)
    "mp4": ("a.mp4", "libx264", {"movflags": "faststart"}),
    "fragmented mp4": ("a.mp4", "libx264", FRAGMENTS),
    "indexed fragmented mp4": ("a.mp4", "libx264", {"movflags": "frag_keyframe+dash+global_sidx"}),
    "fragmented mov": ("a.mov", "libx264", FRAGMENTS),
    "mkv": ("a.mkv", "libx264", {}),
    "webm": ("a.webm", "libvpx", {}),
    "live webm": ("a.webm", "libvpx", {"live": "1"}),
    "avi": ("a.avi", "mpeg4", {}),
    "flv": ("a.flv", "flv", {}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Contents of complete clips of 2 s: id -> bytes."""
    contents = {}
    for key, (name, codec, options) in FILES.items():
        path = str(tmp_path_factory.mktemp("complete") / name)
        frames = video_frames(10) * 5
        write_frames(path, frames, codec, file_options=options, gop_size=10)
        with open(path, "rb") as file:
            contents[key] = file.read()
    return contents


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


@pytest.mark.parametrize("key", FILES)
def test_complete_clip_is_not_truncated(files, tmp_path, key):
    path = write(str(tmp_path / FILES[key][0]), files[key])
    seconds, _, warnings = read_clip(path)
    assert len(seconds) == 50 and not warnings and not is_truncated(path)


@pytest.mark.parametrize("part", [0.7, 0.8, 0.93])
@pytest.mark.parametrize("key", FILES)
def test_truncated_clip_is_reported_and_its_frames_are_kept(files, tmp_path, key, part):
    path = write(str(tmp_path / FILES[key][0]), files[key][: int(part * len(files[key]))])
    seconds, _, warnings = read_clip(path)
    assert 50 * part / 2 - 5 < len(seconds) <= 50
    assert_message("\n".join(warnings), path, "truncated", " s")


@pytest.mark.parametrize("end", [0, 4, 100])
@pytest.mark.parametrize("key", ["fragmented mp4", "fragmented mov"])
def test_clip_that_ends_in_the_header_of_a_fragment_is_read(files, tmp_path, key, end):
    """FFmpeg opens no file that ends inside a moof box."""
    parts = files[key].split(b"moof")
    data = b"moof".join(parts[:4]) + b"moof" + parts[4][:end]
    seconds, _, warnings = read_clip(write(str(tmp_path / FILES[key][0]), data))
    assert len(seconds) == 30
    assert_message("\n".join(warnings), "truncated")


def test_all_frames_before_an_incomplete_one_are_kept(files, tmp_path):
    data = files["fragmented mp4"]
    end = data.index(b"moof", data.index(b"moof", data.index(b"moof") + 4) + 4) - 4
    path = write(str(tmp_path / "a.mp4"), data[: end - 9])
    seconds, _, warnings = read_clip(path)
    assert len(seconds) == 19
    assert_message("\n".join(warnings), path, "1 broken frames", "truncated")


@pytest.mark.parametrize("key", ["mp4", "fragmented mp4", "mkv", "webm", "avi"])
def test_bytes_after_the_clip_are_ignored(files, tmp_path, key):
    path = write(str(tmp_path / FILES[key][0]), files[key] + b"SEFT" + bytes(100))
    assert not is_truncated(path)


def test_file_of_zeros_is_truncated_if_it_begins_as_webm(files, tmp_path):
    data = files["webm"]
    half = len(data) // 2
    path = write(str(tmp_path / "a.webm"), data[:half] + bytes(len(data) - half))
    assert is_truncated(path) and os.path.getsize(path) == len(data)
