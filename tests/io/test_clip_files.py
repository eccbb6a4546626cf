"""Tests of mmnet.io.clip_files."""

import os
import struct
import subprocess
import sys
import threading

import pytest

from helpers import ROOT, assert_raises
from helpers.clips import copy_clip, read_clip, video_frames, write_clip, write_frames
from mmnet.io.errors import MmnetError

pytest.importorskip("av", reason="no PyAV for this Python")

TIME_STAMPS = [0, 40, 80]
# Texts that FFmpeg reads as lists of other files or streams. {} is the path of a clip.
LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {}\n",
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "hls master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n",
    "dash": '<?xml version="1.0"?><MPD mediaPresentationDuration="PT1S"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="9"><BaseURL>{}</BaseURL><SegmentBase/>'
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "rtsp": "rtsptext\nrtsp://127.0.0.1:1/{}\n",
    "rtp": "RTP/1.0 {}\n",
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-'
    '3/2016"><Id>urn:uuid:8713c020-2489-45f5-a9f7-87be539e20b5</Id>{}</CompositionPlaylist>',
    "vobsub": "# VobSub index file, v7\nsize: 720x576\ntimestamp: 00:00:00:000, "
    "filepos: 000\n# {}\n",
    "asx": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
    "m3u": "{}\n{}\n",
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(str(tmp_path_factory.mktemp("other") / "walk.mp4"), TIME_STAMPS, None)


@pytest.mark.parametrize("extension", [".mp4", ".m3u8", ".mpd"])
@pytest.mark.parametrize("kind", sorted(LISTS))
def test_open_container_rejects_lists(clip, tmp_path, kind, extension):
    path = str(tmp_path / f"a{extension}")
    os.link(clip, str(tmp_path / "walk.mp4"))
    for name in (clip, f"file:{clip}", "walk.mp4"):
        with open(path, "w") as file:
            file.write(LISTS[kind].replace("{}", name))
        with assert_raises(MmnetError, path, "not a readable clip"):
            read_clip(path)


@pytest.mark.parametrize(
    "name",
    [
        *("tcp:127.0.0.1:1?.mp4", "http:x.mp4", "rtmp:x.mp4", "tls:x.mp4", "cache:tcp:x.mp4"),
        *("concat:a.mp4", "file:a.mp4", "data:a.mp4", "pipe:0.mp4", "fd:0.mp4", "subfile,,:a.mp4"),
        *("-.mp4", "-i.mp4", "%03d.mp4", "a%s%n.mp4", "@.mp4", "a?b#c.mp4", "*.mp4", "a\nb.mp4"),
        *("\udcff.mp4", "ä.mp4"),
    ],
)
def test_names_are_no_addresses(clip, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.link(clip, name)
    times = read_clip(clip)[0]
    assert read_clip(name)[0] == times
    folder = os.path.splitext(name)[0]
    for copy in (f"{folder}/a.mp4", f"{folder}/a.webm", f"copy {name}", name.replace("a", "b")):
        copy_clip(name, copy)
        assert read_clip(copy)[0] == pytest.approx(times)


@pytest.mark.parametrize("content", [b"", b"\0", b"MThd" + bytes(99), bytes(100000)])
def test_open_container_rejects_other_contents(tmp_path, content):
    path = str(tmp_path / "a.mp4")
    with open(path, "wb") as file:
        file.write(content)
    with assert_raises(MmnetError, path, "not a readable clip"):
        read_clip(path)


def test_open_container_limits_the_index(clip, tmp_path):
    """The file states 40 million samples of 1 byte, which is 1 GB in FFmpeg's index."""
    path, count = str(tmp_path / "a.mp4"), 40_000_000
    with open(clip, "rb") as file:
        data = file.read()
    data = replace_box(data, b"stsz", struct.pack(">III", 0, 1, count))
    data = replace_box(data, b"stts", struct.pack(">IIII", 0, 1, count, 512))
    data = replace_box(data, b"stsc", struct.pack(">IIIII", 0, 1, 1, count, 1))
    with open(path, "wb") as file:
        file.write(data)
    command = (
        "import resource, sys\n"
        "from mmnet.io.clips import open_clip\n"
        "try:\n"
        "    with open_clip(sys.argv[1]): pass\n"
        "except ValueError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)\n"
    )
    small, large = (
        int(subprocess.check_output([sys.executable, "-c", command, name], cwd=ROOT))
        for name in (clip, path)
    )
    assert large - small < 1000  # MiB


def replace_box(data, kind, body):
    """Replace a box of the sample table of a MP4 file with one track."""
    start = data.index(kind) - 4
    end = start + int.from_bytes(data[start : start + 4], "big")
    box = struct.pack(">I", 8 + len(body)) + kind + body
    changed = bytearray(data[:start] + box + data[end:])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        offset = data.index(parent) - 4
        size = int.from_bytes(data[offset : offset + 4], "big") + len(box) - (end - start)
        changed[offset : offset + 4] = struct.pack(">I", size)
    return bytes(changed)


def test_open_clip_rejects_huge_frames(tmp_path):
    path = write_frames(str(tmp_path / "a.gif"), video_frames(2, "rgb8"), "gif")
    with open(path, "r+b") as file:
        file.seek(6)
        file.write(struct.pack("<HH", 9000, 9000))
    with assert_raises(MmnetError, path, "9000x9000", "pixels"):
        read_clip(path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_open_container_rejects_special_files(tmp_path, kind):
    path = str(tmp_path / "a.mp4")
    if kind == "pipe":
        os.mkfifo(path)
        end = threading.Timer(5, lambda: os.close(os.open(path, os.O_WRONLY)))
        end.start()  # so that the test fails instead of waiting
    elif kind == "device":
        os.symlink("/dev/zero", path)
    else:
        os.mkdir(path)
    try:
        with assert_raises(MmnetError, path, "not a regular file"):
            read_clip(path)
    finally:
        if kind == "pipe":
            end.cancel()
