"""Clips: their frames in, and out again, with PyAV (the extra ``video``). No TensorFlow.

Frames keep their time stamps, whatever their rate; sound is copied, or encoded again where the new
file's format does not take it as it is.
"""

import contextlib
import os
from fractions import Fraction
from typing import Any, List, NamedTuple

import cv2
import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import atomic_write, write_bytes
from mmnet.io.images import encode_png

EXTENSIONS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".3gp")
LATE = Fraction(1, 2)  # seconds that the last frame may be missing before the end of a whole clip
BT601, BT709, LIMITED = 5, 1, 1  # FFmpeg's numbers of colour spaces and of the range 16..235
HD = 720  # pixels of height from which on a clip that does not say so is BT.709


class Frame(NamedTuple):
    image: np.ndarray  # uint8 [H,W,3] RGB, upright
    pts: int  # time stamp, in the clip's time_base


class Clip(NamedTuple):
    """A clip that is open for reading."""

    path: str
    container: Any
    stream: Any
    time_base: Fraction  # seconds
    rate: Fraction  # frames a second, on the average
    seconds: Fraction  # how long it says it is; None: it does not
    problems: List[str]  # what could not be read, as it turns out

    @property
    def expected(self):
        """About how many frames it holds; None where it does not say."""
        return self.stream.frames or int(round((self.seconds or 0) * self.rate)) or None


def is_clip(path):
    """Whether a file's name is that of a clip."""
    return path.lower().endswith(EXTENSIONS)


@contextlib.contextmanager
def open_clip(path):
    """Open a clip for frames_of.

    Raises:
        FileNotFoundError: no such file. ValueError: PyAV is not installed; no clip, or one without
            a picture.
    """
    av = _pyav()
    try:
        container = av.open(path)
    except av.FFmpegError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise MmnetError(
            "%s is not a clip that can be read (%s)" % (path, error.strerror)
        ) from None
    with contextlib.closing(container):
        if not container.streams.video:
            raise MmnetError("%s holds no picture, only sound" % path)
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        seconds = container.duration and Fraction(container.duration, av.time_base)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        yield Clip(path, container, stream, stream.time_base, rate, seconds, problems=[])


def frames_of(clip):
    """Yield every Frame of a Clip that can be read, all of the first one's shape.

    What cannot be read is left out and said in ``clip.problems``: a broken frame, a file that was
    cut off.

    Raises:
        ValueError: not one frame.
    """
    av, shape, pts, broken = _pyav(), None, None, []
    step = max(1, int(round(1 / (clip.rate * clip.time_base))))
    packets = clip.container.demux(clip.stream)
    while True:
        try:
            packet = next(packets, None)
            frames = packet.decode() if packet is not None else ()
        except av.FFmpegError:
            broken.append(None if pts is None else pts + step)
            continue
        if packet is None:
            break
        for frame in frames:
            stamp = frame.pts if frame.pts is not None else 0 if pts is None else pts + step
            if frame.is_corrupt:
                broken.append(stamp)
                continue
            if pts is not None and stamp <= pts:
                continue  # a repeated time stamp: a muxer takes none
            image = _upright(frame)
            if shape is None:
                shape = image.shape[:2]
            elif image.shape[:2] != shape:
                image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
            pts = stamp
            yield Frame(image, pts)
    if pts is None:
        raise MmnetError("%s holds no frame that can be read" % clip.path)
    if broken:
        first = "" if broken[0] is None else ", the first one at %s" % _clock(clip, broken[0])
        clip.problems.append("%s: %d broken frames left out%s" % (clip.path, len(broken), first))
    end = (pts + step - (clip.stream.start_time or 0)) * clip.time_base
    if clip.seconds and end < clip.seconds - max(LATE, 2 / clip.rate):
        clip.problems.append(
            "%s is cut off: it ends at %.1f of %.1f seconds" % (clip.path, end, clip.seconds)
        )


