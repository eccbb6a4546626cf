"""Decode and encode images. No TensorFlow.

OpenCV decodes a JPEG as TensorFlow does with ``dct_method="INTEGER_ACCURATE"``. TensorFlow's
default decoder differs slightly, which changes the scores: docs/benchmarks.md, "JPEG decoders".
"""

import io
import os
from typing import List, NamedTuple, Optional, Tuple

# OpenCV reads this while it is imported. A damaged file is reported by our error alone.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import cv2
import numpy as np

from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import read_bytes, write_bytes

IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".webp"),
    *(".tif", ".tiff", ".bmp", ".dib", ".gif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".sgi", ".qoi", ".psd"),
)
# Readable if pillow-heif is installed.
HEIF_EXTENSIONS = (".heic", ".heif", ".hif", ".heics", ".heifs", ".avif", ".avifs")
OUTPUT_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
MAX_SIDES = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}  # pixels
WEBP_LOSSLESS = 101  # OpenCV's quality for it

MID_GREY = 128  # the level that the network sees behind transparent pixels


class Metadata(NamedTuple):
    """Facts about a photo that its results keep."""

    exif: bytes = b""  # date, artist and copyright, as a TIFF structure
    dpi: Optional[Tuple[float, float]] = None


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
    """Return what the network sees of a photo or frame: the image over MID_GREY."""
    if opacity is None:
        return image
    weight = opacity.astype(np.float32) / 255
    return cv2.blendLinear(image, np.full_like(image, MID_GREY), weight, 1 - weight)


def list_images(folder: str, extensions: Tuple[str, ...] = IMAGE_EXTENSIONS) -> List[str]:
    """Return the names of the images in a folder, sorted, without hidden files."""
    names = [name for name in os.listdir(folder) if name.lower().endswith(extensions)]
    return sorted(name for name in names if not name.startswith("."))


def read_image(path: str, upright: bool = False) -> np.ndarray:
    """Read an image file. See ``decode_image``."""
    return decode_image(read_bytes(path), path, upright)


def decode_image(data: bytes, source: str, upright: bool = False) -> np.ndarray:
    """Decode a JPEG, PNG or WebP file; a HEIC or AVIF file if pillow-heif is installed.

    Grey, palette and 16-bit images become 8-bit RGB. An alpha channel is dropped.

    Args:
        data: contents of the file.
        source: name for error messages.
        upright: rotate the image by its EXIF orientation. Images of datasets stay as stored,
            because a mask belongs to the stored pixels.

    Returns:
        uint8 [H,W,3], RGB.

    Raises:
        MmnetError: another format, or a truncated or damaged file.
    """
    if data[4:8] == b"ftyp":
        return _decode_heif(data, source)
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(decode_pixels(data, source, flags), cv2.COLOR_BGR2RGB)


def decode_pixels(data: bytes, source: str, flags: int) -> np.ndarray:
    """Decode a JPEG, PNG or WebP file as OpenCV's ``flags`` define. Errors as in decode_image.

    OpenCV fills the missing part of a truncated file with grey and reports nothing. Therefore the
    end marker is checked first.
    """
    if data[:2] == b"\xff\xd8":
        # No scan of a complete JPEG starts after the last end marker. An embedded preview has its
        # own end marker, but earlier in the file.
        has_end = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    elif data[:4] == b"\x89PNG":
        has_end = b"IEND" in data[-64:]
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        has_end = len(data) >= 8 + int.from_bytes(data[4:8], "little")
    else:
        raise MmnetError(f"{source}: not a JPEG, PNG or WebP image")
    if not has_end:
        raise MmnetError(f"{source}: truncated image file")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # more pixels than OpenCV accepts
        raise MmnetError(f"{source}: cannot be decoded ({error})") from None
    if pixels is None:
        raise MmnetError(f"{source}: damaged image file")
    return pixels


def encode_png(image: np.ndarray) -> bytes:
    """Encode uint8 [H,W], RGB [H,W,3] or RGBA [H,W,4] as PNG."""
    if image.ndim == 3:
        conversion = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(image, conversion)
    return cv2.imencode(".png", image)[1].tobytes()


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Encode uint8 [H,W] or RGB [H,W,3] as JPEG of quality 0 to 100."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_image(image: np.ndarray, path: str) -> bytes:
    """Encode uint8 [H,W], RGB or RGBA in the format of a file name: see OUTPUT_EXTENSIONS.

    JPEG and WebP have the quality 95. The alpha of a WebP image, also as a grey image, is exact.

    Raises:
        MmnetError: the format cannot store the image.
    """
    extension = os.path.splitext(path)[1].lower()
    if extension == ".png":
        return encode_png(image)
    check_image_format(path, has_alpha=image.ndim == 3 and image.shape[2] == 4)
    max_side = MAX_SIDES[extension]
    if max(image.shape[:2]) > max_side:
        size = format_shape(image.shape[:2])
        raise MmnetError(f"{path}: {size}: {extension} stores {max_side} pixels per side; use .png")
    if extension != ".webp":
        return encode_jpeg(image)
    if image.ndim == 3:
        conversion = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(image, conversion)
    quality = WEBP_LOSSLESS if image.ndim == 2 else 95
    return cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


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


def _decode_heif(data, source):
    """Decode a HEIC or AVIF file upright to uint8 [H,W,3], RGB."""
    try:
        import pillow_heif
        from PIL import Image, ImageOps
    except ImportError:
        message = f"{source}: HEIC and AVIF need pillow-heif: pip install 'mmnet[heif]'"
        raise MmnetError(message) from None
    pillow_heif.register_heif_opener()
    if hasattr(pillow_heif, "register_avif_opener"):  # newer versions leave AVIF to Pillow
        pillow_heif.register_avif_opener()
    try:
        # libheif rotates the image and resets the EXIF orientation; Pillow's AVIF decoder does not.
        return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    except Exception as error:  # Pillow and libheif raise many classes for damaged files
        reason = " ".join(str(error).split())
        raise MmnetError(f"{source}: truncated or damaged image file ({reason})") from None
