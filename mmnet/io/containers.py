"""Find the end of an image inside a JPEG, PNG or WebP file, and detect truncated files.

Image decoders fill the missing part of a truncated file with grey and report nothing. Bytes after
the image are allowed: phones append a video to their photos, and editors append their own data.
"""

import io
import logging
import re
import struct
import zlib
from typing import Dict, Tuple

import numpy as np
from PIL import Image

from mmnet.io.errors import MmnetError

log = logging.getLogger(__name__)

JPEG, PNG, WEBP = "JPEG", "PNG", "WebP"

# A marker inside compressed data, where FF 00 is a value and FF D0 to FF D7 are restarts.
NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
MARKERS_WITHOUT_LENGTH = (0x01, 0xD8)
EOI, SCAN = b"\xff\xd9", b"\xff\xda"
# They decode to different pixels if they replace missing data.
FILLERS = (b"", b"\x5a\xc3\x17\x8e" * 64, b"\xa6\x3d\xe9\x72" * 64)


def detect_format(data: bytes) -> str:
    """Return JPEG, PNG, WEBP or an empty text for the format of a file."""
    if data[:3] == b"\xff\xd8\xff":
        return JPEG
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return PNG
    return WEBP if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def check_complete(data: bytes, source: str) -> bytes:
    """Return a JPEG, PNG or WebP; a JPEG without trailer, and with its end marker.

    A missing end marker is a warning.

    Raises:
        MmnetError: the file ends too early.
    """
    file_format = detect_format(data)
    if file_format == PNG:
        read_png_chunks(data, source)
        return data
    if file_format == WEBP:
        is_complete = len(data) >= 8 + int.from_bytes(data[4:8], "little")
    else:
        length, has_marker = find_jpeg_end(data)
        is_complete, data = length > 0, data[:length]
        if is_complete and not has_marker:
            log.warning("%s: the end marker of the JPEG is missing", source)
            data += EOI
    if not is_complete:
        raise MmnetError(f"{source}: truncated image file")
    return data


def find_jpeg_end(data: bytes) -> Tuple[int, bool]:
    """Return the length of a JPEG, 0 if it is truncated, and whether it has an end marker.

    A JPEG without this marker is complete if every coefficient has its last scan, and if bits after
    the data do not change the pixels.
    """
    position, missing = 2, {}  # component -> coefficients without their last scan
    match = NEXT_MARKER.search(data, position)
    while match is not None:
        marker, position = match[1][0], match.end()
        if marker == END_OF_IMAGE:
            return position, True
        if marker not in MARKERS_WITHOUT_LENGTH:
            length = int.from_bytes(data[position : position + 2], "big")
            segment = data[position + 2 : position + length]
            position += max(2, length)
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(segment) > 5:
                missing = {component: set(range(64)) for component in segment[6::3]}
            if marker == START_OF_SCAN:  # faster than NEXT_MARKER in the last scan
                end = data.find(EOI, position)
                if end >= 0 and data.find(SCAN, position, end) < 0:
                    return end + len(EOI), True
            if marker == START_OF_SCAN and len(segment) > 3 and segment[-1] & 15 == 0:
                for component in segment[1:-3:2]:
                    missing.get(component, set()).difference_update(
                        range(segment[-3], segment[-2] + 1)
                    )
        match = NEXT_MARKER.search(data, position)
    end = len(data.rstrip(b"\0"))  # a download that stopped is often padded with zeros
    if data[end - 1 : end] == b"\xff":
        end += 1 if end < len(data) else -1  # FF 00 is a value; FF is half a marker
    if not missing or any(missing.values()) or position >= end:
        return 0, False
    try:  # Pillow prints no messages about the missing marker
        first, *others = (
            np.array(Image.open(io.BytesIO(data[:end] + filler + EOI))) for filler in FILLERS
        )
    except Exception:  # Pillow raises many classes for damaged files
        return 0, False
    return (end if all(np.array_equal(first, other) for other in others) else 0), False


def read_png_chunks(data: bytes, source: str) -> Dict[bytes, bytes]:
    """Return the chunks of a PNG up to its end: kind -> data of the first one, without pixels.

    Raises:
        MmnetError: the file ends earlier.
    """
    chunks: Dict[bytes, bytes] = {}
    position = 8
    while b"IEND" not in chunks:
        length = int.from_bytes(data[position : position + 4], "big")
        kind, start = data[position + 4 : position + 8], position + 8
        position = start + length + 4  # a checksum follows the data
        if position > len(data):
            raise MmnetError(f"{source}: truncated image file")
        if kind not in chunks:
            chunks[kind] = b"" if kind == b"IDAT" else data[start : start + length]
    return chunks


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
