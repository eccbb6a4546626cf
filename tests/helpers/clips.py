"""Write and read small clips."""

from fractions import Fraction

import numpy as np
import pytest

from mmnet.io.clips import open_clip, read_frames

av = pytest.importorskip("av", reason="no PyAV for this Python")

SHAPE = (64, 97)  # height and width; the width is odd
TIME_BASE = Fraction(1, 1000)  # seconds
TIME_STAMPS = [0, 40, 80, 200, 210, 250, 290, 330, 370, 410, 450, 490]  # variable frame rate


def draw_frame(number):
    """Return uint8 [H,W,3]: a bright bar that moves across a gradient."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    bar = np.abs(x - 8 * number) < 12
    return (np.dstack([40 + y, 60 + x, 80 + 0 * x]) + 90 * bar[..., None]).astype(np.uint8)


def make_tone(start):
    """Return 1024 audio samples, from a sample number on."""
    wave = np.sin(np.arange(start, start + 1024) / 20).astype(np.float32)
    samples = av.AudioFrame.from_ndarray(wave[np.newaxis], "fltp", "mono")
    samples.sample_rate, samples.pts = 48000, start
    return samples


def write_clip(path, time_stamps=TIME_STAMPS, audio="aac"):
    """Write a lossless clip of ``draw_frame`` images with PyAV alone. Return its path."""
    with av.open(path, "w") as container:
        video_stream = container.add_stream("libx264", rate=25)
        video_stream.height, video_stream.width, video_stream.pix_fmt = SHAPE + ("yuv444p",)
        video_stream.options = {"qp": "0", "g": "4"}
        video_stream.codec_context.time_base = TIME_BASE
        audio_stream = container.add_stream(audio, rate=48000) if audio else None
        for number, pts in enumerate(time_stamps):
            frame = av.VideoFrame.from_ndarray(draw_frame(number), "rgb24")
            frame.pts, frame.time_base = pts, TIME_BASE
            container.mux(video_stream.encode(frame))
        container.mux(video_stream.encode())
        if audio_stream:
            for start in range(0, 24000, 1024):
                container.mux(audio_stream.encode(make_tone(start)))
            container.mux(audio_stream.encode())
    return path


def rotate_in_header(path):
    """Set the display matrix of an MP4 file to a clockwise rotation by 90 degrees."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    offset = data.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2: matrix of a version 0 header
    matrix = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    data[offset : offset + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    with open(path, "wb") as file:
        file.write(data)
    return path


def read_clip(path):
    """Return (seconds, images, warnings) of all frames."""
    with open_clip(path) as clip:
        frames = list(read_frames(clip))
        seconds = [frame.pts * clip.time_base for frame in frames]
        return seconds, [frame.image for frame in frames], clip.warnings


def read_first_alpha(path):
    """Return the alpha of a clip's first frame: uint8 [H,W]."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":  # FFmpeg's own decoder ignores alpha
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = container.demux(stream)
        frames = (frame for packet in packets for frame in decoder.decode(packet))
        return next(frames).to_ndarray(format="rgba")[..., 3]
