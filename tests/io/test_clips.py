"""Tests of mmnet.io.clips."""

import os

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.clips import (
    SHAPE,
    TIME_BASE,
    TIME_STAMPS,
    draw_frame,
    make_tone,
    read_clip,
    write_clip,
)
from mmnet.io.clips import is_clip
from mmnet.io.errors import MmnetError

av = pytest.importorskip("av", reason="no PyAV for this Python")

LONG = list(range(0, 4000, 40))  # time stamps of a clip with 100 frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(str(tmp_path_factory.mktemp("a clip") / "walk.mp4"))


def test_read_frames_keeps_time_stamps(clip):
    seconds, images, warnings = read_clip(clip)
    assert seconds == [pts * TIME_BASE for pts in TIME_STAMPS] and not warnings
    for number, image in enumerate(images):
        assert image.shape == SHAPE + (3,)
        assert np.abs(image.astype(int) - draw_frame(number)).max() <= 4  # 8-bit YUV


def test_read_frames_reports_truncated_file(tmp_path):
    path = write_clip(str(tmp_path / "long.mkv"), LONG, None)
    os.truncate(path, os.path.getsize(path) // 2)
    seconds, _, warnings = read_clip(path)
    assert 20 < len(seconds) < 80 and len(warnings) == 1
    assert_message(warnings[0], path, "truncated", "4.0 s")


def test_read_frames_skips_broken_frames(tmp_path):
    path = write_clip(str(tmp_path / "long.mp4"), LONG, None)
    with open(path, "r+b") as file:
        file.seek(file.read().index(b"mdat") + 3000)
        file.write(b"\xa5" * 300)
    seconds, _, warnings = read_clip(path)
    assert 90 <= len(seconds) < 100 and len(warnings) == 1
    assert_message(warnings[0], path, "broken frames", "first")


def test_open_clip_rejects_other_files(tmp_path):
    text, audio = str(tmp_path / "text.mp4"), str(tmp_path / "audio.mp4")
    with open(text, "w") as file:
        file.write("no clip")
    with av.open(audio, "w") as container:
        stream = container.add_stream("aac", rate=48000)
        container.mux(stream.encode(make_tone(0)))
        container.mux(stream.encode())
    for path, error_type, token in (
        (text, MmnetError, "not a readable clip"),
        (audio, MmnetError, "no video"),
        (str(tmp_path / "missing.mp4"), FileNotFoundError, "missing.mp4"),
    ):
        with assert_raises(error_type, path, token):
            read_clip(path)


def test_read_frames_rejects_clip_without_readable_frame(tmp_path):
    path = write_clip(str(tmp_path / "empty.mp4"), [0], None)
    with open(path, "r+b") as file:
        data = file.read()
        start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
        file.seek(start)
        file.write(bytes(end - start))
    with assert_raises(MmnetError, path, "frame"):
        read_clip(path)


def test_is_clip_accepts_animated_gifs_only(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    images = [Image.new("L", (8, 8), 99 * number) for number in range(2)]
    for name, count in (("still.gif", 1), ("moving.GIF", 2)):
        images[0].save(str(tmp_path / name), save_all=True, append_images=images[1:count])
    (tmp_path / "damaged.gif").write_bytes(b"GIF89a")
    names = ["a.mp4", "a.M2TS", "a.jpg", "moving.GIF", "still.gif", "damaged.gif", "missing.gif"]
    clips = [name for name in names if is_clip(str(tmp_path / name))]
    assert clips == ["a.mp4", "a.M2TS", "moving.GIF"]
