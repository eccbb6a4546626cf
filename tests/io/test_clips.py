"""Clips in and out."""

import os
from fractions import Fraction

import numpy as np
import pytest

from helpers.clips import BASE, SHAPE, STAMPS, alpha_of, picture, read, tone, turn, write_clip
from mmnet.io.clips import check_encoding, frames_of, load_backdrop, open_clip, writing

av = pytest.importorskip("av", reason="no PyAV for this Python")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(str(tmp_path_factory.mktemp("a clip") / "walk.mp4"))


def test_frames_come_with_their_time_stamps(clip):
    seconds, images, problems = read(clip)
    assert seconds == [stamp * BASE for stamp in STAMPS] and not problems
    for number, image in enumerate(images):
        assert image.shape == SHAPE + (3,)
        assert np.abs(image.astype(int) - picture(number)).max() <= 4  # YUV of 8 bits


def test_a_phones_clip_comes_upright(tmp_path):
    path = turn(write_clip(str(tmp_path / "turned.mp4")))
    images = read(path)[1]
    assert images[3].shape == SHAPE[::-1] + (3,)
    assert np.abs(images[3].astype(int) - np.rot90(picture(3), -1)).max() <= 4


@pytest.mark.parametrize(
    "name, channels", [("o.mp4", 3), ("o.webm", 3), ("o.mov", 3), ("o.webm", 4), ("o.mov", 4)]
)
def test_written_and_read_again(clip, tmp_path, name, channels):
    path, alpha = str(tmp_path / name), np.zeros(SHAPE, np.uint8)
    alpha[:, :48], alpha[:32, :48] = 255, 100
    with open_clip(clip) as source, writing(path, source) as write:
        for frame in frames_of(source):
            image = frame.image if channels == 3 else np.dstack([frame.image, alpha])
            write(frame._replace(image=image))
    seconds, images, problems = read(path)
    assert not problems and len(images) == 12
    np.testing.assert_allclose([float(s) for s in seconds], np.array(STAMPS) / 1000, atol=1e-3)
    height, width = images[0].shape[:2]
    even = name != "o.webm" and channels == 3  # H.264 takes even sides only
    assert (height, width) == (SHAPE[0], SHAPE[1] + even)
    for number, image in enumerate(images):
        assert np.abs(image[:, : SHAPE[1]].astype(int) - picture(number)).mean() < 6
    with av.open(path) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name == ("opus" if name == "o.webm" else "aac")
        heard = sum(frame.samples / frame.sample_rate for frame in container.decode(sound))
        assert heard == pytest.approx(0.5, abs=0.05)
    if channels == 4:
        found = alpha_of(path)
        assert np.abs(found.astype(int) - alpha).mean() < 2


def test_sound_is_copied_bit_by_bit(clip, tmp_path):
    path = str(tmp_path / "copy.mov")
    with open_clip(clip) as source, writing(path, source) as write:
        for frame in frames_of(source):
            write(frame)

    def packets(name):
        with av.open(name) as container:
            return [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]

    assert packets(path) == packets(clip)


def test_frames_as_pictures(clip, tmp_path):
    with open_clip(clip) as source, writing(str(tmp_path / "f/%03d.png"), source) as write:
        for frame in frames_of(source):
            write(frame)
    assert sorted(os.listdir(str(tmp_path / "f"))) == ["%03d.png" % n for n in range(1, 13)]


def test_what_is_interrupted_leaves_the_older_file(clip, tmp_path):
    path = tmp_path / "o.mp4"
    path.write_bytes(b"older")
    interrupted = pytest.raises(KeyboardInterrupt)
    with interrupted, open_clip(clip) as source, writing(str(path), source) as write:
        write(next(frames_of(source)))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"older" and os.listdir(str(tmp_path)) == ["o.mp4"]


def test_a_clip_that_was_cut_off_gives_what_it_held(tmp_path):
    path = write_clip(str(tmp_path / "long.mkv"), list(range(0, 4000, 40)), None)
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data[: len(data) // 2])
    seconds, _, problems = read(path)
    assert 20 < len(seconds) < 80
    assert len(problems) == 1 and "is cut off: it ends at" in problems[0]
    assert problems[0].endswith("of 4.0 seconds")


def test_broken_frames_are_left_out(tmp_path):
    path = write_clip(str(tmp_path / "long.mp4"), list(range(0, 4000, 40)), None)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    middle = data.index(b"mdat") + 3000
    data[middle : middle + 300] = b"\xa5" * 300
    with open(path, "wb") as file:
        file.write(data)
    seconds, _, problems = read(path)
    assert 90 <= len(seconds) < 100
    assert len(problems) == 1 and "broken frames left out, the first one at" in problems[0]


def test_no_clips(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no clip")
    sound = str(tmp_path / "sound.mp4")
    with av.open(sound, "w") as container:
        audio = container.add_stream("aac", rate=48000)
        container.mux(audio.encode(tone(0)))
        container.mux(audio.encode())
    with pytest.raises(ValueError, match="text.mp4 is not a clip that can be read"):
        read(str(text))
    with pytest.raises(ValueError, match="sound.mp4 holds no picture, only sound"):
        read(sound)
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path / "none.mp4"))
    bare = write_clip(str(tmp_path / "bare.mp4"), [0], None)
    with open(bare, "r+b") as file:
        data = file.read()
        start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
        file.seek(start)
        file.write(bytes(end - start))
    with pytest.raises(ValueError, match="bare.mp4 holds no frame that can be read"):
        read(bare)


def test_names_of_files():
    check_encoding("a.webm", True)
    check_encoding("a.mov", True)
    check_encoding("a.MP4", False)
    check_encoding("f/%05d.png", True)
    for name, transparent, says in (
        ("a.mp4", True, "a.mp4: .mp4 holds no alpha: write .webm or .mov"),
        ("a.avi", False, "a.avi: clips are written as .mov, .mp4, .webm or frames/%05d.png"),
        ("a.png", True, "frames take a pattern"),
        ("%s%d.png", True, "frames take a pattern"),
    ):
        with pytest.raises(ValueError, match=says):
            check_encoding(name, transparent)


def test_a_backdrop_turns_in_circles(clip):
    backdrop = load_backdrop(clip)
    for _ in range(2):  # each clip before it begins anew
        at = backdrop.play()
        length = STAMPS[-1] * BASE + Fraction(1, 22)
        for seconds, number in ((0, 0), (Fraction(22, 100), 4), (length + Fraction(9, 100), 2)):
            shorten = at(seconds)
            near = [np.abs(shorten.astype(int) - picture(n)).max() for n in (number, number + 1)]
            assert min(near) <= 4
    assert np.abs(backdrop.first.astype(int) - picture(0)).max() <= 4