class Backdrop(NamedTuple):
    """A clip as a background."""

    path: str
    first: np.ndarray  # its first picture, uint8 [H,W,3], which stands behind photos

    def play(self):
        """Begin it: a function seconds (which never go back) -> its picture then, in circles."""
        frames = self._turns()
        now = following = next(frames)

        def at(seconds):
            nonlocal now, following
            while following[0] <= seconds:
                now, following = following, next(frames)
            return now[1]

        return at

    def _turns(self):
        """Yield (seconds, image), without end."""
        begin = Fraction(0)
        while True:
            with open_clip(self.path) as clip:
                first = None
                for frame in frames_of(clip):
                    first = frame.pts if first is None else first
                    at = begin + (frame.pts - first) * clip.time_base
                    yield at, frame.image
                begin = at + 1 / clip.rate


def load_backdrop(path):
    """The Backdrop in a file; errors as open_clip's and frames_of's."""
    with open_clip(path) as clip, contextlib.closing(frames_of(clip)) as frames:
        return Backdrop(path, next(frames).image)


class Form(NamedTuple):
    """How a file of some extension is encoded."""

    container: str
    codec: str
    pixels: str
    options: dict
    sound: tuple  # codecs that are copied; others become the first one


H264 = ("libx264", "yuv420p", {"crf": "18", "preset": "veryfast"})
VP9 = {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "7", "row-mt": "1"}
VP9["lag-in-frames"] = "0"  # what waits in the encoder is whole pictures
AAC, OPUS = ("aac", "mp3", "alac", "ac3", "eac3"), ("libopus", "opus", "vorbis")
OPAQUE = {  # extension -> Form
    ".mp4": Form("mp4", *H264, sound=AAC),
    ".mov": Form("mov", *H264, sound=AAC),
    ".webm": Form("webm", "libvpx-vp9", "yuv420p", VP9, OPUS),
}
TRANSPARENT = {
    ".mov": Form("mov", "prores_ks", "yuva444p10le", {"profile": "4444"}, AAC),
    ".webm": Form("webm", "libvpx-vp9", "yuva420p", dict(VP9, **{"auto-alt-ref": "0"}), OPUS),
}
SEQUENCE = ".png"  # behind a pattern such as frames/%05d.png


def check_encoding(path, transparent):
    """Raise ValueError where a clip cannot be written to a file of this name."""
    extension = os.path.splitext(path)[1].lower()
    forms = TRANSPARENT if transparent else OPAQUE
    if extension == SEQUENCE:
        try:
            named = path % 1 != path % 2
        except (TypeError, ValueError):
            named = False
        if not named:
            raise MmnetError("%s: frames take a pattern such as frames/%%05d.png" % path)
    elif extension not in forms and extension in OPAQUE:
        raise MmnetError(
            "%s: %s holds no alpha: write .webm or .mov, or give a --background" % (path, extension)
        )
    elif extension not in forms:
        raise MmnetError(
            "%s: clips are written as %s or frames/%%05d.png" % (path, ", ".join(sorted(forms)))
        )


@contextlib.contextmanager
def writing(path, clip):
    """Write a clip with another's time stamps and sound; gives a function Frame -> None.

    The frames' images are uint8 [H,W,3] or, with alpha, [H,W,4]. The file is there once all is
    written; a sequence of PNGs grows file by file.

    Raises:
        OSError: no room.
    """
    if path.lower().endswith(SEQUENCE):
        numbers = iter(range(1, 1 << 31))
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        yield lambda frame: write_bytes(path % next(numbers), encode_png(frame.image))
        return
    with atomic_write(path) as temporary:
        try:
            with contextlib.closing(_File(path, temporary, clip)) as file:
                yield file.write
                file.finish()
        except _pyav().FFmpegError as error:
            if isinstance(error, OSError):  # PyAV's cannot be given a name
                raise OSError(error.errno, error.strerror, path) from None
            raise MmnetError("%s cannot be encoded (%s)" % (path, error.strerror)) from None


