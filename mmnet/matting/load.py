"""Load a photo from a path, bytes, a file object, a PIL image or an array. No TensorFlow."""

import os

import cv2
import numpy as np
from overload import overload
from PIL import Image

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.io.images import Photo, convert_pil, decode_photo


@overload
def load_photo(photo: str) -> Photo:
    """Load a photo.

    Files and PIL images are converted to sRGB, and rotated by their EXIF orientation. An alpha
    channel, or a transparent colour, becomes the opacity.

    Args:
        photo: a path (str or os.PathLike), the bytes of an image file, a binary file object, a PIL
            image, or a uint8 array: RGB [H,W,3], which is returned as it is, RGBA [H,W,4] or grey
            [H,W].

    Raises:
        FileNotFoundError: the file does not exist.
        MmnetError: an unreadable file, or an unsupported type.
    """
    return decode_photo(read_bytes(photo), photo)


@load_photo.add
def _load_path(photo: os.PathLike) -> Photo:
    return load_photo(os.fspath(photo))


@load_photo.add
def _load_bytes(photo: bytes) -> Photo:
    return decode_photo(photo, "photo (bytes)")


@load_photo.add
def _load_array(photo: np.ndarray) -> Photo:
    if photo.dtype == np.uint8 and photo.size:  # OpenCV hangs if there are no pixels
        if photo.ndim == 2:
            return Photo(cv2.cvtColor(photo, cv2.COLOR_GRAY2RGB))
        if photo.ndim == 3 and photo.shape[2] == 3:
            return Photo(photo)
        if photo.ndim == 3 and photo.shape[2] == 4:
            opacity = photo[..., 3].copy() if photo[..., 3].min() < 255 else None
            return Photo(np.ascontiguousarray(photo[..., :3]), opacity)
    shape = list(photo.shape)
    message = f"array {photo.dtype} {shape}: must be uint8 [H,W,3], [H,W,4] or [H,W], not empty"
    raise MmnetError(message, "photo")


@load_photo.add
def _load_object(photo: object) -> Photo:
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, Image.Image):
        return convert_pil(photo, "photo (PIL image)")
    data = photo.read() if hasattr(photo, "read") else None
    if isinstance(data, bytes):
        return decode_photo(data, "photo (file object)")
    message = "must be a path, bytes, a binary file object, a PIL image or a uint8 array"
    raise MmnetError(f"{type(photo).__name__}: {message}", "photo")
