"""Tests of mmnet.io.clip_metadata."""

import pytest

from helpers import assert_message
from helpers.clips import copy_clip, describe_audio, write_tracks

av = pytest.importorskip("av", reason="no PyAV for this Python")

MONO, SURROUND = ("mono", 48000), ("5.1", 48000)
TAGS = {"title": "Walk", "creation_time": "2024-05-06T07:08:09.000000Z", "artist": "me"}


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