class _File:
    """A clip that is being written."""

    def __init__(self, path, temporary, clip):
        self._extension = os.path.splitext(path)[1].lower()
        self._temporary, self._clip = temporary, clip
        self._container = self._stream = self._sound = None

    def write(self, frame):
        av = _pyav()
        if self._container is None:
            self._begin(frame.image)
        height, width = self._stream.height, self._stream.width
        image, form = frame.image, self._form
        if image.shape[:2] != (height, width):
            below, right = height - image.shape[0], width - image.shape[1]
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        video_frame = av.VideoFrame.from_ndarray(image, "rgba" if image.shape[2] == 4 else "rgb24")
        video_frame = video_frame.reformat(
            format=form.pixels, dst_colorspace=BT709, dst_color_range=LIMITED
        )
        video_frame.pts, video_frame.time_base = frame.pts, self._clip.time_base
        self._mux(self._stream.encode(video_frame))

    def finish(self):
        if self._container is None:
            raise MmnetError("no frame was written")
        self._mux(self._stream.encode())
        if self._sound:
            self._sound.up_to(None)
        self._container.close()

    def close(self):
        if self._sound:
            self._sound.close()
        if self._container is not None:
            self._container.close()

    def _begin(self, image):
        form = (TRANSPARENT if image.shape[2] == 4 else OPAQUE)[self._extension]
        height, width = image.shape[:2]
        if form.codec == "libx264":  # halves of the colour's pixels do not exist
            height, width = height + height % 2, width + width % 2
        self._form = form
        self._container = _pyav().open(self._temporary, "w", format=form.container)
        self._stream = stream = self._container.add_stream(form.codec, rate=self._clip.rate)
        stream.width, stream.height, stream.pix_fmt = width, height, form.pixels
        stream.options = form.options
        context = stream.codec_context
        context.time_base = self._clip.time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        context.thread_count = os.cpu_count() or 1
        self._sound = _Sound(self._clip.path, self._container, form)

    def _mux(self, packets):
        for packet in packets:
            if self._sound and packet.dts is not None:
                self._sound.up_to(packet.dts * packet.time_base)
            self._container.mux(packet)


class _Sound:
    """The sound of one file on its way into another, a little ahead of the picture."""

    def __init__(self, path, target, form):
        self._source = _pyav().open(path)
        self._target, self._stream = target, None
        streams = self._source.streams.audio
        self._packets = iter(())
        if not streams:
            return
        name = streams[0].codec_context.name
        self._is_copied = name in form.sound
        if self._is_copied:
            self._stream = target.add_stream_from_template(streams[0])
        else:
            self._stream = target.add_stream(form.sound[0], rate=48000)
        self._packets = self._source.demux(streams[0])
        self._waiting = None

    def up_to(self, seconds):
        """Write all of it up to a time; None: the rest."""
        while self._stream is not None:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                if not self._is_copied:
                    self._target.mux(self._stream.encode())
                self._stream = None
                return
            if packet.dts is None:  # of the end
                continue
            if seconds is not None and packet.dts * packet.time_base > seconds:
                self._waiting = packet
                return
            self._write(packet)

    def close(self):
        self._source.close()

    def _write(self, packet):
        if self._is_copied:
            packet.stream = self._stream
            self._target.mux(packet)
            return
        try:
            frames = packet.decode()
        except _pyav().FFmpegError:
            return
        for frame in frames:
            self._target.mux(self._stream.encode(frame))


def _upright(frame):
    """RGB uint8 [H,W,3] of a decoded frame, turned as its display matrix says."""
    space = frame.colorspace
    if space not in (BT601, BT709):  # it does not say
        space = BT709 if frame.height >= HD else BT601
    image = frame.to_ndarray(format="rgb24", src_colorspace=space)
    turns = int(round(frame.rotation / 90.0)) % 4
    return np.ascontiguousarray(np.rot90(image, turns))


def _clock(clip, pts):
    return "%.1f s" % ((pts - (clip.stream.start_time or 0)) * clip.time_base)


def _pyav():
    try:
        import av
    except ImportError:
        raise MmnetError(
            "clips need PyAV (pip install 'mmnet[video]', Python 3.10 or newer)"
        ) from None
    av.logging.set_libav_level(av.logging.PANIC)  # what is broken is said here, once
    return av
