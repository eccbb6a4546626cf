"""Encode PNG files. Strips of rows are filtered and compressed in parallel. No TensorFlow.

PNG specification (W3C); zlib format: RFC 1950. docs/benchmarks.md, "Photos".
"""

import struct
import zlib
from functools import partial

import numpy as np

from mmnet.io.containers import png_chunk
from mmnet.io.parallel import parallel_map

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # channels -> colour type
UP = 2  # filter: the difference from the pixel above
STRIP_BYTES = 1 << 20  # pixels that are compressed at once
ZLIB_HEADER = b"\x78\x01"
ADLER_MODULUS = 65521


def encode_png(image: np.ndarray, chunks: bytes = b"") -> bytes:
    """Encode uint8 [H,W], RGB [H,W,3] or RGBA [H,W,4] as PNG.

    ``chunks``: further chunks, which precede the pixels.
    """
    height, width = image.shape[:2]
    rows = np.ascontiguousarray(image).reshape(height, -1)
    colour_type = COLOUR_TYPES[rows.shape[1] // width]
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    parts = [SIGNATURE, png_chunk(b"IHDR", header), chunks, png_chunk(b"IDAT", ZLIB_HEADER)]
    step = max(1, STRIP_BYTES // rows.shape[1])
    starts = range(0, height, step)
    compress = partial(_compress_strip, rows, step)
    low, high = 1, 0  # the two sums of Adler-32
    strips = parallel_map(compress, starts) if len(starts) > 1 else map(compress, starts)
    for chunk, checksum, length in strips:
        parts.append(chunk)
        high = (high + (checksum >> 16) + length * (low - 1)) % ADLER_MODULUS
        low = (low + (checksum & 0xFFFF) - 1) % ADLER_MODULUS
    parts += [png_chunk(b"IDAT", struct.pack(">HH", high, low)), png_chunk(b"IEND", b"")]
    return b"".join(parts)


def _compress_strip(rows, step, start):
    """Return (IDAT chunk, Adler-32 and number of the filtered bytes) of ``step`` rows."""
    strip = rows[start : start + step]
    filtered = np.empty((len(strip), strip.shape[1] + 1), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = strip[0] - rows[start - 1] if start else strip[0]
    np.subtract(strip[1:], strip[:-1], out=filtered[1:, 1:])
    # The fastest compression: runs of one byte only. Negative bits: without header and checksum.
    compressor = zlib.compressobj(1, wbits=-zlib.MAX_WBITS, strategy=zlib.Z_RLE)
    is_last = start + step >= len(rows)
    data = compressor.compress(filtered)
    data += compressor.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)
    return png_chunk(b"IDAT", data), zlib.adler32(filtered), filtered.size
