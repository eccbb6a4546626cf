"""Decode and encode images. No TensorFlow.

OpenCV decodes a JPEG as TensorFlow does with ``dct_method="INTEGER_ACCURATE"``. TensorFlow's
default decoder differs slightly, which changes the scores: docs/benchmarks.md, "JPEG decoders".
"""

import io
import os
import struct
from typing import List, NamedTuple, Optional, Tuple

# OpenCV reads this while it is imported. A damaged file is reported by our error alone.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import cv2
import numpy as np
from PIL import Image

from mmnet.io.colour import convert_to_srgb, srgb_profile
from mmnet.io.containers import JPEG, PNG, check_complete, detect_format, png_chunk
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.exif import Metadata, encode_exif, orient, pil_options, read_exif
from mmnet.io.extensions import IMAGE_EXTENSIONS
from mmnet.io.files import read_bytes, write_bytes
from mmnet.io.pil_images import Pixels, check_size, open_header, open_pil, read_pixels
from mmnet.io.png import add_alpha, encode_png

OUTPUT_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
MAX_SIDES = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}  # pixels
SRGB_CHUNK = b"\0\0\0\1sRGB\1\xd9\xc9\x2c\x7f"  # relative colorimetric
METRES_PER_INCH = 0.0254

HEIF_HEADER = 1 << 16  # bytes that contain the properties of a HEIC or AVIF image
READ_RGB = getattr(cv2, "IMREAD_COLOR_RGB", cv2.IMREAD_COLOR)  # old versions read BGR
MID_GREY = 128  # the level that the network sees behind transparent pixels


class Photo(NamedTuple):
    """A photo that is ready for matting.

    Attributes:
        image: uint8 [H,W,3], RGB in sRGB, upright.
        opacity: uint8 [H,W], the alpha channel of the input; None: opaque.
        metadata: facts that the results keep.
    """

    image: np.ndarray
    opacity: Optional[np.ndarray] = None
    metadata: Metadata = Metadata()


def compose_over_grey(image: np.ndarray, opacity: Optional[np.ndarray]) -> np.ndarray:
    """Return an image over MID_GREY, as the network sees it."""
    if opacity is None:
        return image
    weight = opacity.astype(np.float32) / 255
    return cv2.blendLinear(image, np.full_like(image, MID_GREY), weight, 1 - weight)


def list_images(folder: str, extensions: Tuple[str, ...] = IMAGE_EXTENSIONS) -> List[str]:
    """Return the names of the images in a folder, sorted, without hidden files."""
    names = [name for name in os.listdir(folder) if name.lower().endswith(extensions)]
    return sorted(name for name in names if not name.startswith("."))


def read_image(path: str) -> np.ndarray:
    """Read an image of a dataset. See ``decode_image``."""
    return decode_image(read_bytes(path), path)


def decode_image(data: bytes, source: str) -> np.ndarray:
    """Decode an image of a dataset: RGB in sRGB, uint8 [H,W,3]. Errors as in ``decode_photo``.

    JPEG, PNG and WebP are not rotated, because a mask belongs to the stored pixels. An alpha
    channel is dropped.
    """
    check_pixels(data, source)
    return decode_photo(data, source, upright=False).image


