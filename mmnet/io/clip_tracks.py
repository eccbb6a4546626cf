"""Copy the audio and subtitles of a clip into a written clip. No TensorFlow.

Tracks are copied bit for bit if the new file format supports their codec. Other audio is encoded
again with the same channels.
"""

import contextlib
import io
from fractions import Fraction
from typing import Any, Dict

from mmnet.io.clip_files import import_av, open_container
from mmnet.io.clip_metadata import copy_stream_metadata
from mmnet.io.clips import Clip, open_clip, read_packets

AUDIO_RATE = 48000  # samples per second of encoded audio
MAX_OVERLAP = AUDIO_RATE // 200  # samples; time stamps of some formats are rounded to 1 ms
MAX_GAP = AUDIO_RATE // 50  # samples; a longer gap is filled with silence
MAX_SILENCE = 3600 * AUDIO_RATE  # samples; more silence, as in damaged files, is left out
CHANNEL_BIT_RATE = 96000  # bits per second of encoded audio, for each channel
ENCODERS = {".mp4": "aac", ".mov": "aac", ".webm": "libopus"}  # for audio that is not copied
STANDARD_LAYOUTS = dict(
    enumerate(["mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"], start=1)
)  # number of channels -> name
MPEG4_CODECS = ("aac", "mp3", "mp2", "ac3", "eac3", "alac", "dts", "mov_text")
COPIED_CODECS = {  # file extension -> beginnings of the names of codecs
    ".mp4": (*MPEG4_CODECS, "flac", "opus"),
    ".mov": (*MPEG4_CODECS, "pcm_", "adpcm_ima_qt"),
    ".webm": ("opus", "vorbis", "webvtt"),
}
FRAME_HEADER_CODECS = ("mp", "ac3", "eac3", "dts")  # beginnings; and AAC without a global header


class TrackWriter:
    """Writes the audio tracks of a clip, and the subtitles that the new file format supports."""

    def __init__(self, source: Clip, target: Any, extension: str):
        self._source, self._target = source, target
        self._tracks: Dict[int, Any] = {}  # index in the source -> track of the new file
        for stream in (*source.container.streams.audio, *source.container.streams.subtitles):
            self._add(stream, extension)
        self._steps = self._copy_packets()
        self._next_time = next(self._steps, None)

    def write(self, until: float) -> None:
        """Write all packets up to a time in seconds. Unreadable audio is reported as a warning."""
        while self._next_time is not None and self._next_time <= until:
            self._next_time = next(self._steps, None)

    def close(self) -> None:
        """Close the source."""
        self._steps.close()

    def _copy_packets(self):
        """Yield the time of each packet in seconds, then write the packet."""
        if not self._tracks:
            return
        seconds = Fraction(0)
        with open_clip(self._source.path) as clip:
            streams = [clip.container.streams[index] for index in self._tracks]
            for packet in _readable(read_packets(clip, *streams)):
                index = packet.stream.index  # stream_index is wrong for the last packets
                if index not in self._tracks:
                    continue
                if packet.dts is not None:
                    seconds = packet.dts * packet.time_base
                yield seconds
                try:
                    self._target.mux(self._tracks[index].convert(packet))
                except (ValueError, import_av().FFmpegError) as error:
                    if isinstance(error, OSError):  # for example, no space on the disk
                        raise
                    del self._tracks[index]
                    self._warn(index, f"ends at {float(seconds):.1f} s ({error})")
            for index, track in self._tracks.items():
                if track.broken_packets:
                    self._warn(index, f"{track.broken_packets} broken packets skipped")

    def _add(self, stream, extension):
        index, target = stream.index, self._target
        if stream.type != "audio":
            if _can_store(stream, extension):
                self._tracks[index] = _CopiedTrack(stream, target, extension)
            return
        layouts, rates = _find_formats(self._source.path, stream)
        layout = _choose_layout(layouts, ENCODERS[extension])
        if not layouts:
            self._warn(index, "skipped, because it cannot be decoded")
        elif len(layouts) == len(rates) == 1 and _can_store(stream, extension):
            self._tracks[index] = _CopiedTrack(stream, target, extension)
        elif layout is not None:
            self._tracks[index] = _EncodedTrack(stream, target, extension, layout)
        else:
            self._warn(index, f"skipped, because {layouts[-1].name} cannot be encoded again")

    def _warn(self, index, message):
        indices = [stream.index for stream in self._source.container.streams.audio]
        if index in indices:
            message = f"{self._source.path}: audio track {indices.index(index) + 1}: {message}"
            if message not in self._source.warnings:  # the writer of another output adds the same
                self._source.warnings.append(message)


def _readable(packets):
    """Yield packets up to an unreadable part of the file, which the reader of the video reports."""
    with contextlib.suppress(import_av().FFmpegError):
        yield from packets


