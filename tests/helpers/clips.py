"""Write and read small clips."""

from fractions import Fraction

import numpy as np
import pytest

from mmnet.io.clips import frames_of, open_clip

av = pytest.importorskip("av", reason="no PyAV for this Python")

SHAPE = (64, 97)  # height, width: an odd one
BASE = Fraction(1, 1000)  # seconds


def picture(number):
    """uint8 [H,W,3]: a bright bar that moves before a gradient."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    bar = np.abs(x - 8 * number) < 12
    return (np.dstack([40 + y, 60 + x, 80 + 0 * x]) + 90 * bar[..., None]).astype(np.uint8)


def tone(start):
    """1024 samples of sound from a sample on."""
    wave = np.sin(np.arange(start, start + 1024) / 20).astype(np.float32)
    samples = av.AudioFrame.from_ndarray(wave[np.newaxis], "fltp", "mono")
    samples.sample_rate, samples.pts = 48000, start
    return samples


STAMPS = [0, 40, 80, 200, 210, 250, 290, 330, 370, 410, 450, 490]  # of a phone: at no steady rate


def write_clip(path, stamps=STAMPS, sound="aac"):
    """A clip of ``picture``s, made by PyAV alone, lossless."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = SHAPE + ("yuv444p",)
        stream.options = {"qp": "0", "g": "4"}
        stream.codec_context.time_base = BASE
        audio = container.add_stream(sound, rate=48000) if sound else None
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = stamp, BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for start in range(0, 24000 if audio else 0, 1024):
            container.mux(audio.encode(tone(start)))
        if audio:
            container.mux(audio.encode())
    return path


def turn(path):
    """Say in an MP4's header that it is to be shown turned by 90 degrees clockwise."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    at = data.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2: the matrix of a version 0 header
    matrix = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    with open(path, "wb") as file:
        file.write(data)
    return path


def read(path):
    """(seconds, images, problems) of all frames."""
    with open_clip(path) as clip:
        frames = list(frames_of(clip))
        return [f.pts * clip.time_base for f in frames], [f.image for f in frames], clip.problems


def alpha_of(path):
    """The alpha of a clip's first frame."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":  # FFmpeg's own decoder leaves alpha out
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = (f for packet in container.demux(stream) for f in decoder.decode(packet))
        return next(frames).to_ndarray(format="rgba")[..., 3]
