"""A photo and its alpha: the person cut out, or before another background. No TensorFlow."""

import os

import cv2
import numpy as np

from mmnet.photos.load import load_photo

COLOURS = {
    "black": "#000000",
    "white": "#ffffff",
    "grey": "#808080",
    "gray": "#808080",
    "red": "#ff0000",
    "green": "#00ff00",
    "blue": "#0000ff",
}


def cut_out(image, alpha):
    """RGBA uint8 [H,W,4] of uint8 [H,W,3] and its alpha [H,W] 0..1; colours stay the photo's."""
    return np.dstack([image, np.rint(alpha * 255).astype(np.uint8)])


def compose(image, alpha, background):
    """The person before a background: uint8 [H,W,3].

    Args:
        background: uint8 [3] (a colour) or [h,w,3] (a picture, scaled to cover the photo and
            cropped at the centre).
    """
    if background.ndim == 3:
        background = covering(background, image.shape[:2])
    alpha = alpha[..., None]
    return np.rint(image * alpha + background * (1 - alpha)).astype(np.uint8)


def covering(picture, shape):
    """A picture scaled to cover ``shape`` (height, width), cropped at the centre."""
    height, width = shape
    scale = max(height / picture.shape[0], width / picture.shape[1])
    rows = max(height, round(picture.shape[0] * scale))
    columns = max(width, round(picture.shape[1] * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(picture, (columns, rows), interpolation=interpolation)
    top, left = (rows - height) // 2, (columns - width) // 2
    return picture[top : top + height, left : left + width]


def load_background(value):
    """A background for compose: a picture's path, ``#rrggbb``, or one of COLOURS."""
    if os.path.exists(value):
        return load_photo(value)
    code = COLOURS.get(value.lower(), value)
    if len(code) == 7 and code[0] == "#":
        try:
            return np.array(list(bytes.fromhex(code[1:])), np.uint8)
        except ValueError:
            pass
    raise ValueError(
        "background %r is neither a picture that exists nor a colour (#rrggbb, %s)"
        % (value, ", ".join(sorted(COLOURS)))
    )
