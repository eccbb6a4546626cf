"""Read the end of a track from a MP4 or MOV file, with its edits. No TensorFlow."""

import io
import re
from fractions import Fraction
from typing import Optional

from mmnet.io.files import open_regular

MAX_MOVIE_BOX = 1 << 26  # bytes that are searched


def read_track_end(path: str, track: int) -> Optional[Fraction]:
    """Return the end of a track in seconds, or None if it is unknown (ISO/IEC 14496-12, 8.3.2)."""
    with open_regular(path) as file:
        header = file.read(16)
        while header[4:8] not in (b"", b"moov"):
            length = int.from_bytes(header[:4], "big")
            length = int.from_bytes(header[8:], "big") if length == 1 else length
            if length < 8:
                return None
            file.seek(length - len(header), io.SEEK_CUR)
            header = file.read(16)
        data = header + file.read(min(MAX_MOVIE_BOX, int.from_bytes(header[:4], "big")))
    rate = None  # units per second
    for box in re.finditer(b"mvhd|tkhd", data):
        position = box.end()
        width = 8 if data[position : position + 1] == b"\1" else 4  # bytes of a time
        values = data[position + 4 + 2 * width : position + 12 + 3 * width]
        number = int.from_bytes(values[:4], "big")
        duration = int.from_bytes(values[8:], "big")
        if box[0] == b"mvhd":
            rate = number
        elif number == track and rate:
            return Fraction(duration, rate) if 0 < duration < (1 << 8 * width) - 1 else None
    return None