class _CopiedTrack:
    """Copies packets. Their time stamps do not decrease, because no container accepts that."""

    broken_packets = 0

    def __init__(self, stream, target, extension):
        self._stream = target.add_stream_from_template(stream)
        copy_stream_metadata(stream, self._stream, extension)
        self._next_dts = None

    def convert(self, packet):
        """Return the packets to write."""
        if not packet.size:
            return []
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None or (self._next_dts is not None and dts < self._next_dts):
            dts = self._next_dts or 0
        packet.pts = packet.dts = dts
        self._next_dts = dts + 1 if packet.dts is not None else dts + (packet.duration or 1)
        packet.stream = self._stream
        return [packet]


class _EncodedTrack:
    """Encodes audio again, with a new resampler for each format within the track."""

    def __init__(self, stream, target, extension, layout):
        codec = ENCODERS[extension]
        self._stream = target.add_stream(codec, rate=AUDIO_RATE, layout=layout)
        self._stream.bit_rate = CHANNEL_BIT_RATE * self._stream.layout.nb_channels
        copy_stream_metadata(stream, self._stream, extension)
        self._resampler = self._input_format = None
        self._end = None  # end of the encoded audio in samples
        self._free_silence = MAX_SILENCE  # samples that may still be added
        self.broken_packets = 0

    def convert(self, packet):
        """Return the packets to write."""
        try:
            frames = packet.decode()
        except import_av().FFmpegError:
            self.broken_packets += 1
            return []
        packets = []
        for frame in frames:
            packets.extend(self._encode(frame))
        if not packet.size:  # the end
            packets.extend(self._encode(None))
            packets.extend(self._stream.encode())
        return packets

    def _encode(self, frame):
        """Encode a frame. At the end (None), empty the resampler."""
        frames = []
        input_format = frame and (frame.format.name, frame.layout.name, frame.sample_rate)
        if input_format != self._input_format:
            if self._resampler is not None:
                frames.extend(self._resampler.resample(None))
            context = self._stream.codec_context
            self._resampler = import_av().AudioResampler(
                context.format, context.layout, context.sample_rate
            )
            self._input_format = input_format
        if frame is not None:
            frames.extend(self._resampler.resample(frame))
        packets = []
        for resampled in filter(None, frames):
            for part in self._set_time(resampled):
                packets.extend(self._stream.encode(part))
        return packets

    def _set_time(self, frame):
        """Yield a frame with a time stamp that the encoder accepts, after silence in a gap."""
        end = self._end
        pts = end or 0
        if frame.pts is not None:
            pts = int(round(frame.pts * frame.time_base * AUDIO_RATE))
        if end is not None:
            pts = max(pts, end - MAX_OVERLAP)
            while MAX_GAP < pts - end < self._free_silence:
                silence = import_av().AudioFrame(
                    frame.format.name, frame.layout.name, min(pts - end, AUDIO_RATE)
                )
                for plane in silence.planes:
                    plane.update(bytes(plane.buffer_size))
                silence.sample_rate = AUDIO_RATE
                silence.pts, silence.time_base = end, Fraction(1, AUDIO_RATE)
                yield silence
                end += silence.samples
                self._free_silence -= silence.samples
        frame.pts, frame.time_base = pts, Fraction(1, AUDIO_RATE)
        self._end = pts + frame.samples
        yield frame


def _can_store(stream, extension):
    """Return whether the new file format accepts a track unchanged."""
    if stream.codec_context is None:
        return False
    av = import_av()
    if not stream.codec_context.codec.canonical_name.startswith(COPIED_CODECS[extension]):
        return False
    try:
        with av.open(io.BytesIO(), "w", format=extension[1:]) as scratch:
            scratch.add_stream_from_template(stream)
            scratch.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


def _find_formats(path, stream):
    """Return the channel layouts (by number of channels) and the sample rates of an audio track.

    A codec without a global header may change them at any packet, so all packets are decoded. Most
    formats cannot store such a track unchanged.
    """
    context = stream.codec_context
    if context is None:
        return [], set()
    name = context.codec.canonical_name
    if name.startswith("pcm_") or (context.extradata and not name.startswith(FRAME_HEADER_CODECS)):
        return [context.layout], {context.sample_rate}
    layouts, rates = {}, set()
    error_type = import_av().FFmpegError
    with open_container(path) as container, contextlib.suppress(error_type):
        for packet in container.demux(container.streams[stream.index]):
            with contextlib.suppress(error_type):
                for frame in packet.decode():
                    layouts[frame.layout.name] = frame.layout
                    rates.add(frame.sample_rate)
    return sorted(layouts.values(), key=lambda layout: layout.nb_channels), rates


def _choose_layout(layouts, encoder):
    """Return the name of the largest layout in a form that an encoder accepts, or None."""
    av = import_av()
    for layout in layouts[-1:]:
        standard = STANDARD_LAYOUTS.get(layout.nb_channels, "stereo")
        is_unknown = layout.name.endswith(" channels")
        for name in (standard if is_unknown else layout.name, standard):
            context = av.CodecContext.create(encoder, "w")
            with contextlib.suppress(ValueError, av.FFmpegError):
                context.layout = name
                context.sample_rate, context.format = AUDIO_RATE, context.codec.audio_formats[0]
                context.open()
                return name
    return None
