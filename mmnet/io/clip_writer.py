"""Write clips with PyAV (the extra ``video``). No TensorFlow.

Frames keep the time stamps of the source clip, also at a variable frame rate. Audio is copied, or
encoded again if the new file format does not support its codec.
"""

import contextlib
import itertools
import os
from typing import Callable, Dict, Iterator, NamedTuple, Tuple

import cv2

from mmnet.io.clips import BT709, Clip, Frame, import_av
from mmnet.io.errors import MmnetError
from mmnet.io.files import atomic_write, write_bytes
from mmnet.io.images import encode_png

FRAME_EXTENSION = ".png"  # ends a pattern such as frames/%05d.png: one file per frame
AUDIO_RATE = 48000  # samples per second of encoded audio
LIMITED_RANGE = 1  # FFmpeg's number of the range 16..235


class Encoding(NamedTuple):
    """How a clip file is encoded."""

    container: str
    codec: str
    pixel_format: str
    options: Dict[str, str]
    audio_codecs: Tuple[str, ...]  # are copied; other audio is encoded with the first one


H264 = ("libx264", "yuv420p", {"crf": "18", "preset": "veryfast"})
VP9 = {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "7", "row-mt": "1"}
VP9["lag-in-frames"] = "0"  # the encoder would hold whole frames in memory
MP4_AUDIO = ("aac", "mp3", "alac", "ac3", "eac3")
WEBM_AUDIO = ("libopus", "opus", "vorbis")
OPAQUE_ENCODINGS = {  # by file extension
    ".mp4": Encoding("mp4", *H264, audio_codecs=MP4_AUDIO),
    ".mov": Encoding("mov", *H264, audio_codecs=MP4_AUDIO),
    ".webm": Encoding("webm", "libvpx-vp9", "yuv420p", VP9, WEBM_AUDIO),
}
ALPHA_ENCODINGS = {
    ".mov": Encoding("mov", "prores_ks", "yuva444p10le", {"profile": "4444"}, MP4_AUDIO),
    ".webm": Encoding(
        "webm", "libvpx-vp9", "yuva420p", dict(VP9, **{"auto-alt-ref": "0"}), WEBM_AUDIO
    ),
}


def check_encoding(path: str, has_alpha: bool) -> None:
    """Raise MmnetError if no clip, or none with an alpha channel, can be written to this path."""
    extension = os.path.splitext(path)[1].lower()
    encodings = ALPHA_ENCODINGS if has_alpha else OPAQUE_ENCODINGS
    if extension == FRAME_EXTENSION:
        with contextlib.suppress(TypeError, ValueError):
            if path % 1 != path % 2:
                return
        raise MmnetError(f"{path}: use a pattern for the frames, such as frames/%05d.png")
    if extension in OPAQUE_ENCODINGS and extension not in encodings:
        remedy = "use .webm or .mov, or set a background"
        raise MmnetError(f"{path}: {extension} has no alpha channel; {remedy}")
    if extension not in encodings:
        names = ", ".join(sorted(encodings))
        raise MmnetError(f"{path}: clips are written as {names} or frames/%05d.png")


@contextlib.contextmanager
def create_clip(path: str, source: Clip) -> Iterator[Callable[[Frame], None]]:
    """Write a clip with the time stamps and the audio of the clip ``source``.

    The file appears at the end of the block. A pattern of PNG files is written frame by frame.

    Yields:
        A function that writes the next Frame. All frames have one shape.

    Raises:
        OSError: for example, no space on the disk.
        MmnetError: no frame was written, or the clip cannot be encoded.
    """
    if path.lower().endswith(FRAME_EXTENSION):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        numbers = itertools.count(1)
        yield lambda frame: write_bytes(path % next(numbers), encode_png(frame.image))
        return
    with atomic_write(path) as temporary:
        extension = os.path.splitext(path)[1].lower()
        try:
            with contextlib.closing(_ClipWriter(temporary, extension, source)) as writer:
                yield writer.write
                writer.finish()
        except import_av().FFmpegError as error:
            if isinstance(error, OSError):  # PyAV's own error cannot be given a path
                raise OSError(error.errno, error.strerror, path) from None
            raise MmnetError(f"{path}: cannot be encoded ({error.strerror})") from None


