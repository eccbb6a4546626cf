"""Read clips with PyAV (the extra ``video``). No TensorFlow."""

import contextlib
import io
from fractions import Fraction
from typing import Any, Generator, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes

# Containers and raw streams with video that FFmpeg recognizes by their contents.
CLIP_EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3gpp", ".3g2", ".mj2", ".f4v", ".ismv"),
    *(".webm", ".mkv", ".mk3d", ".avi", ".divx", ".xvid", ".wmv", ".asf", ".wtv", ".dvr-ms"),
    *(".mpg", ".mpeg", ".mpe", ".mpv", ".m1v", ".m2v", ".m2p", ".vob", ".evo", ".mod", ".tod"),
    *(".ts", ".mts", ".m2ts", ".m2t", ".tp", ".trp", ".mxf", ".gxf", ".dv", ".dif", ".flv"),
    *(".kux", ".ogv", ".ogm", ".ogx", ".rm", ".rmvb", ".ivr", ".nut", ".nuv", ".nsv", ".y4m"),
    *(".ivf", ".obu", ".h261", ".h263", ".264", ".h264", ".h26l", ".avc", ".265", ".h265"),
    *(".hevc", ".266", ".h266", ".vvc", ".vc1", ".drc", ".mjpg", ".mjpeg", ".roq", ".bik"),
    *(".smk", ".fli", ".flc", ".viv", ".swf", ".amv", ".pva", ".ty", ".usm", ".xmv", ".thp"),
    *(".dav", ".mlv", ".cine"),
)
END_TOLERANCE = Fraction(1, 2)  # seconds that may be missing at the end of a complete clip

# FFmpeg's numbers of the colour spaces.
BT601, BT709 = 5, 1
HD_HEIGHT = 720  # pixels; a clip without a colour space is BT.709 from this height on


class Frame(NamedTuple):
    image: np.ndarray  # uint8 [H,W,3]: RGB (BT.709), upright; or an output of another shape
    pts: int  # time stamp in units of the clip's time_base; increases, 0: start of the container
    duration: int = 0  # in units of the clip's time_base; 0: unknown
    opacity: Optional[np.ndarray] = None  # alpha of the source, uint8 [H,W]; None: opaque


class Clip(NamedTuple):
    """A clip that is open for reading."""

    path: str
    container: Any
    stream: Any
    time_base: Fraction  # seconds
    frame_rate: Fraction  # average frames per second
    pixel_aspect: Fraction  # width of a pixel of upright frames / its height
    audio: Tuple[Any, ...]  # audio streams, the default one first
    start_time: Fraction  # seconds; read_packets subtracts it from the time stamps of all streams
    duration: Optional[Fraction]  # seconds, if the file contains it
    warnings: List[str]  # unreadable parts; complete after the last frame was read
    notes: List[str]  # contents that a written clip cannot store; complete after it was closed

    @property
    def frame_count(self) -> Optional[int]:
        """Approximate number of frames, or None if the file does not contain it."""
        return self.stream.frames or int(round((self.duration or 0) * self.frame_rate)) or None


def is_clip(path: str) -> bool:
    """Return whether a file is a clip: by its extension, or an animated GIF that PyAV can read."""
    if not path.lower().endswith(".gif"):
        return path.lower().endswith(CLIP_EXTENSIONS)
    try:
        import av  # noqa: F401
        from PIL import Image

        with Image.open(io.BytesIO(read_bytes(path))) as image:
            return image.is_animated
    except Exception:  # no PyAV, or a damaged file, for which Pillow raises many classes
        return False


@contextlib.contextmanager
def open_clip(path: str) -> Iterator[Clip]:
    """Open a clip for ``read_frames``.

    Raises:
        FileNotFoundError: no such file.
        MmnetError: PyAV is not installed, or the file is no clip or has no video.
    """
    av = import_av()
    try:
        container = av.open(path)
    except av.FFmpegError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise MmnetError(f"{path}: not a readable clip ({error.strerror})") from None
    with contextlib.closing(container):
        if not container.streams.video:
            raise MmnetError(f"{path}: contains no video")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        aspect = stream.sample_aspect_ratio
        audio = sorted(container.streams.audio, key=lambda track: -_is_default(track))
        yield Clip(
            path,
            container,
            stream,
            time_base=stream.time_base,
            frame_rate=stream.average_rate or stream.guessed_rate or Fraction(25),
            pixel_aspect=Fraction(aspect.numerator, aspect.denominator) if aspect else Fraction(1),
            audio=tuple(audio),
            start_time=Fraction(container.start_time or 0, av.time_base),
            duration=container.duration and Fraction(container.duration, av.time_base),
            warnings=[],
            notes=[],
        )


