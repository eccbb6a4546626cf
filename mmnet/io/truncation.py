"""Detect truncated clips by the structure of their files. No TensorFlow."""

import os
from typing import Any

SEGMENT, CLUSTER = 0x18538067, 0x1F43B675  # Matroska elements whose contents are searched
MAX_HEADER = 12  # bytes of the identifier and the size of a Matroska element


def is_truncated(path: str) -> bool:
    """Return whether a MP4, MOV, AVI, Matroska or WebM file ends inside one of its parts.

    The result for other formats, and for a file without sizes, is False.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(12)
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _is_truncated_matroska(file, size)
        if start[:4] == b"RIFF":
            return _is_truncated_riff(file, size)
        if start[4:8] in (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip"):
            return _is_truncated_mp4(file, size)
    return False


def _is_truncated_mp4(file: Any, size: int) -> bool:
    """Check the boxes of ISO/IEC 14496-12. Bytes after the last box are ignored."""
    position, kind = 0, b""
    while position < size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:  # the size follows in 64 bits
            length = int.from_bytes(header[8:], "big")
        if length < 8 or not header[4:8].isalnum():  # the box continues to the end, or no box
            return False
        position, kind = position + length, header[4:8]
    return kind == b"moof" or (position > size and kind in (b"mdat", b"moov"))


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
