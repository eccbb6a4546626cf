"""A user's photo, from whatever it comes as. No TensorFlow."""

import os

import numpy as np
from overload import overload

from mmnet.io.errors import MmnetError
from mmnet.io.images import check_image, decode_image, read_image


@overload
def load_photo(path: str):
    """Load a photo, upright: RGB uint8 [H,W,3].

    It is turned as its EXIF orientation says. Grey, palette and 16-bit files come out as 8-bit RGB;
    an alpha channel is dropped.

    Args:
        path: str, os.PathLike, the bytes of a JPEG or PNG file, a uint8 array [H,W,3] (given back
            as it is) or a PIL image.

    Raises:
        FileNotFoundError: no such file. ValueError: not a whole JPEG or PNG, an array of another
            kind, or no photo at all.
    """
    return read_image(path, True)


@load_photo.add
def load_photo(path: os.PathLike):  # noqa: F811
    return read_image(os.fspath(path), True)


@load_photo.add
def load_photo(data: bytes):  # noqa: F811
    return decode_image(data, "the photo's bytes", True)


@load_photo.add
def load_photo(array: np.ndarray):  # noqa: F811
    return check_image(array)


@load_photo.add
def load_photo(image: object):  # noqa: F811
    if not hasattr(image, "convert"):  # PIL is not needed for anything else
        raise MmnetError(
            "a photo is a path, bytes, a uint8 array [H,W,3] or a PIL image, not %s"
            % type(image).__name__
        )
    if hasattr(image, "getexif") and image.getexif().get(0x112, 1) != 1:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
    return np.array(image.convert("RGB"))