def read_packets(clip: Clip, *streams: Any) -> Generator:
    """Yield the packets of some streams of a clip, and a last packet per stream that flushes it.

    The time stamps begin with 0 at the start of the container. If they jump back in the file, an
    offset continues them. Two readers of one file get equal time stamps.
    """
    start_times = {stream.index: int(clip.start_time / stream.time_base) for stream in streams}
    for packet in clip.container.demux(streams):
        if packet.pts is not None:
            packet.pts -= start_times[packet.stream_index]
        if packet.dts is not None:
            packet.dts -= start_times[packet.stream_index]
        yield packet


def read_frames(clip: Clip) -> Generator[Frame, None, None]:
    """Yield all readable frames of a clip, resized to the shape of the first one.

    Broken frames are skipped. ``clip.warnings`` reports them, and a truncated file, at the end.

    Raises:
        MmnetError: the clip has no readable frame.
    """
    shape = None
    pts: Optional[int] = None
    broken: List[Optional[int]] = []  # time stamps
    step = max(1, int(round(1 / (clip.frame_rate * clip.time_base))))
    for frame in _decode_frames(clip):
        next_pts = None if pts is None else pts + step
        if frame is None:
            broken.append(next_pts)
            continue
        frame_pts = frame.pts if frame.pts is not None else next_pts or 0
        if frame.is_corrupt:
            broken.append(frame_pts)
        elif pts is None or frame_pts > pts:  # a container accepts no repeated time stamps
            pts = frame_pts
            image = _to_upright_image(frame)
            shape = shape or image.shape[:2]
            if image.shape[:2] != shape:
                image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
            yield Frame(image, pts, frame.duration)
    if pts is None:
        raise MmnetError(f"{clip.path}: no readable frame")
    clip.warnings.extend(_find_warnings(clip, broken, end=pts + step))


def _decode_frames(clip):
    """Yield the frames of PyAV, and None for each packet that cannot be decoded."""
    packets = read_packets(clip, clip.stream)
    while True:
        try:
            packet = next(packets, None)
            frames = () if packet is None else packet.decode()
        except import_av().FFmpegError:
            yield None
            continue
        if packet is None:
            return
        yield from frames


def _to_upright_image(frame):
    """Return uint8 [H,W,3], RGB, rotated as the frame's display matrix says."""
    colour_space = frame.colorspace
    if colour_space not in (BT601, BT709):  # unknown
        colour_space = BT709 if frame.height >= HD_HEIGHT else BT601
    image = frame.to_ndarray(format="rgb24", src_colorspace=colour_space)
    quarter_turns = int(round(frame.rotation / 90.0)) % 4
    return np.ascontiguousarray(np.rot90(image, quarter_turns))


def _find_warnings(clip, broken, end):
    """Return the warnings about broken frames and about an end (time stamp) that is too early."""

    def to_seconds(pts):
        return pts * clip.time_base

    warnings = []
    if broken:
        first = "" if broken[0] is None else f", the first at {float(to_seconds(broken[0])):.1f} s"
        warnings.append(f"{clip.path}: {len(broken)} broken frames skipped{first}")
    tolerance = max(END_TOLERANCE, 2 / clip.frame_rate)
    if clip.duration and to_seconds(end) < clip.duration - tolerance:
        length = f"{float(to_seconds(end)):.1f} of {float(clip.duration):.1f} s"
        warnings.append(f"{clip.path}: truncated, contains {length}")
    return warnings


def _is_default(stream):
    return bool(stream.disposition & import_av().stream.Disposition.default)


def import_av() -> Any:
    """Import PyAV. Raise MmnetError if it is not installed."""
    try:
        import av
    except ImportError:
        message = "clips need PyAV: pip install 'mmnet[video]' (Python 3.10 or newer)"
        raise MmnetError(message) from None
    av.logging.set_libav_level(av.logging.PANIC)  # broken parts are reported by our warnings
    return av
