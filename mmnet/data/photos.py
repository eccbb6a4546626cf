"""A user's photo, from whatever it comes as. No TensorFlow."""
import os

import numpy as np
from overload import overload

from mmnet.data.images import decode_image, read_image


@overload
def load_image(path: str, upright=False):
    """Load a picture as RGB uint8 [H,W,3] from a path, the bytes of a file, or an array.

    Grey, palette and 16-bit files come out as 8-bit RGB; an alpha channel is dropped.

    Args:
        path: str, os.PathLike, bytes of a JPEG or PNG file, or a uint8 array [H,W,3] (returned as it is).
        upright: turn the picture as its EXIF orientation says. Data sets are read as stored (False), because a mask
            belongs to the stored pixels; a photo that a person looks at is turned (True).

    Raises:
        FileNotFoundError: no such file. ValueError: not a whole JPEG or PNG, or an array of another kind.
    """
    return read_image(path, upright)


@load_image.add
def load_image(path: os.PathLike, upright=False):
    return read_image(os.fspath(path), upright)


@load_image.add
def load_image(data: bytes, upright=False):
    return decode_image(data, "the picture's bytes", upright)


@load_image.add
def load_image(array: np.ndarray, upright=False):
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError("an image array is uint8 [H,W,3], not %s %s" % (array.dtype, list(array.shape)))
    return array
