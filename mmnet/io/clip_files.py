"""Open the files of clips with PyAV (the extra ``video``). No TensorFlow.

FFmpeg interprets names as addresses (``tcp:...``), and some formats are lists of other files. So it
gets open files instead of names, only formats that contain the video themselves, and no protocol.
"""

import contextlib
import os
from typing import Any, Dict, Iterator

from mmnet.io.errors import MmnetError
from mmnet.io.files import open_regular
from mmnet.io.memory import limit_growth
from mmnet.io.optional import install_command
from mmnet.io.truncation import FileHead, find_incomplete_box

# FFmpeg's names of the formats with CLIP_EXTENSIONS, and of subtitles in AVI files.
FORMATS = (
    *("mov", "matroska", "avi", "asf", "wtv", "mpeg", "mpegvideo", "mpegts", "mxf", "gxf", "dv"),
    *("flv", "live_flv", "kux", "ogg", "rm", "nut", "nuv", "nsv", "yuv4mpegpipe", "ivf", "obu"),
    *("av1", "h261", "h263", "h264", "hevc", "vvc", "evc", "m4v", "vc1", "vc1test", "dirac"),
    *("mjpeg", "mpjpeg", "jpeg_pipe", "roq", "bink", "smk", "flic", "vivo", "swf", "pva", "ty"),
    *("usm", "xmv", "thp", "dhav", "mlv", "cine", "gif", "srt", "ass"),
)
MAX_STREAMS = 100
READER_OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": "none",
    "max_streams": str(MAX_STREAMS),
}
MAX_INDEX = 960 << 20  # bytes for the index of a file, and for the frames that FFmpeg examines


def import_av() -> Any:
    """Import PyAV. Raise MmnetError if it is not installed."""
    try:
        import av
    except ImportError:
        raise MmnetError(f"clips need PyAV: {install_command('video')}") from None
    av.logging.set_libav_level(av.logging.PANIC)  # broken parts are reported by our warnings
    return av


@contextlib.contextmanager
def open_container(path: str) -> Iterator[Any]:
    """Open a clip for reading.

    Raises:
        FileNotFoundError: no such file.
        MmnetError: PyAV is not installed, or this is no regular file or no clip.
    """
    av = import_av()
    with open_regular(path) as file:
        try:
            container = _open(file, path)
        except (av.FFmpegError, OSError) as error:
            container = _open_head(file, path)
            if container is None:
                message = f"{path}: not a readable clip ({error.strerror})"
                raise MmnetError(message) from None
        with contextlib.closing(container):
            yield container


def _open(file, path):
    with limit_growth(MAX_INDEX):
        return import_av().open(_Nameless(file, path), container_options=READER_OPTIONS)


def _open_head(file, path):
    """Open a fragmented MP4 file that ends in the header of a fragment. FFmpeg refuses it."""
    size = find_incomplete_box(file, os.fstat(file.fileno()).st_size)
    with contextlib.suppress(import_av().FFmpegError):
        if size:
            return _open(FileHead(file, size), path)
    return None


@contextlib.contextmanager
def create_container(path: str, extension: str, options: Dict[str, str]) -> Iterator[Any]:
    """Write a clip to an existing file. OSError: for example, no space on the disk."""
    av = import_av()
    with open(path, "r+b") as file:
        output = _Nameless(file, path)
        try:
            with av.open(output, "w", format=extension[1:], options=options) as container:
                yield container
        except av.FFmpegError:
            if output.error is None:
                raise
            raise OSError(output.error.errno, output.error.strerror, path) from None


class _Nameless:
    """The methods of an open file, without its name. FFmpeg reads the extension."""

    def __init__(self, file, path):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        self.name = "clip" + os.path.splitext(path)[1]
        self.error = None  # the last error of ``write``, which FFmpeg does not pass on
        self._file = file

    def write(self, data):
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise
