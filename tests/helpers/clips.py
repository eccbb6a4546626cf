"""Write and read small clips."""

import os
from fractions import Fraction

import numpy as np
import pytest

from mmnet.io.clip_writer import create_clip
from mmnet.io.clips import open_clip, read_frames
from mmnet.io.frame_colour import convert_frame

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


def write_rgba_clip(path, image, frames=2):
    """Write a clip (.mov, ProRes) of one image, uint8 [H,W,4]."""
    with av.open(path, "w") as container:
        stream = container.add_stream("prores_ks", rate=25)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuva444p10le"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(image, "rgba")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_tracks(path, *tracks, tags=None, chapters=(), timecode=None, pixel_aspect=1, last=40):
    """Write a clip of 10 frames, 40 ms each, with audio tracks. Return its path.

    tracks: (encoder, formats, metadata, is default). A track begins with the first format,
        (layout, samples per second), and changes it every 0.25 s; None: a gap. The n-th format,
        n = 0, 1, ..., contains a tone of 400 + 200 n Hz on its last channel.
    chapters: their titles, 200 ms each.
    last: duration of the last frame in ms.
    """
    with av.open(path, "w") as container:
        container.metadata.update(tags or {})
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 64, 96, "yuv420p"
        context = video.codec_context
        context.time_base, context.sample_aspect_ratio = TIME_BASE, Fraction(pixel_aspect)
        context.options = {"tune": "zerolatency"}  # packets in the order of the frames
        video.metadata.update({"timecode": timecode} if timecode else {})
        streams = []
        for encoder, ((layout, rate), *_), metadata, is_default in tracks:
            stream = container.add_stream(encoder, rate=rate, layout=layout)
            stream.metadata.update(metadata)
            stream.disposition = int(is_default)
            streams.append(stream)
        container.set_chapters(
            [
                {
                    "id": number,
                    "start": 200 * number,
                    "end": 200 * (number + 1),
                    "time_base": TIME_BASE,
                    "metadata": {"title": title},
                }
                for number, title in enumerate(chapters)
            ]
        )
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(draw_frame(number)[:, :96], "rgb24")
            frame.pts, frame.time_base = 40 * number, TIME_BASE
            for packet in video.encode(frame):
                packet.duration = last if number == 9 else 40
                container.mux(packet)
        for stream, (encoder, formats, *_) in zip(streams, tracks):
            for packet in encode_tones(path, encoder, formats):
                packet.stream = stream
                container.mux(packet)
    return path


def encode_tones(path, encoder, formats):
    """Yield the packets of an audio track: see write_tracks."""
    for number, part in enumerate(formats):
        if part is None:
            continue
        layout, rate = part
        context = av.CodecContext.create(encoder, "w")
        context.layout, context.sample_rate = layout, rate
        context.format = context.codec.audio_formats[0]
        channels = context.layout.nb_channels
        samples = np.zeros((channels, rate // 4), np.float32)
        samples[-1] = 0.5 * np.sin(2 * np.pi * (400 + 200 * number) / rate * np.arange(rate // 4))
        frame = av.AudioFrame.from_ndarray(samples, "fltp", layout)
        frame.sample_rate, frame.pts = rate, number * (rate // 4)
        packets = context.encode(frame) + context.encode()
        if path.endswith(".ts") and encoder == "aac":
            start = 1024 * 13 * number
            numbered = enumerate(packets[1:])  # without the delay of the encoder
            packets = [make_adts_packet(p, layout, rate, start + 1024 * n) for n, p in numbered]
        yield from packets


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


def make_adts_packet(packet, layout, rate, pts):
    """Return an AAC packet with a header of MPEG-2 transport streams (ISO 14496-3, 1.A.2)."""
    fields = 1 << 38 | [96000, 88200, 64000, 48000, 44100].index(rate) << 34  # AAC LC
    fields |= av.AudioLayout(layout).nb_channels << 30 | (packet.size + 7) << 13 | 0x7FF << 2
    result = av.Packet((0xFFF1 << 40 | fields).to_bytes(7, "big") + bytes(packet))
    result.pts = result.dts = pts
    result.time_base = Fraction(1, rate)
    return result


def find_tones(path, track=0):
    """Return (channels, frequency of the loudest tone in the last channel) per 0.25 s of audio."""
    resampler = av.AudioResampler("fltp", rate=48000)
    with av.open(path) as container:
        stream = container.streams.audio[track]
        frames = [frame for part in container.decode(stream) for frame in resampler.resample(part)]
    samples = np.hstack([frame.to_ndarray() for frame in frames])
    tones = []
    for start in range(0, samples.shape[1] - 6000, 12000):
        part = samples[-1, start + 3000 : start + 9000]  # 1/8 s in the middle
        tones.append((len(samples), int(8 * np.abs(np.fft.rfft(part)).argmax())))
    return tones


def write_frames(
    path, frames, codec="ffv1", *, times=None, change=None, tone=0, file_options=None, **attributes
):
    """Write PyAV frames. Return the path.

    times: of the frames, in units of 40 ms (default: 0, 1, ...).
    change: edits each packet of the video.
    tone: seconds of an audio track.
    attributes: of the encoder, such as color_trc.
    """
    with av.open(path, "w", options=file_options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = frames[0].format.name
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        encoder = {".mpg": "mp2", ".webm": "libopus"}.get(os.path.splitext(path)[1], "aac")
        audio = container.add_stream(encoder, rate=48000) if tone else None
        packets = []
        for pts, frame in zip(times or range(len(frames)), frames):
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            packets += stream.encode(frame)
        for packet in packets + stream.encode():
            if change:
                change(packet)
            container.mux(packet)
        if audio:
            frames = [make_tone(start) for start in range(0, int(48000 * tone), 1024)]
            for frame in [*frames, None]:
                container.mux(audio.encode(frame))
    return path


def video_frames(count, pixel_format="yuv420p"):
    """Return PyAV frames: ``draw_frame`` with an even width."""
    images = [np.ascontiguousarray(draw_frame(number)[:, :96]) for number in range(count)]
    frames = [av.VideoFrame.from_ndarray(image, "rgb24") for image in images]
    return [frame.reformat(format=pixel_format) for frame in frames]


def find_numbers(images):
    """Return the number of the ``draw_frame`` that each image of ``video_frames`` shows."""
    bars = [draw_frame(number)[:, :96].astype(int) for number in range(len(images) + 1)]
    return [int(np.argmin([np.abs(image - bar).mean() for bar in bars])) for image in images]


def set_display_matrix(path, matrix):
    """Set a, b, c and d of the display matrix in an MP4 file: 1, 0 or -1. Return the path."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    offset = data.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2: matrix of a version 0 header
    a, b, c, d = (value << 16 for value in matrix)
    values = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
    data[offset : offset + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    with open(path, "wb") as file:
        file.write(data)
    return path


def read_clip(path):
    """Return (seconds, images, warnings) of all frames."""
    with open_clip(path) as clip:
        frames = list(read_frames(clip))
        seconds = [frame.pts * clip.time_base for frame in frames]
        return seconds, [frame.image for frame in frames], clip.warnings


def copy_clip(source_path, path, keep_gps=False):
    """Read and write a clip. Return its warnings and notes."""
    with open_clip(source_path) as source:
        with create_clip(path, source, keep_gps=keep_gps) as write:
            for frame in read_frames(source):
                write(frame)
        return source.warnings, source.notes


def read_first_alpha(path):
    """Return the alpha of a clip's first frame: uint8 [H,W]."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":  # FFmpeg's own decoder ignores alpha
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = container.demux(stream)
        frames = (frame for packet in packets for frame in decoder.decode(packet))
        image, opacity = convert_frame(next(frames))
        return np.full(image.shape[:2], 255, np.uint8) if opacity is None else opacity