class _ClipWriter:
    """Encodes frames and audio into one file. The first frame decides between the encodings."""

    def __init__(self, path, extension, source):
        self._path, self._extension, self._source = path, extension, source
        self._container = self._stream = self._audio = None

    def write(self, frame):
        if self._container is None:
            self._open(frame.image)
        stream, image = self._stream, frame.image
        bottom, right = stream.height - image.shape[0], stream.width - image.shape[1]
        if bottom or right:
            image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        pixel_format = "rgba" if image.shape[2] == 4 else "rgb24"
        video_frame = import_av().VideoFrame.from_ndarray(image, pixel_format)
        video_frame = video_frame.reformat(
            format=stream.pix_fmt, dst_colorspace=BT709, dst_color_range=LIMITED_RANGE
        )
        video_frame.pts, video_frame.time_base = frame.pts, self._source.time_base
        self._mux(stream.encode(video_frame))

    def finish(self):
        if self._container is None:
            raise MmnetError("no frame was written")
        self._mux(self._stream.encode())
        if self._audio:
            self._audio.copy_until(None)
        self._container.close()

    def close(self):
        if self._audio:
            self._audio.close()
        if self._container is not None:
            self._container.close()

    def _open(self, image):
        height, width, channels = image.shape
        encodings = ALPHA_ENCODINGS if channels == 4 else OPAQUE_ENCODINGS
        encoding = encodings[self._extension]
        if encoding.codec == "libx264":  # its colour planes have half the size
            height, width = height + height % 2, width + width % 2
        self._container = import_av().open(self._path, "w", format=encoding.container)
        stream = self._container.add_stream(encoding.codec, rate=self._source.frame_rate)
        stream.height, stream.width = height, width
        stream.pix_fmt, stream.options = encoding.pixel_format, encoding.options
        context = stream.codec_context
        context.time_base = self._source.time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        context.thread_count = os.cpu_count() or 1
        self._stream = stream
        if self._source.container.streams.audio:
            self._audio = _AudioCopy(self._source.path, self._container, encoding.audio_codecs)

    def _mux(self, packets):
        for packet in packets:
            if self._audio and packet.dts is not None:
                self._audio.copy_until(packet.dts * packet.time_base)
            self._container.mux(packet)


class _AudioCopy:
    """Copies the first audio track of a file into another, interleaved with the video."""

    def __init__(self, path, target, audio_codecs):
        self._source = import_av().open(path)
        self._target = target
        track = self._source.streams.audio[0]
        self._encodes = track.codec_context.name not in audio_codecs
        if self._encodes:
            self._stream = target.add_stream(audio_codecs[0], rate=AUDIO_RATE)
        else:
            self._stream = target.add_stream_from_template(track)
        packets = self._source.demux(track)
        self._packets = (packet for packet in packets if packet.dts is not None)  # None: the end
        self._waiting = next(self._packets, None)
        self._is_finished = False

    def copy_until(self, seconds):
        """Copy the audio up to a time; None copies the rest."""
        while self._waiting is not None:
            if seconds is not None and self._waiting.dts * self._waiting.time_base > seconds:
                return
            self._copy(self._waiting)
            self._waiting = next(self._packets, None)
        if self._encodes and not self._is_finished:
            self._target.mux(self._stream.encode())
        self._is_finished = True

    def close(self):
        self._source.close()

    def _copy(self, packet):
        if not self._encodes:
            packet.stream = self._stream
            self._target.mux(packet)
            return
        try:
            frames = packet.decode()
        except import_av().FFmpegError:  # a broken packet is skipped
            return
        for frame in frames:
            try:
                packets = self._stream.encode(frame)
            except ValueError as error:  # for example, mono audio continues in stereo
                name = self._source.name
                raise MmnetError(f"{name}: audio cannot be encoded ({error})") from None
            self._target.mux(packets)
