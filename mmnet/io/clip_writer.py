"""Write clips with PyAV (the extra ``video``). No TensorFlow.

Frames keep the time stamps of the source clip, also at a variable frame rate, their duration and
their pixel aspect ratio. clip_tracks.py copies the audio, and clip_metadata.py the metadata.
"""

import contextlib
import itertools
import os
import re
from typing import Callable, Iterator

import cv2

from mmnet.io.clip_files import create_container, import_av
from mmnet.io.clip_metadata import container_options, copy_metadata, find_losses, read_tags
from mmnet.io.clip_tracks import TrackWriter
from mmnet.io.clips import Clip, Frame
from mmnet.io.errors import MmnetError
from mmnet.io.files import atomic_write, write_bytes
from mmnet.io.frame_colour import BT709, alpha_plane
from mmnet.io.images import encode_png
from mmnet.io.png import add_alpha
from mmnet.io.resize import to_square_pixels
from mmnet.io.webm_header import STEREO_TAG, set_pixel_aspect

LIMITED_RANGE = 1  # FFmpeg's number of the range 16..235

# docs/benchmarks.md, "Clips", compares speed, size and similarity.
H264_OPTIONS = {"crf": "18", "preset": "superfast", "x264-params": "mbtree=1:rc-lookahead=10"}
VP9_OPTIONS = {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1"}
VP9_OPTIONS["lag-in-frames"] = "0"  # the encoder would hold whole frames in memory
VP9_ALPHA_OPTIONS = dict(VP9_OPTIONS, **{"auto-alt-ref": "0"})
ENCODINGS = {  # (file extension, channels) -> codec, pixel format, options
    (".mp4", 3): ("libx264", "yuv420p", H264_OPTIONS),
    (".mov", 3): ("libx264", "yuv420p", H264_OPTIONS),
    (".mov", 4): ("prores_ks", "yuva444p10le", {"profile": "4444"}),
    (".webm", 3): ("libvpx-vp9", "yuv420p", VP9_OPTIONS),
    (".webm", 4): ("libvpx-vp9", "yuva420p", VP9_ALPHA_OPTIONS),
}
CLIP_FORMATS = (".mov", ".mp4", ".webm")
FRAME_NAME = re.compile("[^%]*%(0?[1-9])?d[^%]*")  # pattern with up to 9 digits


def check_encoding(path: str, has_alpha: bool) -> None:
    """Raise MmnetError if no clip, or none with an alpha channel, can be written to this path."""
    extension = os.path.splitext(path)[1].lower()
    if extension == ".png":
        if FRAME_NAME.fullmatch(os.path.basename(path)):
            return
        raise MmnetError(f"{path}: use a pattern for the frames, such as frames/%05d.png")
    if extension not in CLIP_FORMATS:
        raise MmnetError(
            f"{path}: clips are written as {', '.join(CLIP_FORMATS)} or frames/%05d.png"
        )
    if has_alpha and (extension, 4) not in ENCODINGS:
        remedy = "use .webm or .mov, or set a background"
        raise MmnetError(f"{path}: {extension} has no alpha channel; {remedy}")


@contextlib.contextmanager
def create_clip(
    path: str, source: Clip, *, keep_gps: bool = False
) -> Iterator[Callable[[Frame], None]]:
    """Write a clip with the time stamps, the audio and the metadata of the clip ``source``.

    The file appears at the end of the block. A pattern of PNG files is written frame by frame, with
    square pixels. ``source.warnings`` reports unreadable audio, ``source.notes`` other losses.

    Args:
        path: .mp4, .mov, .webm, or a pattern such as frames/%05d.png.
        source: is open for reading.
        keep_gps: keep the position among the tags.

    Yields:
        A function that writes the next Frame. All frames have one shape.

    Raises:
        OSError: for example, no space on the disk.
        MmnetError: no frame was written, or the clip cannot be encoded.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    extension = os.path.splitext(path)[1].lower()
    tags = read_tags(source.container, keep_gps=keep_gps)
    if extension == ".png":
        folder, pattern = os.path.split(path)
        numbers = itertools.count(1)
        yield lambda frame: write_bytes(
            os.path.join(folder, pattern % next(numbers)),
            encode_png(to_square_pixels(_merge_channels(frame), source.pixel_aspect)),
        )
        _add_note(source, path, find_losses(source, tags))
        return
    with atomic_write(path) as temporary:
        try:
            with contextlib.ExitStack() as stack:
                writer = _ClipWriter(temporary, extension, source, tags, stack)
                yield writer.write
                writer.finish()
            if extension == ".webm" and source.pixel_aspect != 1:
                set_pixel_aspect(temporary, writer.size, source.pixel_aspect)
            _add_note(source, path, find_losses(source, tags, temporary))
        except (OSError, import_av().FFmpegError) as error:
            if not isinstance(error, OSError):
                raise MmnetError(f"{path}: cannot be encoded ({error.strerror})") from None
            if isinstance(error, import_av().FFmpegError) or error.filename == temporary:
                raise OSError(error.errno, error.strerror, path) from None
            raise


def _add_note(source, path, losses):
    if losses:
        source.notes.append(f"{path}: does not contain: {', '.join(losses)}")


class _ClipWriter:
    """Encodes frames and audio into one file. The first frame decides between the encodings."""

    def __init__(self, path, extension, source, tags, stack):
        self._path, self._extension, self._source, self._tags = path, extension, source, tags
        self._stack = stack  # closes the file and the source of the audio
        self._container = self._tracks = None
        self.size = (0, 0)  # width and height of the encoded frames
        self._durations = {}  # time stamp -> duration, for the frames in the encoder

    def write(self, frame):
        """Encode one frame."""
        if frame.image.ndim == 2:
            frame = frame._replace(image=cv2.cvtColor(frame.image, cv2.COLOR_GRAY2RGB))
        if self._container is None:
            self._open(frame)
        video_frame = _convert_frame(_pad(frame, self.size), self._stream.pix_fmt)
        video_frame.pts, video_frame.time_base = frame.pts, self._source.time_base
        self._durations[frame.pts] = self._last_duration = frame.duration
        self._mux(self._stream.encode(video_frame))

    def finish(self):
        """Flush the encoders and write the rest of the audio."""
        if self._container is None:
            raise MmnetError("no frame was written")
        packets = self._stream.encode()
        if packets:  # with B-frames, the last packet is not the last frame
            self._durations[packets[-1].pts] = self._last_duration
        self._mux(packets)
        self._tracks.write(until=float("inf"))

    def _open(self, frame):
        height, width = frame.image.shape[:2]
        channels = 3 if frame.opacity is None else 4
        source, extension = self._source, self._extension
        codec, pixel_format, encoder_options = ENCODINGS[extension, channels]
        if codec == "libx264":  # its colour planes have half the size
            height, width = height + height % 2, width + width % 2
        options = container_options(self._tags, extension)
        container = create_container(self._path, extension, options)
        self._container = container = self._stack.enter_context(container)
        container.metadata.update(self._tags)
        self._stream = stream = container.add_stream(codec, rate=source.frame_rate)
        self.size = stream.width, stream.height = width, height
        stream.pix_fmt, stream.options = pixel_format, encoder_options
        context = stream.codec_context
        context.time_base = source.time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        context.thread_count = max(1, (os.cpu_count() or 1) // 2)  # other steps run meanwhile
        copy_metadata(source, container, stream, extension)
        if source.pixel_aspect != 1:
            context.sample_aspect_ratio = source.pixel_aspect
            stream.metadata.update(STEREO_TAG if extension == ".webm" else {})
        self._tracks = TrackWriter(source, container, extension)
        self._stack.callback(self._tracks.close)

    def _mux(self, packets):
        for packet in packets:
            if packet.dts is not None:
                self._tracks.write(until=packet.dts * packet.time_base)
            packet.duration = self._durations.pop(packet.pts, 0) or packet.duration
            self._container.mux(packet)


def _merge_channels(frame):
    """Return the image and the alpha channel of a frame as one array."""
    return frame.image if frame.opacity is None else add_alpha(frame.image, frame.opacity)


def _pad(frame, size):
    """Repeat the last row and column of a frame until it has this size, (width, height)."""
    height, width = frame.image.shape[:2]
    if (width, height) == size:
        return frame
    padding = (0, size[1] - height, 0, size[0] - width, cv2.BORDER_REPLICATE)
    opacity = frame.opacity
    return frame._replace(
        image=cv2.copyMakeBorder(frame.image, *padding),
        opacity=None if opacity is None else cv2.copyMakeBorder(opacity, *padding),
    )


def _convert_frame(frame, pixel_format):
    """Return a PyAV frame in the pixel format of an encoder."""
    has_alpha_plane = pixel_format == "yuva420p"
    image, image_format = frame.image, "rgb24"
    if frame.opacity is not None and not has_alpha_plane:
        image, image_format = _merge_channels(frame), "rgba"
    video_frame = import_av().VideoFrame.from_ndarray(image, image_format)
    video_frame = video_frame.reformat(
        format=pixel_format, dst_colorspace=BT709, dst_color_range=LIMITED_RANGE
    )
    if has_alpha_plane:
        alpha_plane(video_frame)[:] = frame.opacity
    return video_frame
