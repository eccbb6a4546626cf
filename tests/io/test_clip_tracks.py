"""Tests of mmnet.io.clip_tracks."""

import pytest

from helpers import assert_message
from helpers.clips import copy_clip, find_tones, write_tracks

av = pytest.importorskip("av", reason="no PyAV for this Python")

MONO, STEREO, SURROUND = ("mono", 48000), ("stereo", 48000), ("5.1", 48000)
TAGS = {"title": "Walk", "creation_time": "2024-05-06T07:08:09.000000Z", "artist": "me"}


def describe_audio(path):
    """Return (codec, channels, language, is default) per audio track."""
    with av.open(path) as container:
        return [
            (
                stream.codec_context.codec.canonical_name,
                stream.codec_context.layout.nb_channels,
                stream.language,
                stream.disposition.value & 1,
            )
            for stream in container.streams.audio
        ]


@pytest.mark.parametrize(
    "name, codecs, language",
    [
        ("o.mov", ["pcm_s24le", "aac"], "ger"),
        ("o.mp4", ["aac", "aac"], "deu"),
        ("o.webm", ["opus", "opus"], "deu"),
    ],
)
def test_create_clip_keeps_tracks_and_metadata(tmp_path, name, codecs, language):
    source, path = str(tmp_path / "a.mkv"), str(tmp_path / name)
    surround = ("pcm_s24le", [SURROUND], {"language": "deu", "title": "Hall"}, False)
    speech = ("aac", [MONO], {"language": "fra"}, True)
    write_tracks(
        source, surround, speech, tags=TAGS, chapters=["one", "two"], timecode="01:02:03:04"
    )
    assert copy_clip(source, path) == ([], [])
    assert describe_audio(path) == [(codecs[0], 6, language, 0), (codecs[1], 1, "fra", 1)]
    with av.open(path) as container:
        metadata = {key.lower(): value for key, value in container.metadata.items()}
        assert {key: metadata[key] for key in TAGS} == TAGS
        video = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}
        assert video["timecode"] == "01:02:03:04"
        titles = [chapter["metadata"]["title"] for chapter in container.chapters()]
        assert titles == ["one", "two"]
        assert "Hall" in container.streams.audio[0].metadata.values()


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


def test_create_clip_names_what_is_lost(tmp_path):
    source, path = str(tmp_path / "a.mkv"), str(tmp_path / "o.webm")
    with av.open(source, "w") as container:
        template = write_tracks(str(tmp_path / "b.mp4"), tags={"location": "+47.1+008.5/"})
        with av.open(template) as clip:
            video = container.add_stream_from_template(clip.streams.video[0])
            subtitles = container.add_mux_stream("subrip")
            container.add_attachment("a.ttf", "font/ttf", b"font")
            for packet in clip.demux():
                if packet.size:
                    packet.stream = video
                    container.mux(packet)
            packet = av.Packet(b"words")
            packet.stream, packet.pts, packet.dts, packet.duration = subtitles, 0, 0, 100
            container.mux(packet)
    warnings, notes = copy_clip(source, path)
    assert warnings == [] and len(notes) == 1
    assert_message(notes[0], path, "subtitle tracks: 1", "attachments: 1")
    with av.open(path) as container:
        assert not [name for name in container.metadata if "location" in name.lower()]


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.webm"])
@pytest.mark.parametrize("keep_gps", [False, True])
def test_create_clip_keeps_the_position_only_if_wanted(tmp_path, name, keep_gps):
    source, path = str(tmp_path / "a.mkv"), str(tmp_path / name)
    write_tracks(source, tags={**TAGS, "com.apple.make": "Apple", "location": "+47.1+008.5/"})
    assert copy_clip(source, path, keep_gps) == ([], [])
    with av.open(path) as container:
        metadata = {key.lower(): value for key, value in container.metadata.items()}
        assert metadata["com.apple.make"] == "Apple" and metadata["title"] == "Walk"
        assert ("location" in metadata) == keep_gps


@pytest.mark.parametrize(
    "source_code, code", [("nld", "dut"), ("fre", "fra"), ("swe", "sve"), ("eng", "eng")]
)
def test_create_clip_writes_languages_of_quicktime(tmp_path, source_code, code):
    source, path = str(tmp_path / "a.mkv"), str(tmp_path / "o.mov")
    write_tracks(source, ("aac", [MONO], {"language": source_code}, True))
    assert copy_clip(source, path) == ([], [])
    assert describe_audio(path)[0][2] == code
