"""Write clips with PyAV (the extra ``video``). No TensorFlow.

Frames keep the time stamps of the source clip, also at a variable frame rate. Audio is copied, or
encoded again if the new file format does not support its codec.
"""

import contextlib
import itertools
import os
from typing import Callable, Iterator

import cv2

from mmnet.io.clips import BT709, Clip, Frame, import_av
from mmnet.io.errors import MmnetError
from mmnet.io.files import atomic_write, write_bytes
from mmnet.io.images import encode_png

AUDIO_RATE = 48000  # samples per second of encoded audio
LIMITED_RANGE = 1  # FFmpeg's number of the range 16..235

H264_OPTIONS = {"crf": "18", "preset": "veryfast"}
VP9_OPTIONS = {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "7", "row-mt": "1"}
VP9_OPTIONS["lag-in-frames"] = "0"  # the encoder would hold whole frames in memory
VP9_ALPHA_OPTIONS = dict(VP9_OPTIONS, **{"auto-alt-ref": "0"})
ENCODINGS = {  # (file extension, channels) -> codec, pixel format, options
    (".mp4", 3): ("libx264", "yuv420p", H264_OPTIONS),
    (".mov", 3): ("libx264", "yuv420p", H264_OPTIONS),
    (".mov", 4): ("prores_ks", "yuva444p10le", {"profile": "4444"}),
    (".webm", 3): ("libvpx-vp9", "yuv420p", VP9_OPTIONS),
    (".webm", 4): ("libvpx-vp9", "yuva420p", VP9_ALPHA_OPTIONS),
}
MP4_AUDIO = ("aac", "mp3", "alac", "ac3", "eac3")
AUDIO_CODECS = {  # file extension -> codecs that are copied; other audio becomes the first one
    ".mp4": MP4_AUDIO,
    ".mov": MP4_AUDIO,
    ".webm": ("libopus", "opus", "vorbis"),
}


def check_encoding(path: str, has_alpha: bool) -> None:
    """Raise MmnetError if no clip, or none with an alpha channel, can be written to this path."""
    extension = os.path.splitext(path)[1].lower()
    if extension == ".png":
        with contextlib.suppress(TypeError, ValueError):
            if path % 1 != path % 2:
                return
        raise MmnetError(f"{path}: use a pattern for the frames, such as frames/%05d.png")
    if extension not in AUDIO_CODECS:
        names = ", ".join(sorted(AUDIO_CODECS))
        raise MmnetError(f"{path}: clips are written as {names} or frames/%05d.png")
    if has_alpha and (extension, 4) not in ENCODINGS:
        remedy = "use .webm or .mov, or set a background"
        raise MmnetError(f"{path}: {extension} has no alpha channel; {remedy}")


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
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    extension = os.path.splitext(path)[1].lower()
    if extension == ".png":
        numbers = itertools.count(1)
        yield lambda frame: write_bytes(path % next(numbers), encode_png(frame.image))
        return
    with atomic_write(path) as temporary:
        try:
            with contextlib.ExitStack() as stack:
                writer = _ClipWriter(temporary, extension, source, stack)
                yield writer.write
                writer.finish()
        except import_av().FFmpegError as error:
            if isinstance(error, OSError):  # PyAV's own error cannot be given a path
                raise OSError(error.errno, error.strerror, path) from None
            raise MmnetError(f"{path}: cannot be encoded ({error.strerror})") from None


class _ClipWriter:
    """Encodes frames and audio into one file. The first frame decides between the encodings."""

    def __init__(self, path, extension, source, stack):
        self._path, self._extension, self._source = path, extension, source
        self._stack = stack  # closes the file and the source of the audio
        self._container = self._audio = self._next_audio = None

    def write(self, frame):
        """Encode one frame."""
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
        """Flush the encoders and write the rest of the audio."""
        if self._container is None:
            raise MmnetError("no frame was written")
        self._mux(self._stream.encode())
        self._mux_audio(until=float("inf"))

    def _open(self, image):
        height, width, channels = image.shape
        codec, pixel_format, options = ENCODINGS[self._extension, channels]
        if codec == "libx264":  # its colour planes have half the size
            height, width = height + height % 2, width + width % 2
        container = import_av().open(self._path, "w", format=self._extension[1:])
        self._container = self._stack.enter_context(container)
        self._stream = stream = container.add_stream(codec, rate=self._source.frame_rate)
        stream.height, stream.width = height, width
        stream.pix_fmt, stream.options = pixel_format, options
        context = stream.codec_context
        context.time_base = self._source.time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        context.thread_count = os.cpu_count() or 1
        if self._source.container.streams.audio:
            source = self._stack.enter_context(import_av().open(self._source.path))
            self._audio = _audio_packets(source, container, AUDIO_CODECS[self._extension])
            self._next_audio = next(self._audio)  # adds the stream before the header is written

    def _mux(self, packets):
        for packet in packets:
            if packet.dts is not None:
                self._mux_audio(until=packet.dts * packet.time_base)
            self._container.mux(packet)

    def _mux_audio(self, until):
        while self._next_audio is not None and self._next_audio[0] <= until:
            self._container.mux(self._next_audio[1])
            self._next_audio = next(self._audio, None)


def _audio_packets(source, target, codecs):
    """Add the first audio track of a file to another one. Yield (seconds, packets to write)."""
    track = source.streams.audio[0]
    is_copied = track.codec_context.name in codecs
    if is_copied:
        stream = target.add_stream_from_template(track)
    else:
        stream = target.add_stream(codecs[0], rate=AUDIO_RATE)
    seconds = 0
    for packet in source.demux(track):
        if packet.dts is None:  # the end
            continue
        seconds = packet.dts * packet.time_base
        if is_copied:
            packet.stream = stream
            yield seconds, packet
            continue
        try:
            frames = packet.decode()
        except import_av().FFmpegError:  # a broken packet is skipped
            continue
        for frame in frames:
            try:
                encoded = stream.encode(frame)
            except ValueError as error:  # for example, mono audio continues in stereo
                name = source.name
                raise MmnetError(f"{name}: audio cannot be encoded ({error})") from None
            yield seconds, encoded
    yield seconds, [] if is_copied else stream.encode()
