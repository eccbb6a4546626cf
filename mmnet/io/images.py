"""Decode and encode images and masks. No TensorFlow.

OpenCV decodes as TensorFlow does with ``dct_method="INTEGER_ACCURATE"``. TensorFlow's default
decoder differs by up to five levels, and that alone moves the MAD of a picture by up to .0037.
"""

import io
import os
from typing import List, Tuple

# A damaged picture is one line of ours, not three of OpenCV's: it reads this when it is imported.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import cv2
import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes, write_bytes

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
HEIF_EXTENSIONS = (".heic", ".heif", ".avif")  # read where pillow-heif is installed
# Pictures that a person may expect to be read: they are named, not passed over in silence.
UNREAD = (".gif", ".tif", ".tiff", ".bmp", ".jxl", ".jp2", ".svg", ".psd", ".dng", ".cr2", ".nef")


def read_image(path, upright=False):
    """Load a picture file as RGB uint8 [H,W,3].

    Grey, palette and 16-bit files become 8-bit RGB. An alpha channel is dropped.

    Args:
        upright: turn the picture as its EXIF orientation says. Datasets are read as stored
            (False), because a mask belongs to the stored pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a whole JPEG, PNG or WebP (HEIC or AVIF with pillow-heif).
    """
    return decode_image(read_bytes(path), path, upright)


def list_images(folder: str, extensions: Tuple[str, ...] = EXTENSIONS) -> List[str]:
    """Return the names of the images in a folder, sorted, without hidden files."""
    return [
        name
        for name in sorted(os.listdir(folder))
        if name.lower().endswith(extensions) and not name.startswith(".")
    ]


def is_unread_picture(name):
    """Whether a file's name is that of a picture in a format that is not read."""
    return name.lower().endswith(UNREAD) and not name.startswith(".")


def decode_image(data, source, upright=False):
    """Do what read_image does, for the bytes of a file. Errors call them ``source``."""
    if data[4:8] == b"ftyp":
        return _decode_heif(data, source)
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(decode(data, source, flags), cv2.COLOR_BGR2RGB)


def check_image(array):
    """Give back a uint8 array [H,W,3]; ValueError for any other."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise MmnetError(
            "an image array is uint8 [H,W,3], not %s %s" % (array.dtype, list(array.shape))
        )
    return array


def load_mask(path):
    """Load a mask as alpha: float32 [H,W] in 0..1.

    8-bit masks are divided by 255 and 16-bit masks by 65535. An 8-bit mask without a value above 1
    holds labels 0/1, which are kept. If the file has an alpha channel that varies, that channel is
    the mask. Otherwise colours are converted to grey.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a whole JPEG or PNG.
    """
    mask = decode(read_bytes(path), path, cv2.IMREAD_UNCHANGED)
    if mask.ndim == 3 and mask.shape[2] == 4:
        transparency = mask[..., 3]
        mask = transparency if transparency.min() != transparency.max() else mask[..., :3]
    if mask.ndim == 3:
        mask = cv2.cvtColor(mask, cv2.COLOR_BGR2GRAY)
    if mask.dtype == np.uint16:
        return mask / np.float32(65535)
    return mask.astype(np.float32) if mask.max() <= 1 else mask / np.float32(255)


def save_png(path, picture):
    """Write uint8 [H,W] or RGB(A) [H,W,3 or 4] as PNG, whole or not at all."""
    write_bytes(path, encode_png(picture))


def encode_png(picture):
    """The bytes of a PNG of uint8 [H,W] or RGB(A) [H,W,3 or 4]."""
    if picture.ndim == 3:
        conversion = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        picture = cv2.cvtColor(picture, conversion)
    return cv2.imencode(".png", picture)[1].tobytes()


def encode_jpeg(picture, quality=95):
    """The bytes of a JPEG of uint8 [H,W] or RGB [H,W,3]; quality 0 to 100."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def save_jpeg(path, image):
    """Write RGB uint8 [H,W,3] as JPEG of quality 95, whole or not at all."""
    write_bytes(path, encode_jpeg(image))


def with_channels(images, channels):
    """Images [N,H,W,3] as a network takes them: a fourth channel is 0, for no frame was before."""
    if channels <= images.shape[3]:
        return images
    missing = channels - images.shape[3]
    return np.pad(images, [(0, 0), (0, 0), (0, 0), (0, missing)], mode="constant")


def to_01(images):
    """Turn RGB 0..255 into float32 0..1, for a model that leaves the division to its caller."""
    return np.asarray(images, np.float32) / np.float32(255)


def _decode_heif(data, source):
    """HEIC and AVIF, turned as they are meant to be seen: uint8 [H,W,3]."""
    try:
        import pillow_heif
        from PIL import Image, ImageOps
    except ImportError:
        raise MmnetError(
            "%s is a HEIC or AVIF picture, which takes pillow-heif: pip install 'mmnet[heif]'"
            % source
        ) from None
    pillow_heif.register_heif_opener()
    if hasattr(pillow_heif, "register_avif_opener"):  # newer ones leave AVIF to Pillow
        pillow_heif.register_avif_opener()
    try:
        # libheif turns the picture itself and then says so; Pillow's AVIF does not.
        return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    except Exception as error:  # of Pillow and libheif, each its own class
        reason = " ".join(str(error).split())  # some have lines
        raise MmnetError("%s is damaged or cut off (%s)" % (source, reason)) from None


def decode(data, source, flags):
    """The whole picture in the bytes of a file, as ``flags`` of OpenCV ask."""
    # Decoders silently fill the missing part of a file with grey, so this looks for the end marker.
    # In a whole JPEG, no scan starts behind the last end marker. An embedded preview has its own
    # end marker, but earlier in the file.
    if data[:2] == b"\xff\xd8":
        whole = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    elif data[:4] == b"\x89PNG":
        whole = b"IEND" in data[-64:]
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        whole = len(data) >= 8 + int.from_bytes(data[4:8], "little")
    else:
        raise MmnetError("%s is not a JPEG or PNG picture (nor WebP)" % source)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if whole else None
    except cv2.error as error:  # the picture has more pixels than OpenCV takes
        raise MmnetError("%s cannot be decoded: %s" % (source, error)) from None
    if picture is None:
        raise MmnetError("%s is damaged or cut off" % source)
    return picture
