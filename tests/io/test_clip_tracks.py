"""Tests of mmnet.io.clip_tracks."""

import numpy as np
import pytest

from helpers import assert_message
from helpers.clips import copy_clip, describe_audio, find_tones, write_tracks
from mmnet.io import clip_tracks

av = pytest.importorskip("av", reason="no PyAV for this Python")

MONO, STEREO, SURROUND = ("mono", 48000), ("stereo", 48000), ("5.1", 48000)


@pytest.mark.parametrize("name", ["o.mov", "o.mp4", "o.webm"])
@pytest.mark.parametrize(
    "encoder, formats, tones",
    [
        ("mp2", [MONO, STEREO], [(2, 400), (2, 600)]),
        ("mp2", [STEREO, MONO, ("stereo", 44100)], [(2, 400), (2, 600), (2, 800)]),
        ("mp2", [("mono", 44100), ("mono", 48000)], [(1, 400), (1, 600)]),
        ("ac3", [STEREO, SURROUND, STEREO], [(6, 0), (6, 600), (6, 0)]),
        ("mp2", [MONO, None, STEREO], [(2, 400), (2, 0), (2, 800)]),
    ],
    ids=["mono-stereo", "several", "rate", "surround", "gap"],
)
def test_create_clip_encodes_audio_that_changes(tmp_path, name, encoder, formats, tones):
    source, path = str(tmp_path / "a.mkv"), str(tmp_path / name)
    write_tracks(source, (encoder, formats, {}, True))
    assert copy_clip(source, path)[0] == []
    found = find_tones(path)
    assert len(found) >= len(tones)
    for (channels, frequency), tone in zip(found, tones):
        assert channels == tone[0] and abs(frequency - tone[1]) <= 8


def test_create_clip_limits_the_silence_in_gaps(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_tracks, "MAX_SILENCE", clip_tracks.AUDIO_RATE // 3)
    source, path = str(tmp_path / "a.mkv"), str(tmp_path / "o.mp4")
    write_tracks(source, ("mp2", [MONO, None, STEREO, None, MONO], {}, True))
    copy_clip(source, path)
    frequencies = [frequency for _, frequency in find_tones(path)]
    assert [20 * round(frequency / 20) for frequency in frequencies][:4] == [400, 0, 800, 1200]


@pytest.mark.parametrize(
    "formats, expected", [([MONO, MONO], ("aac", 1)), ([MONO, STEREO], ("aac", 2))]
)
def test_create_clip_reads_transport_streams(tmp_path, formats, expected):
    source, path = str(tmp_path / "a.ts"), str(tmp_path / "o.mp4")
    write_tracks(source, ("aac", formats, {}, True))
    assert copy_clip(source, path)[0] == []
    assert describe_audio(path)[0][:2] == expected
    channels, frequency = find_tones(path)[0]
    assert channels == expected[1] and abs(frequency - 400) <= 8
    channels, frequency = find_tones(path)[1]
    assert abs(frequency - 600) <= 8


@pytest.mark.parametrize("channels, layout", [(1, "mono"), (2, "stereo"), (6, "5.1")])
def test_create_clip_encodes_audio_without_layout(tmp_path, channels, layout):
    source, path = str(tmp_path / "a.mkv"), str(tmp_path / "o.mp4")
    write_tracks(source, ("pcm_s16le", [(layout, 48000)], {}, True))  # Matroska has no layouts
    assert copy_clip(source, path) == ([], [])
    with av.open(path) as container:
        assert container.streams.audio[0].layout.name == layout
    assert find_tones(path)[0][0] == channels and abs(find_tones(path)[0][1] - 400) <= 8


def test_create_clip_skips_audio_of_unknown_codec(tmp_path):
    source, path = tmp_path / "a.mkv", str(tmp_path / "o.mp4")
    tracks = [("libopus", [STEREO], {}, True), ("aac", [STEREO], {}, False)]
    write_tracks(str(source), *tracks)
    source.write_bytes(source.read_bytes().replace(b"A_OPUS", b"A_ABCD"))
    warnings, _ = copy_clip(str(source), path)
    assert len(warnings) == 1
    assert_message(warnings[0], source, "audio track 1")
    assert describe_audio(path)[0][:2] == ("aac", 2)


def test_create_clip_skips_audio_without_readable_packet(tmp_path):
    source, path = str(tmp_path / "a.mkv"), str(tmp_path / "o.mp4")
    write_tracks(source, ("ac3", [STEREO], {}, True))
    with av.open(source) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0)]
    with open(source, "r+b") as file:
        data = file.read()
        for packet in filter(None, packets):
            data = data.replace(packet, bytes(len(packet)))
        file.seek(0)
        file.write(data)
    warnings, _ = copy_clip(source, path)
    assert_message(warnings[0], source, "audio track 1")
    assert describe_audio(path) == []


@pytest.mark.parametrize("name", ["o.mp4", "o.webm"])
def test_create_clip_keeps_audio_in_step_if_times_restart(tmp_path, name):
    source, path = tmp_path / "a.ts", str(tmp_path / name)
    write_tracks(str(source), ("mp2", [MONO], {}, True))
    source.write_bytes(2 * source.read_bytes())
    assert copy_clip(str(source), path) == ([], [])
    with av.open(path) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert len(times) == 20 and 0.35 < times[10] - times[0] < 0.5
    with av.open(path) as container:
        loud = [
            float(frame.pts * frame.time_base)
            for frame in container.decode(audio=0)
            if np.abs(frame.to_ndarray()).max() > 0.1
        ]
    second = next(time for time in loud if time > 0.32)  # the first tone ends after 0.25 s
    assert second - loud[0] == pytest.approx(times[10] - times[0], abs=0.06)


@pytest.mark.parametrize("name", ["o.mp4", "o.webm"])
def test_create_clip_subtracts_the_start_time_from_all_tracks(tmp_path, name):
    first, source, path = (str(tmp_path / part) for part in ("a.mkv", "b.mkv", name))
    write_tracks(first, ("mp2", [MONO, MONO], {}, True))
    with av.open(first) as container, av.open(source, "w") as late:
        streams = [late.add_stream_from_template(stream) for stream in container.streams]
        for packet in container.demux():
            if packet.dts is not None:
                hours = int(36000 / packet.time_base)
                packet.pts, packet.dts = packet.pts + hours, packet.dts + hours
                packet.stream = streams[packet.stream.index]
                late.mux(packet)
    assert copy_clip(source, path) == ([], [])
    with av.open(path) as container:
        assert container.duration / av.time_base == pytest.approx(0.52, abs=0.06)
        for stream in container.streams:
            assert stream.start_time * stream.time_base == pytest.approx(0, abs=0.05)