def decode_photo(data: bytes, source: str, upright: bool = True) -> Photo:
    """Decode an image file; convert it to sRGB, and rotate it by its EXIF orientation.

    OpenCV decodes JPEG, PNG and WebP. Pillow decodes other formats, HEIC with pillow-heif.

    Args:
        data: contents of the file.
        source: name for messages.
        upright: False: do not rotate a JPEG, PNG or WebP.

    Raises:
        MmnetError: another format, or a truncated or damaged file.
    """
    file_format = detect_format(data)
    if not file_format:
        image = open_pil(data, source)
        start = data.find(b"colrnclx", 0, HEIF_HEADER) + 8
        if start >= 8 and not image.info.get("icc_profile"):
            image.info["cicp"] = data[start : start + 4][1::2]  # two codes of two bytes
        return convert_pil(image, source)
    data = check_complete(data, source)
    header = open_header(data, file_format)
    check_size(_read_size(data, header, file_format), data, source)
    flags = cv2.IMREAD_UNCHANGED
    if file_format == JPEG:
        if header.mode == "CMYK" and "icc_profile" in header.info:
            return convert_pil(header, source, upright=upright)
        grey = header.mode == "L"
        flags = (cv2.IMREAD_GRAYSCALE if grey else READ_RGB) | cv2.IMREAD_IGNORE_ORIENTATION
    values = _decode_with_opencv(data, source, flags)
    if values is None:  # OpenCV 4.5 reads no animated WebP
        if header.format is None:
            raise MmnetError(f"{source}: damaged image file")
        return convert_pil(header, source, upright=upright)
    opacity = None
    if values.ndim == 3 and values.shape[2] == 4:
        opacity = values[..., 3].copy()
    elif values.ndim == 2 and isinstance(header.info.get("transparency"), int):
        key = header.info["transparency"] * (np.iinfo(values.dtype).max // (2 ** data[24] - 1))
        opacity = np.uint8(255) * (values != key)
    if values.ndim == 3 and not (file_format == JPEG and READ_RGB != cv2.IMREAD_COLOR):
        conversion = cv2.COLOR_BGR2RGB if values.shape[2] == 3 else cv2.COLOR_BGRA2RGB
        values = cv2.cvtColor(values, conversion)
    return _make_photo(Pixels(values, opacity), header, source, upright)


def convert_pil(image: Image.Image, source: str, upright: bool = True) -> Photo:
    """Convert a PIL image of any mode to sRGB, and rotate it by its EXIF orientation.

    Raises:
        MmnetError: the image is truncated or damaged, or has no pixels.
    """
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise MmnetError(f"{source}: truncated or damaged image ({error})") from None
    if 0 in image.size:
        raise MmnetError(f"{source}: has no pixels")
    return _make_photo(read_pixels(image), image, source, upright)


def _make_photo(pixels, header, source, upright):
    """Return a Photo of Pixels and the image that holds their metadata."""
    exif = read_exif(header)
    adobe = exif.is_adobe_rgb
    image = convert_to_srgb(pixels.values, header.info, source, is_adobe_rgb=adobe)
    opacity = pixels.opacity
    if opacity is not None:
        opacity = opacity if opacity.dtype == np.uint8 else (opacity >> 8).astype(np.uint8)
        opacity = None if opacity.min() == 255 else opacity
    if upright and exif.orientation != 1:
        image = orient(image, exif.orientation)
        opacity = None if opacity is None else orient(opacity, exif.orientation)
    return Photo(image, opacity, exif.metadata)


def decode_pixels(data: bytes, source: str, flags: int) -> np.ndarray:
    """Decode an image file to the values that it stores, as OpenCV's ``flags`` define.

    Errors as in ``decode_photo``. Files of other formats than JPEG, PNG and WebP become grey
    [H,W], BGR [H,W,3] or BGRA [H,W,4] whatever the flags.
    """
    file_format = detect_format(data)
    if not file_format:
        values, opacity = read_pixels(open_pil(data, source))
        if values.ndim == 2 and opacity is None:
            return values
        conversion = cv2.COLOR_GRAY2BGR if values.ndim == 2 else cv2.COLOR_RGB2BGR
        colours = cv2.cvtColor(values, conversion)
        return colours if opacity is None else np.dstack([colours, opacity])
    check_pixels(data, source)
    pixels = _decode_with_opencv(check_complete(data, source), source, flags)
    if pixels is None:
        raise MmnetError(f"{source}: damaged image file")
    return pixels


def check_pixels(data: bytes, source: str) -> None:
    """Raise MmnetError if an image of a dataset has more than MAX_PIXELS.

    Pillow has its own limit for other formats than JPEG, PNG and WebP.
    """
    file_format = detect_format(data)
    if not file_format:
        return
    size = _read_size(data, open_header(data, file_format), file_format)
    check_size(size, data, source, may_be_flat=True)


def _read_size(data, header, file_format):
    """Return (width, height). Pillow cannot read all headers of PNG files that OpenCV reads."""
    if file_format == PNG:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return header.size


def _decode_with_opencv(data, source, flags):
    """Return the pixels of a complete file, or None if it is damaged."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # more pixels than OpenCV accepts
        reason = " ".join(str(error).split())
        raise MmnetError(f"{source}: cannot be decoded ({reason})") from None


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Encode uint8 [H,W] or RGB [H,W,3] as JPEG of quality 0 to 100."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_image(
    image: np.ndarray,
    path: str,
    metadata: Metadata = Metadata(),
    *,
    keep_gps: bool = False,
    alpha: Optional[np.ndarray] = None,
) -> bytes:
    """Encode uint8 [H,W], RGB or RGBA in the format of a file name: see OUTPUT_EXTENSIONS.

    Colours are tagged as sRGB. JPEG and WebP have the quality 95, but the alpha and the grey levels
    of a WebP are exact.

    Args:
        image: the image.
        path: name of the file, for its extension and for messages.
        metadata: written into the image, the position only if ``keep_gps``.
        alpha: uint8 [H,W], the alpha channel of an RGB image.

    Raises:
        MmnetError: the format cannot store the image.
    """
    extension = os.path.splitext(path)[1].lower()
    if extension == ".png":
        exif = b"" if metadata == Metadata() else encode_exif(metadata, keep_gps)
        chunks = b"" if image.ndim == 2 else SRGB_CHUNK
        if metadata.dpi is not None:
            sides = [round(dpi / METRES_PER_INCH) for dpi in metadata.dpi]
            chunks += png_chunk(b"pHYs", struct.pack(">IIB", *sides, 1))  # pixels per metre
        chunks += png_chunk(b"eXIf", exif) if exif else b""
        return encode_png(image, chunks, alpha)
    image = image if alpha is None else add_alpha(image, alpha)
    check_image_format(path, has_alpha=image.ndim == 3 and image.shape[2] == 4)
    max_side = MAX_SIDES[extension]
    if max(image.shape[:2]) > max_side:
        size = format_shape(image.shape[:2])
        raise MmnetError(f"{path}: {size}: {extension} stores {max_side} pixels per side; use .png")
    options = pil_options(metadata, keep_gps)
    if image.ndim == 3:
        options["icc_profile"] = srgb_profile().tobytes()
    stream = io.BytesIO()
    file_format = "WEBP" if extension == ".webp" else "JPEG"
    Image.fromarray(image).save(
        stream, file_format, quality=95, lossless=image.ndim == 2, **options
    )
    return stream.getvalue()


def check_image_format(path: str, has_alpha: bool) -> None:
    """Raise MmnetError if no image, or none with an alpha channel, can be written to this path."""
    if not path.lower().endswith(OUTPUT_EXTENSIONS):
        message = f"{path}: images are written as {', '.join(OUTPUT_EXTENSIONS)}"
        raise MmnetError(message, "output")
    if has_alpha and not path.lower().endswith((".png", ".webp")):
        remedy = "use .png or .webp, or set a background"
        raise MmnetError(f"{path}: JPEG has no alpha channel; {remedy}", "output")


def save_png(path: str, image: np.ndarray) -> None:
    """Write uint8 [H,W], RGB [H,W,3] or RGBA [H,W,4] to a PNG file atomically."""
    write_bytes(path, encode_png(image))


def pad_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Append channels of zeros to images [N,H,W,C]: the alpha of a previous frame is missing."""
    missing = max(0, channels - images.shape[3])
    return np.pad(images, [(0, 0), (0, 0), (0, 0), (0, missing)], mode="constant")


def to_unit_range(images: np.ndarray) -> np.ndarray:
    """Convert RGB 0..255 to float32 0..1, for models that expect divided values."""
    return np.asarray(images, np.float32) / np.float32(255)
