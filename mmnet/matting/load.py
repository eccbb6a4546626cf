"""Load a photo from a path, bytes, a file object, a PIL image or an array. No TensorFlow."""

import os
from typing import Any

import cv2
import numpy as np
from overload import overload

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.io.images import decode_image

EXIF_ORIENTATION = 0x112


@overload
def load_photo(photo: str) -> np.ndarray:
    """Load a photo as RGB uint8 [H,W,3].

    Files and PIL images are rotated by their EXIF orientation. Grey, palette and 16-bit images
    become 8-bit RGB. An alpha channel is dropped.

    Args:
        photo: a path (str or os.PathLike), the bytes of an image file, a binary file object, a PIL
            image, or a uint8 array: RGB [H,W,3], which is returned as it is, RGBA [H,W,4] or grey
            [H,W].

    Raises:
        FileNotFoundError: the file does not exist.
        MmnetError: an unreadable file, or an unsupported type.
    """
    return decode_image(read_bytes(photo), photo, upright=True)


@load_photo.add
def _load_path(photo: os.PathLike) -> np.ndarray:
    return load_photo(os.fspath(photo))


@load_photo.add
def _load_bytes(photo: bytes) -> np.ndarray:
    return decode_image(photo, "photo (bytes)", upright=True)


@load_photo.add
def _load_array(photo: np.ndarray) -> np.ndarray:
    if photo.dtype == np.uint8:
        if photo.ndim == 2:
            return cv2.cvtColor(photo, cv2.COLOR_GRAY2RGB)
        if photo.ndim == 3 and photo.shape[2] == 3:
            return photo
        if photo.ndim == 3 and photo.shape[2] == 4:
            return np.ascontiguousarray(photo[..., :3])
    shape = list(photo.shape)
    message = f"array {photo.dtype} {shape}: must be uint8 [H,W,3], [H,W,4] or [H,W]"
    raise MmnetError(message, "photo")


@load_photo.add
def _load_object(photo: object) -> np.ndarray:
    if hasattr(photo, "convert"):
        return _load_pil(photo)
    data = photo.read() if hasattr(photo, "read") else None
    if isinstance(data, bytes):
        return decode_image(data, "photo (file object)", upright=True)
    message = "must be a path, bytes, a binary file object, a PIL image or a uint8 array"
    raise MmnetError(f"{type(photo).__name__}: {message}", "photo")


def _load_pil(image: Any) -> np.ndarray:
    if hasattr(image, "getexif") and image.getexif().get(EXIF_ORIENTATION, 1) != 1:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
    return np.array(image.convert("RGB"))
