"""Bytes of image files with unusual contents."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from mmnet.io.containers import png_chunk

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make_png(values, bits, colour_type, *chunks):
    """Return a PNG of values [H,W] or [H,W,C], with further chunks before the pixels."""
    height, width = values.shape[:2]
    if bits < 8:
        digits = np.unpackbits(np.asarray(values, np.uint8)[..., None], axis=2)[..., 8 - bits :]
        rows = np.packbits(digits.reshape(height, -1), axis=1)
    else:
        rows = np.asarray(values, ">u2" if bits == 16 else np.uint8).reshape(height, -1)
    return (
        PNG_SIGNATURE
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
        + b"".join(chunks)
        + png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
        + png_chunk(b"IEND", b"")
    )


def insert_png_chunks(png, *chunks):
    """Insert chunks after the header of a PNG."""
    header = len(PNG_SIGNATURE) + 25
    return png[:header] + b"".join(chunks) + png[header:]


def encode(image, extension, *parameters):
    """Return RGB uint8 [H,W,3] or grey [H,W] as a file that OpenCV writes."""
    stored = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(extension, stored, list(parameters))[1].tobytes()


def save(image, file_format, **options):
    """Return a PIL image or an array as a file that Pillow writes."""
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, file_format, **options)
    return stream.getvalue()


def make_exif(tags, **directories):
    """Return EXIF data of tags; details= and gps= are tags of these directories."""
    exif = Image.Exif()
    exif.update(tags)
    for name, number in (("details", 0x8769), ("gps", 0x8825)):
        if name in directories:
            exif[number] = directories[name]
    return exif.tobytes()


def draw_scene(height=48, width=64):
    """Return a smooth image that looks different in each of the eight orientations."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.dstack([255 * x / width, 255 * y / height, 80 + 0 * x])
    image[: height // 3, : width // 4] = (230, 40, 40)
    return image.astype(np.uint8)


def make_empty_png(height, width, colour_type=0):
    """Return a complete 8-bit PNG of zeros that is small, whatever its size."""
    compressor, block = zlib.compressobj(9), 1 << 20
    size = height * (1 + width)  # a filter type precedes each row
    data = b"".join(compressor.compress(bytes(block)) for _ in range(size // block))
    data += compressor.compress(bytes(size % block)) + compressor.flush()
    chunks = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))]
    chunks += [png_chunk(b"PLTE", bytes(6))] if colour_type == 3 else []
    return b"".join([PNG_SIGNATURE, *chunks, png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")])
