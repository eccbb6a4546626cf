"""Open image files with Pillow, and convert PIL images to 8-bit pixels. No TensorFlow."""

import contextlib
import io
import warnings
from typing import Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from mmnet.io.containers import JPEG, PNG, WEBP, read_png_chunks
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.lazy import lazy_import
from mmnet.io.optional import install_command

ImageCms = lazy_import("PIL.ImageCms")

# Formats that Pillow decodes itself. Others may start programs.
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG2000", "PCX"),
    *("PPM", "PSD", "QOI", "SGI", "TGA", "TIFF"),
)
HEADERS: Dict[str, Callable[..., Image.Image]] = {
    JPEG: JpegImagePlugin.JpegImageFile,
    PNG: PngImagePlugin.PngImageFile,
    WEBP: WebPImagePlugin.WebPImageFile,
}
PNG_COLOUR_TYPE = 25  # position of this byte; 0: grey
NEW_SUBFILE_TYPE, BITS_PER_SAMPLE = 254, 258  # TIFF tags
REDUCED_IMAGE = 1  # bit of NEW_SUBFILE_TYPE: a preview of another image in the file


MAX_PIXELS = 1 << 28  # of an image
MAX_PIXELS_PER_BYTE = 50  # of a photo with more than MAX_FLAT_PIXELS
MAX_FLAT_PIXELS = 40_000_000

warnings.filterwarnings("ignore", module=r"PIL\.")  # damage is reported by our errors


class Pixels(NamedTuple):
    """The pixels of an image, before its colours are converted."""

    values: np.ndarray  # uint8 or uint16: grey [H,W], RGB [H,W,3] or CMYK [H,W,4]
    opacity: Optional[np.ndarray]  # uint8 [H,W]; None: opaque


def check_size(
    size: Tuple[int, int], data: bytes, source: str, *, may_be_flat: bool = False
) -> None:
    """Raise MmnetError if an image of (width, height) has more pixels than its file may contain.

    ``may_be_flat``: a small file may contain many pixels, because a mask may have one value.
    """
    flat_limit = max(MAX_FLAT_PIXELS, MAX_PIXELS_PER_BYTE * len(data))
    if size[0] * size[1] > (MAX_PIXELS if may_be_flat else min(MAX_PIXELS, flat_limit)):
        shape = format_shape(size[::-1])
        raise MmnetError(f"{source}: {shape} pixels in {len(data)} bytes: too large")


def open_header(data: bytes, file_format: str) -> Image.Image:
    """Return a JPEG, PNG or WebP with its metadata, but without pixels.

    If Pillow cannot read the header, the image has no metadata.
    """
    try:
        header = HEADERS[file_format](io.BytesIO(data))
        if file_format == PNG:  # a PNG may store these after its pixels, or Pillow ignores them
            chunks = read_png_chunks(data, "")
            header.info["cicp"] = chunks.get(b"cICP", b"")
            if header.info.get("transparency") is not None and data[PNG_COLOUR_TYPE] == 0:
                header.info["transparency"] = int.from_bytes(chunks[b"tRNS"], "big")
            if b"eXIf" in chunks:
                header.info["exif"] = chunks[b"eXIf"]
        return header
    except Exception:  # Pillow raises many classes for files that OpenCV reads
        return Image.new("RGB", (1, 1))


def open_pil(data: bytes, source: str) -> Image.Image:
    """Open and decode an image of another format than JPEG, PNG and WebP. Rotate it upright.

    Raises:
        MmnetError: another format, or a truncated or damaged file.
    """
    is_heif, has_library = data[4:8] == b"ftyp", False
    if is_heif:
        with contextlib.suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
            if hasattr(pillow_heif, "register_avif_opener"):  # newer versions leave AVIF to Pillow
                pillow_heif.register_avif_opener()
            has_library = True
        data = data[: _find_second_file(data)]
    Image.init()
    try:
        formats = [name for name in FORMATS if name in Image.OPEN]
        image = Image.open(io.BytesIO(data), formats=formats)
        check_size(image.size, data, source)
        image.load()
    except MmnetError:
        raise
    except Exception as error:  # Pillow and libheif raise many classes for damaged files
        is_unknown = isinstance(error, Image.UnidentifiedImageError)
        message = f"truncated or damaged image file ({' '.join(str(error).split())})"
        if is_unknown and is_heif and not has_library:
            message = f"HEIC and AVIF need pillow-heif: {install_command('heif')}"
        elif is_unknown and not is_heif:
            message = "not an image in a known format (JPEG, PNG, WebP, TIFF, ...)"
        raise MmnetError(f"{source}: {message}") from None
    if getattr(image, "tag_v2", {}).get(NEW_SUBFILE_TYPE, 0) & REDUCED_IMAGE:
        raise MmnetError(f"{source}: raw photos are not read (the first image is a preview)")
    return image


def _find_second_file(data):
    """Return the position of a video that follows a HEIC or AVIF image, or the end of the data."""
    position, length = 0, int.from_bytes(data[:4], "big")
    while length >= 8 and position + length < len(data):
        position += length
        if data[position + 4 : position + 8] == b"ftyp":
            return position
        length = int.from_bytes(data[position : position + 4], "big")
    return len(data)


def read_pixels(image: Image.Image) -> Pixels:
    """Return the pixels of a PIL image of any mode."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        values = _read_deep_grey(image)
        key = image.info.get("transparency")
        return Pixels(values, None if key is None else np.uint8(255) * (values != key))
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    elif mode in ("La", "RGBa"):  # colours are multiplied by alpha
        image = image.convert(mode[:-1] + "A")
    opacity = None
    if image.mode in ("LA", "RGBA", "P", "PA") or "transparency" in image.info:
        opacity = np.array(image.convert("RGBA").getchannel("A"))
        opacity = None if opacity.min() == 255 else opacity
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    return Pixels(np.array(image), opacity)


def _read_deep_grey(image):
    """Return the levels of an image with 16 or 32 bits per pixel, uint8 or uint16 [H,W].

    Integers are levels of 16 bits, or of 8 bits if none exceeds 255; a TIFF may define other bits.
    Floats are levels of 8 bits, or 0..1 if none exceeds 1.
    """
    values = np.array(image)
    high = values.max()
    if image.mode == "F":
        values = np.nan_to_num(values) * (255 if high <= 1 else 1)
        return np.rint(values.clip(0, 255)).astype(np.uint8)
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]
    if image.mode == "I" and high <= 255:
        return values.clip(0, 255).astype(np.uint8)
    return (values.clip(0, 65535).astype(np.uint16)) << max(0, 16 - bits)
