"""Read clips with PyAV (the extra ``video``). No TensorFlow."""

import contextlib
from fractions import Fraction
from typing import Any, Generator, Iterator, List, NamedTuple, Optional

import cv2
import numpy as np

from mmnet.io.clip_files import import_av, open_container
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.frame_colour import convert_frame, is_transposed
from mmnet.io.mp4_header import read_track_end
from mmnet.io.timeline import FrameTimes, Timeline, to_fraction
from mmnet.io.truncation import is_truncated

END_TOLERANCE = Fraction(1, 2)  # seconds that may be missing at the end of a complete clip
END_PRECISION = Fraction(1, 100)  # seconds; MP4 files round the end of a track

NO_TIME_STAMPS, TS_DISCONT = 0x80, 0x200  # FFmpeg's flags of formats; time stamps may restart
MAX_FRAME_RATE = 1000  # frames per second
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders ignore alpha
MAX_PIXEL_ASPECT = 16  # a larger value is wrong
MAX_PIXELS = 8192 * 4352  # the largest frames of H.264 and AV1, level 6


class Frame(NamedTuple):
    image: np.ndarray  # uint8 [H,W,3]: RGB (BT.709), upright; or an output of shape [H,W]
    pts: int  # time stamp in units of the clip's time_base; increases, 0: start of the container
    duration: int = 0  # in units of the clip's time_base; 0: unknown
    opacity: Optional[np.ndarray] = None  # alpha channel, uint8 [H,W]; None: opaque


class Clip(NamedTuple):
    """A clip that is open for reading."""

    path: str
    container: Any
    stream: Any  # the video
    decoder: Any  # for the packets of the video
    time_base: Fraction  # seconds
    frame_rate: Fraction  # average frames per second
    pixel_aspect: Fraction  # width of a pixel of upright frames / its height
    start_time: Fraction  # seconds; read_packets subtracts it from the time stamps of all streams
    duration: Optional[Fraction]  # seconds, if the file contains it
    warnings: List[str]  # unreadable parts; complete after the last frame was read
    notes: List[str]  # contents that a written clip cannot store; complete after it was closed

    @property
    def frame_count(self) -> Optional[int]:
        """Approximate number of frames, or None if the file does not contain it."""
        return self.stream.frames or int(round((self.duration or 0) * self.frame_rate)) or None


@contextlib.contextmanager
def open_clip(path: str) -> Iterator[Clip]:
    """Open a clip for ``read_frames``.

    Raises:
        FileNotFoundError: no such file.
        MmnetError: PyAV is not installed, or the file is no clip or has no video.
    """
    with open_container(path) as container:
        stream = _find_video(container)
        if stream is None:
            raise MmnetError(f"{path}: contains no video")
        if stream.codec_context is None:
            raise MmnetError(f"{path}: no decoder for its video")
        shape = (stream.codec_context.height, stream.codec_context.width)
        if shape[0] * shape[1] > MAX_PIXELS:
            message = f"frames have at most {MAX_PIXELS} pixels"
            raise MmnetError(f"{path}: {format_shape(shape)}: {message}")
        precision = Fraction(1, import_av().time_base)
        start_time = max(0, container.start_time or 0) * precision
        if abs((stream.start_time or 0) * stream.time_base - start_time) < precision:
            start_time = Fraction((stream.start_time or 0) * stream.time_base)
        yield Clip(
            path,
            container,
            stream,
            _find_decoder(stream),
            time_base=to_fraction(stream.time_base),
            frame_rate=_find_frame_rate(container, stream),
            pixel_aspect=_find_pixel_aspect(path, stream),
            start_time=start_time,
            duration=_find_duration(path, container, stream, start_time),
            warnings=[],
            notes=[],
        )


def read_packets(clip: Clip, *streams: Any) -> Generator:
    """Yield the packets of some streams (default: all), and a last one per stream that flushes it.

    The time stamps begin with 0 at the start of the container. If they restart in the file, an
    offset continues them. Two readers of one file get equal time stamps.
    """
    timeline = Timeline(clip.start_time, has_restarts=_has_restarts(clip.container))
    indices = [stream.index for stream in streams or clip.container.streams]
    for packet in clip.container.demux():
        timeline.correct(packet)
        if packet.stream.index in indices:
            yield packet


def read_frames(clip: Clip) -> Generator[Frame, None, None]:
    """Yield all readable frames of a clip, resized to the shape of the first one.

    Broken frames are skipped. ``clip.warnings`` reports them, and a truncated file, at the end.

    Raises:
        MmnetError: the clip has no readable frame.
    """
    reader = _FrameReader(clip)
    frame, end = None, 0  # of the last frame
    for decoded_frame, pts in reader.frames():
        image, opacity = convert_frame(decoded_frame)
        if frame is not None:
            yield frame._replace(duration=pts - frame.pts)
            image, opacity = _resize(image, opacity, frame.image.shape[:2])
        frame = Frame(image, pts, opacity=opacity)
        end = pts + (decoded_frame.duration or reader.step)
    if frame is None:
        raise MmnetError(f"{clip.path}: no readable frame")
    yield frame._replace(duration=reader.finish(frame.pts, end) - frame.pts)


class _FrameReader:
    """Decodes the video of a clip, and finds its unreadable parts.

    Attributes:
        step: mean duration of the frames, in units of the clip's time_base.
    """

    def __init__(self, clip):
        self._clip = clip
        self.step = max(1, int(round(1 / (clip.frame_rate * clip.time_base))))
        self._times = FrameTimes(
            clip.decoder, self.step, has_pts=clip.container.format.name != "avi"
        )
        # PyAV crashes if the name is read after the decoder could not start.
        self._codec = clip.stream.codec_context.name
        self._broken = []  # time stamps of frames, None: unknown
        self._ends = {}  # index of a stream -> end in seconds
        self._is_incomplete = {}  # index of a stream -> whether its last packet is

    def frames(self):
        """Yield (PyAV frame, time stamp)."""
        for packet in self._packets():
            try:
                frames = self._clip.decoder.decode(packet)
            except (import_av().FFmpegError, ValueError):  # ValueError: the decoder cannot start
                self._broken.append(self._times.remove(packet))
                continue
            for frame in frames:
                pts = self._times.assign(frame.pts)
                if frame.is_corrupt:
                    self._broken.append(pts)
                else:
                    yield frame, pts

    def _packets(self):
        """Yield the packets of the video, and None at the end."""
        video = self._clip.stream.index
        try:
            for packet in read_packets(self._clip):
                if not packet.size:
                    continue
                index = packet.stream.index
                self._is_incomplete[index] = packet.is_corrupt
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._ends[index] = max(end, self._ends.get(index, 0))
                if index == video:
                    _hide_profile(packet, self._codec)
                    self._times.add(packet)
                    yield packet
        except import_av().FFmpegError:  # the rest of the file is unreadable
            self._broken.append(self._times.last)
        yield None

    def finish(self, pts, end):
        """Add the warnings to the clip. Return the end of the last frame, which begins at pts."""
        clip = self._clip
        seconds = end * clip.time_base
        if self._broken:
            first = self._broken[0]
            first = "" if first is None else f", the first at {float(first * clip.time_base):.1f} s"
            clip.warnings.append(f"{clip.path}: {len(self._broken)} broken frames skipped{first}")
        if self._times.skipped:
            skipped = f"{self._times.skipped} frames before the first key frame skipped"
            clip.notes.append(f"{clip.path}: {skipped}")
        if self._is_truncated():
            length = f"{float(seconds):.1f}"
            if clip.duration and clip.duration > seconds:
                length += f" of {float(clip.duration):.1f}"
            clip.warnings.append(f"{clip.path}: truncated, contains {length} s")
        elif not self._broken and _has_exact_duration(clip):
            duration = int(clip.duration / clip.time_base)
            end = duration if duration > pts else end
        return end

    def _is_truncated(self):
        clip = self._clip
        container = clip.container
        if is_truncated(clip.path):
            return True
        if _has_restarts(container) or _is_matroska(container):
            return False
        if any(self._is_incomplete.values()):
            return True
        duration = _find_stream_end(clip.stream, clip.start_time) or clip.duration
        if not duration:
            return False
        end = self._ends.get(clip.stream.index, 0)
        # The duration is that of the longest stream.
        if clip.stream.duration is None or container.format.name == "asf":
            end = max(self._ends.values(), default=0)
        return end < duration - max(END_TOLERANCE, 2 / clip.frame_rate)


def _has_restarts(container):
    return bool(container.format.flags & TS_DISCONT)


