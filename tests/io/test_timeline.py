"""Tests of mmnet.io.timeline with clips whose time stamps do not increase."""

from fractions import Fraction

import pytest

from helpers import assert_message
from helpers.clips import find_numbers, read_clip, video_frames, write_frames
from mmnet.io.clips import open_clip, read_frames, read_packets

av = pytest.importorskip("av", reason="no PyAV for this Python")

FRAME = Fraction(1, 25)  # seconds
B_FRAMES = {"max_b_frames": 3, "options": {"b-adapt": "0"}}
AUDIO_FRAME = 0.024  # seconds of an MP2 packet
TOLERANCE = 0.002  # seconds; Matroska counts milliseconds


def join(path, *parts):
    """Append the bytes of several files."""
    with open(path, "wb") as file:
        for part in parts:
            with open(part, "rb") as source:
                file.write(source.read())
    return path


def assert_steady(path, count, start=0):
    """Assert that a clip contains the ``draw_frame`` images in order, 40 ms each."""
    seconds, images, warnings = read_clip(path)
    assert len(images) == count and not warnings
    assert find_numbers(images) == list(range(count))
    assert [float(time) for time in seconds] == pytest.approx(
        [start + float(number * FRAME) for number in range(count)], abs=TOLERANCE
    )


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_frames_of_avi_with_b_frames_are_in_order(tmp_path, codec):
    path = str(tmp_path / "a.avi")
    assert_steady(write_frames(path, video_frames(12), codec, **B_FRAMES), 12)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.flv", "a.nut"])
def test_frames_with_decoding_times_are_in_order(tmp_path, name):
    start = []

    def set_decoding_time(packet):
        start.append(packet.dts)
        packet.pts = packet.dts = packet.dts - start[0]

    path = str(tmp_path / name)
    write_frames(path, video_frames(12), "libx264", change=set_decoding_time, **B_FRAMES)
    assert_steady(path, 12)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.ts", "a.mpg"])
def test_frames_with_presentation_times_are_in_order(tmp_path, name):
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    assert_steady(write_frames(str(tmp_path / name), video_frames(12), codec, **B_FRAMES), 12)


@pytest.mark.parametrize("tone", [0, 0.4])
@pytest.mark.parametrize("copies", [2, 3])
def test_time_stamps_that_restart_continue(tmp_path, copies, tone):
    part = str(tmp_path / "part.mpg")
    write_frames(part, video_frames(10), "mpeg2video", tone=tone)
    path = join(str(tmp_path / "joined.mpg"), *[part] * copies)
    seconds, images, warnings = read_clip(path)
    assert find_numbers(images) == copies * list(range(10)) and not warnings
    steps = [float(after - before) for before, after in zip(seconds, seconds[1:])]
    assert min(steps) > 0.039 and max(steps) < 0.1
    with open_clip(path) as clip:
        packets = [packet for packet in read_packets(clip) if packet.dts is not None]
        times = [float(p.dts * p.time_base) for p in packets if p.stream.type == "audio"]
    assert bool(times) == bool(tone)
    for before, after in zip(times, times[1:]):
        assert 0.9 * AUDIO_FRAME < after - before < 0.15


@pytest.mark.parametrize("offsets", [(0, 0), (36000, 0), (0, 36000), (50, 0, 50)])
def test_transport_streams_that_jump_continue(tmp_path, offsets):
    parts = []
    for offset in offsets:
        parts.append(str(tmp_path / f"{len(parts)}.ts"))
        file_options = {"output_ts_offset": str(offset)}
        write_frames(parts[-1], video_frames(10), "libx264", file_options=file_options, **B_FRAMES)
    seconds, images, warnings = read_clip(join(str(tmp_path / "joined.ts"), *parts))
    assert len(images) == 10 * len(offsets) and not warnings
    assert [float(time) for time in seconds] == pytest.approx(
        [float(number * FRAME) for number in range(len(images))], abs=TOLERANCE
    )


def test_frames_before_the_first_key_frame_do_not_shift_the_others(tmp_path):
    path, packets = str(tmp_path / "a.ts"), []
    frames = video_frames(30)
    write_frames(path, frames, "mpeg2video", change=packets.append, gop_size=12)
    with open(path, "rb") as file:
        data = file.read()
    part = len(data) // 188 // 4 * 188  # inside the first group of pictures
    with open(path, "wb") as file:
        file.write(data[: 3 * 188] + data[part:])
    with open_clip(path) as clip:
        frames = list(read_frames(clip))
        with av.open(path) as container:
            pts = [frame.pts for frame in container.decode(container.streams.video[0])]
        start = int(clip.start_time / clip.time_base)
        assert_message(clip.notes[0], path, "before the first key frame")
    assert 5 < len(frames) < 30 and [frame.pts + start for frame in frames] == pts


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts", "a.webm"])
def test_clip_that_starts_at_10_hours_begins_with_0(tmp_path, name):
    codec = "libvpx" if name == "a.webm" else "libx264"
    path = str(tmp_path / name)
    write_frames(path, video_frames(10), codec, file_options={"output_ts_offset": "36000"})
    assert_steady(path, 10)
