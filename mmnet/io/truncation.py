"""Detect truncated clips by the structure of their files. No TensorFlow."""

import io
import os
from typing import Any, BinaryIO, Optional

from mmnet.io.files import open_regular

SEGMENT, CLUSTER = 0x18538067, 0x1F43B675  # Matroska elements whose contents are searched
MAX_HEADER = 12  # bytes of the identifier and the size of a Matroska element


def is_truncated(path: str) -> bool:
    """Return whether a MP4, MOV, AVI, Matroska or WebM file ends inside one of its parts.

    The result for other formats, and for a file without sizes, is False.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(4)
        if start == b"\x1a\x45\xdf\xa3":
            return _is_truncated_matroska(file, size)
        if start == b"RIFF":
            return _is_truncated_riff(file, size)
        return find_incomplete_box(file, size) is not None


def find_incomplete_box(file: Any, size: int) -> Optional[int]:
    """Return the position of an incomplete media box at the end of a MP4 file, or None.

    The boxes of ISO/IEC 14496-12 are checked. Bytes after the last box are ignored.
    """
    position, start, kind = 0, 0, b""
    has_fragments = False
    while position < size:
        if has_fragments and size - position < 8:
            return position
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:  # the size follows in 64 bits
            length = int.from_bytes(header[8:], "big")
        if length < 8 or not header[4:8].isalnum():  # the box continues to the end, or no box
            return None
        start, position, kind = position, position + length, header[4:8]
        has_fragments = has_fragments or kind == b"moof"
    is_incomplete = kind == b"moof" or (position > size and kind in (b"mdat", b"moov"))
    return start if is_incomplete else None


class FileHead:
    """The first ``size`` bytes of an open file."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._size = file, size
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """Read bytes. The result is shorter at the end."""
        return self._file.read(max(0, min(size, self._size - self.tell())))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position. The end is that of the first bytes."""
        if whence == io.SEEK_END:
            return self._file.seek(self._size + offset)
        return self._file.seek(offset, whence)


def _is_truncated_riff(file: Any, size: int) -> bool:
    """Check the RIFF chunks of an AVI file. Bytes after the last chunk are ignored."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(8)
        length = int.from_bytes(header[4:], "little")
        if header[:4] != b"RIFF" or length == 0:  # no chunk, or a recording that was not finished
            return False
        position += 8 + length
    return position > size


def _is_truncated_matroska(file: Any, size: int) -> bool:
    """Check the elements (EBML, RFC 8794) of a Matroska or WebM file down to the blocks."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(MAX_HEADER).ljust(MAX_HEADER, b"\0")
        id_length = 9 - header[0].bit_length()
        size_length = 9 - header[id_length].bit_length() if id_length <= 4 else 9
        if size_length > 8:  # no element
            return True
        position += id_length + size_length
        number = int.from_bytes(header[:id_length], "big")
        unknown = (1 << 7 * size_length) - 1
        length = int.from_bytes(header[id_length : id_length + size_length], "big") & unknown
        if number == SEGMENT and length != unknown:
            if position + length > size:
                return True
            size = position + length  # bytes after the segment are ignored
        if number not in (SEGMENT, CLUSTER):
            if length == unknown:
                return False
            position += length
    return position > size
