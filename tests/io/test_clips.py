"""Tests of mmnet.io.clips."""

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import ImageCms

from helpers import assert_message, assert_raises
from helpers.clips import (
    SHAPE,
    TIME_BASE,
    TIME_STAMPS,
    draw_frame,
    find_numbers,
    make_tone,
    read_clip,
    set_display_matrix,
    video_frames,
    write_clip,
    write_frames,
)
from helpers.images import save
from mmnet.io.clips import open_clip, read_frames
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


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
@pytest.mark.parametrize("tone, delay", [(0, 0), (0, 3.5), (3, 0), (3, 1.5)])
def test_complete_clip_has_no_warning(tmp_path, name, tone, delay):
    """Audio that is longer, a video that starts later, and a last frame that lasts long."""
    path, last = str(tmp_path / name), 4 if delay == 3.5 else 0.04
    packets = []

    def change(packet):
        packets.append(packet)
        packet.pts = packet.dts = packet.pts + int(delay / packet.time_base)
        if len(packets) == 10:
            packet.duration = int(last / packet.time_base)

    codec = "libvpx" if name == "a.webm" else "libx264"
    options = {} if name == "a.webm" else {"tune": "zerolatency"}
    write_frames(path, video_frames(10), codec, change=change, tone=tone, options=options)
    with open_clip(path) as clip:
        frames = list(read_frames(clip))
        seconds = [float(frame.pts * clip.time_base) for frame in frames]
        durations = [float(frame.duration * clip.time_base) for frame in frames]
        assert not clip.warnings
    first = delay if tone else 0
    expected = [first + 0.04 * number for number in range(10)]
    assert seconds == pytest.approx(expected, abs=0.025)  # the audio may start earlier
    assert durations == pytest.approx(9 * [0.04] + [last], abs=0.003)


def test_png_frames_with_a_colour_profile_are_read(tmp_path):
    """PyAV frees the name of such a profile twice, which ended the process."""
    path, image = str(tmp_path / "a.mov"), np.ascontiguousarray(draw_frame(1)[:, :96])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with av.open(path, "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "rgb24"
        for number in range(9):
            packet = av.Packet(save(image, "PNG", icc_profile=profile))
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            container.mux(packet)
    code = "import sys; from helpers.clips import read_clip; print(len(read_clip(sys.argv[1])[1]))"
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, *filter(None, sys.path)])}
    command = [sys.executable, "-c", code, path]
    assert subprocess.check_output(command, env=environment).split() == [b"9"]


def test_longer_audio_of_a_windows_media_file_is_no_truncation(tmp_path):
    path = write_frames(str(tmp_path / "a.wmv"), video_frames(10), "wmv2", tone=3)
    seconds, _, warnings = read_clip(path)
    assert len(seconds) == 10 and not warnings


@pytest.mark.parametrize("name, codec", [("a.mp4", "libx264"), ("a.mov", "libx265")])
def test_last_frame_ends_where_the_edit_list_ends(tmp_path, name, codec):
    """With B-frames, the decoding times do not contain this end."""

    def change(packet):
        if packet.pts * packet.time_base == 12 * Fraction(1, 25):
            packet.duration = int(3 / packet.time_base)

    path = str(tmp_path / name)
    write_frames(path, video_frames(13), codec, change=change)
    with open_clip(path) as clip:
        durations = [float(frame.duration * clip.time_base) for frame in read_frames(clip)]
        assert not clip.warnings
    assert durations[-1] == pytest.approx(3, abs=0.002)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("gap", range(3, 12, 2))
def test_gap_between_frames_belongs_to_the_frame_before_it(tmp_path, name, gap):
    """With B-frames, the packets of MP4 contain durations of other frames."""
    times = [number + (75 if number > gap else 0) for number in range(13)]
    path, b_frames = str(tmp_path / name), {"max_b_frames": 3, "options": {"b-adapt": "0"}}
    write_frames(path, video_frames(13), "libx264", times=times, **b_frames)
    with open_clip(path) as clip:
        durations = [float(frame.duration * clip.time_base) for frame in read_frames(clip)]
    expected = 13 * [0.04]
    expected[gap] += 3
    assert durations == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("is_attached", [True, False])
def test_open_clip_prefers_the_video_to_a_cover_image(tmp_path, is_attached):
    """The cover is the first stream, larger, and the default."""
    path = str(tmp_path / "a.mp4")
    cover = av.VideoFrame(320, 240, "yuvj420p")
    with av.open(path, "w") as container:
        streams = []
        for codec, frames in (("mjpeg", [cover]), ("libx264", video_frames(10))):
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = frames[0].width, frames[0].height
            stream.pix_fmt = frames[0].format.name
            streams.append((stream, frames))
        streams[0][0].disposition = 1 << 10 if is_attached else 1
        streams[1][0].disposition = 0
        for stream, frames in streams:
            for number, frame in enumerate(frames):
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    _, images, warnings = read_clip(path)
    assert find_numbers(images) == list(range(10)) and not warnings


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mpg", "a.ts"])
def test_open_clip_reads_the_pixel_aspect(tmp_path, name):
    path, codec, aspect = str(tmp_path / name), "libx264", Fraction(16, 9)
    frames = video_frames(10)
    if name == "a.mpg":  # it stores the aspect ratio of the image: 4:3
        codec, aspect = "mpeg2video", Fraction(8, 9)
        frames = [frame.reformat(width=90, height=60) for frame in frames]
    write_frames(path, frames, codec, sample_aspect_ratio=aspect)
    with open_clip(path) as clip:
        assert clip.pixel_aspect == aspect
    if name == "a.mp4":
        with open_clip(set_display_matrix(path, (0, 1, -1, 0))) as clip:
            assert clip.pixel_aspect == 1 / aspect


def test_open_clip_rejects_video_without_decoder(tmp_path):
    path = write_frames(str(tmp_path / "a.mkv"), video_frames(3), "libx264")
    with open(path, "r+b") as file:
        data = file.read().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ")
        file.seek(0)
        file.write(data)
    with assert_raises(MmnetError, path, "decoder"):
        read_clip(path)


@pytest.mark.parametrize(
    "name, codec, rate, shape",
    [("a.h264", "libx264", 15, SHAPE), ("a.dv", "dvvideo", 25, (576, 720))],
)
def test_raw_streams_have_the_rate_of_their_codec(tmp_path, name, codec, rate, shape):
    path = str(tmp_path / name)
    write_blank_clip(path, codec, rate, shape)
    with open_clip(path) as clip:
        times = [float(frame.pts * clip.time_base) for frame in read_frames(clip)]
        assert clip.frame_rate == rate
    assert np.diff(times) == pytest.approx(1 / rate, abs=1e-4)


def test_first_frame_starts_at_zero(tmp_path):
    path = str(tmp_path / "a.wtv")  # its time stamps have 100 ns, the start of the container 1 us
    write_blank_clip(path, "mpeg2video", 30, SHAPE, max_b_frames=2)
    with open_clip(path) as clip:
        assert [frame.pts for frame in read_frames(clip)][0] == 0


def write_blank_clip(path, codec, rate, shape, **attributes):
    """Write a clip of 3 frames."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = shape[0], shape[1] // 2 * 2, "yuv420p"
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        for number in range(3):
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_read_frames_survives_a_decoder_that_cannot_start(tmp_path):
    path = write_frames(str(tmp_path / "a.avi"), video_frames(3), "mpeg4")
    with open(path, "r+b") as file:
        data = file.read()
        start = data.index(b"strf") + 8
        header = data[start : start + 4] + bytes(16)
        file.seek(start)
        file.write(header)  # raw video, 0 x 0 pixels of 0 bits
    with assert_raises(MmnetError, path, "no readable frame"):
        read_clip(path)