def _is_matroska(container):
    return "matroska" in container.format.name


def _has_exact_duration(clip):
    """Return whether ``duration`` is the end of the last frame.

    The packets of Matroska contain no durations. Those of MP4 are differences of decoding times, so
    they belong to other frames if the clip has B-frames.
    """
    if not clip.duration:
        return False
    if _is_matroska(clip.container):
        return "DURATION" in clip.stream.metadata or len(clip.container.streams) == 1
    return "mp4" in clip.container.format.name and clip.stream.duration is not None


def _resize(image, opacity, shape):
    """Resize an image and its opacity to (height, width)."""
    if image.shape[:2] == shape:
        return image, opacity
    resized = [
        None if array is None else cv2.resize(array, shape[::-1], interpolation=cv2.INTER_AREA)
        for array in (image, opacity)
    ]
    return resized[0], resized[1]


def _find_video(container):
    """Return the best video stream that is no cover image, or None."""
    Disposition = import_av().stream.Disposition
    images = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    streams = [stream for stream in container.streams.video if not stream.disposition & images]

    def rank(stream):
        context = stream.codec_context
        if context is None:
            return (False,)
        is_default = bool(stream.disposition & Disposition.default)
        return True, stream.frames != 1, is_default, context.width * context.height

    return max(streams, key=rank, default=None)


def _hide_profile(packet, codec):
    """Rename the colour profile of a PNG frame, because PyAV frees its name twice."""
    if packet.size and codec in ("png", "apng"):
        packet.update(bytes(packet).replace(b"iCCP", b"isCP", 1))


def _find_decoder(stream):
    """Return the decoder. It decodes one frame at a time, so an error loses no other frame."""
    decoder = stream.codec_context
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    if decoder.name in ALPHA_DECODERS and tags.get("alpha_mode") == "1":
        decoder = import_av().CodecContext.create(ALPHA_DECODERS[decoder.name], "r")
    decoder.options = {"max_pixels": str(MAX_PIXELS)}  # the size may change
    return decoder


def _find_frame_rate(container, stream):
    """Return the average number of frames per second."""
    rate, guessed_rate = stream.average_rate, stream.guessed_rate
    # A raw stream has no time stamps. FFmpeg returns the rate 60000 for DV.
    is_wrong = container.format.flags & NO_TIME_STAMPS or (rate or 0) > MAX_FRAME_RATE
    return to_fraction((guessed_rate if is_wrong else rate) or guessed_rate or rate or 25)


def _find_pixel_aspect(path, stream):
    """Return the width of a pixel of upright frames / its height."""
    aspect = stream.sample_aspect_ratio
    if not aspect or aspect == 1:
        return Fraction(1)
    aspect = to_fraction(aspect)
    stretch = max(aspect, 1 / aspect)
    if stretch > MAX_PIXEL_ASPECT or stretch * stream.width * stream.height > MAX_PIXELS:
        return Fraction(1)
    with open_container(path) as container, contextlib.suppress(import_av().FFmpegError):
        for packet in container.demux(container.streams[stream.index]):
            _hide_profile(packet, stream.codec_context.name)
            for frame in packet.decode():
                return 1 / aspect if is_transposed(frame) else aspect
    return aspect


def _find_stream_end(stream, start_time):
    """Return the end of a stream that has a duration, in seconds after the start, or None."""
    if not stream.duration:
        return None
    return (stream.duration + (stream.start_time or 0)) * stream.time_base - start_time


def _find_duration(path, container, stream, start_time):
    """Return the end of the video, else of the longest stream, in seconds after the start."""
    end = _find_stream_end(stream, start_time)
    if end and "mp4" in container.format.name:  # FFmpeg's duration is a sum of decoding times
        edited_end = (read_track_end(path, stream.id) or end + start_time) - start_time
        return edited_end if abs(edited_end - end) > END_PRECISION else end
    if end:
        return end
    duration = container.duration and Fraction(container.duration, import_av().time_base)
    if not _is_matroska(container):
        return duration
    with contextlib.suppress(KeyError, ValueError):
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        duration = 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
        if "_STATISTICS_TAGS" in stream.metadata:  # mkvmerge does not include the start
            duration += (stream.start_time or 0) * stream.time_base
    return duration and max(0, duration - start_time)  # it includes the start
