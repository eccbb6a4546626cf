"""Encode PNG files. Strips of rows are filtered and compressed in parallel. No TensorFlow.

PNG specification (W3C); zlib format: RFC 1950. docs/benchmarks.md, "Photos".
"""

import struct
from functools import partial
from typing import Optional

import cv2
import numpy as np

from mmnet.io.containers import png_chunk
from mmnet.io.parallel import parallel_map

try:
    from isal import isal_zlib as zlib  # four times as fast
except ImportError:
    import zlib  # type: ignore[no-redef]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # channels -> colour type
UP = 2  # filter: the difference from the pixel above
STRIP_BYTES = 1 << 20  # pixels that are compressed at once
ZLIB_HEADER = b"\x78\x01"
ADLER_MODULUS = 65521


def encode_png(image: np.ndarray, chunks: bytes = b"", alpha: Optional[np.ndarray] = None) -> bytes:
    """Encode uint8 [H,W], RGB [H,W,3] or RGBA [H,W,4] as PNG.

    Args:
        image: the image.
        chunks: further chunks, which precede the pixels.
        alpha: uint8 [H,W], the alpha channel of an RGB image.
    """
    height, width = image.shape[:2]
    channels = image.size // (height * width) + (alpha is not None)
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    parts = [SIGNATURE, png_chunk(b"IHDR", header), chunks, png_chunk(b"IDAT", ZLIB_HEADER)]
    step = max(1, STRIP_BYTES // (width * channels))
    starts = range(0, height, step)
    compress = partial(_compress_strip, np.ascontiguousarray(image), alpha, step)
    low, high = 1, 0  # the two sums of Adler-32
    strips = parallel_map(compress, starts) if len(starts) > 1 else map(compress, starts)
    for chunk, checksum, length in strips:
        parts.append(chunk)
        high = (high + (checksum >> 16) + length * (low - 1)) % ADLER_MODULUS
        low = (low + (checksum & 0xFFFF) - 1) % ADLER_MODULUS
    parts += [png_chunk(b"IDAT", struct.pack(">HH", high, low)), png_chunk(b"IEND", b"")]
    return b"".join(parts)


def add_alpha(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return RGBA, uint8 [H,W,4], of RGB and an alpha channel. It is faster than np.dstack."""
    result = np.empty(alpha.shape + (4,), np.uint8)
    return cv2.mixChannels([image, alpha], [result], [0, 0, 1, 1, 2, 2, 3, 3])[0]


def _compress_strip(image, alpha, step, start):
    """Return (IDAT chunk, Adler-32 and number of the filtered bytes) of ``step`` rows."""
    rows = slice(max(0, start - 1), start + step)  # with the row above
    strip = image[rows] if alpha is None else add_alpha(image[rows], alpha[rows])
    strip = strip.reshape(len(strip), -1)
    is_first, is_last = start == 0, start + step >= len(image)
    filtered = np.empty((len(strip) - (not is_first), strip.shape[1] + 1), np.uint8)
    filtered[:, 0] = UP
    if is_first:
        filtered[0, 1:] = strip[0]
    np.subtract(strip[1:], strip[:-1], out=filtered[int(is_first) :, 1:])
    # Negative bits: without header and checksum.
    compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = compressor.compress(filtered)
    data += compressor.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)
    return png_chunk(b"IDAT", data), zlib.adler32(filtered), filtered.size
