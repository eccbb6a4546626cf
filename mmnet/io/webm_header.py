"""Set the pixel aspect ratio in the header of a WebM file. No TensorFlow.

FFmpeg takes it from a field that PyAV does not set. With the tag ``stereo_mode`` FFmpeg writes the
elements DisplayWidth and DisplayHeight, whose values this module replaces.
"""

import math
from fractions import Fraction
from typing import Tuple

STEREO_TAG = {"stereo_mode": "left_right"}
# Identifiers of RFC 9559, and the elements of the tag above.
TRACKS = b"\x16\x54\xae\x6b"
STEREO_MODE, ALPHA_MODE = b"\x53\xb8\x81\x01", b"\x53\xc0"
DISPLAY_WIDTH, DISPLAY_HEIGHT = b"\x54\xb0", b"\x54\xba"
HEADER_BYTES = 1 << 16  # contain the description of the video, the first track


def set_pixel_aspect(path: str, size: Tuple[int, int], pixel_aspect: Fraction) -> None:
    """Replace the elements of STEREO_TAG by the display size. size: width and height in pixels."""
    width, height = size
    with open(path, "r+b") as file:
        header = file.read(HEADER_BYTES)
        start = position = header.index(STEREO_MODE, header.index(TRACKS))
        position += len(STEREO_MODE)
        if header[position : position + 2] == ALPHA_MODE:
            position += 4
        alpha_mode = header[start + len(STEREO_MODE) : position]
        for identifier in (DISPLAY_WIDTH, DISPLAY_HEIGHT):
            position = header.index(identifier, position)
            position += 3 + (header[position + 2] & 0x7F)
        free = position - start - len(alpha_mode) - 6  # bytes for the two values
        aspect = (pixel_aspect * width / height).limit_denominator(1 << 12)
        scale = max(math.ceil(width / aspect.numerator), math.ceil(height / aspect.denominator))
        elements = alpha_mode
        for identifier, value, length in (
            (DISPLAY_WIDTH, scale * aspect.numerator, free // 2),
            (DISPLAY_HEIGHT, scale * aspect.denominator, free - free // 2),
        ):
            elements += identifier + bytes([0x80 | length]) + value.to_bytes(length, "big")
        file.seek(start)
        file.write(elements)
