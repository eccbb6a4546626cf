"""The predict verb: cut the person out of photos. One photo's way: load_image -> matte -> cut_out -> save_png."""
import logging
import os
from typing import NamedTuple, Optional

import cv2
import numpy as np

from mmnet.data.images import resize_bilinear, save_png
from mmnet.data.pairs import list_pictures
from mmnet.data.photos import load_image
from mmnet.progress import progress

TALLEST = 2.0  # height / width up to which a photo is squeezed into the network's square like the training portraits
WIDEST = 1.0
GRAIN = 800  # pixels of a training portrait's longer side

COLOURS = {"black": "#000000", "white": "#ffffff", "grey": "#808080", "gray": "#808080", "red": "#ff0000",
           "green": "#00ff00", "blue": "#0000ff"}

log = logging.getLogger(__name__)


class Prediction(NamedTuple):
    photo: str
    alpha: Optional[str] = None  # paths of what was written
    cutout: Optional[str] = None
    composition: Optional[str] = None
    person_share: Optional[float] = None  # mean alpha
    error: Optional[str] = None  # why nothing was written


def predict_photos(predict, photos, output, background=None, size=256):
    """Write for each photo ``<stem>_alpha.png``, ``<stem>_cutout.png`` (RGBA) and, with a background,
    ``<stem>_composition.png`` into ``output``, all at the photo's own size; yield a Prediction for each.

    A photo that cannot be read is skipped: its Prediction carries the error.

    Args:
        predict: images float32 [1,size,size,3] 0..255 -> alphas float32 [1,size,size] 0..1.
        photos: paths, as find_photos gives them. background: of load_background.
    """
    os.makedirs(output, exist_ok=True)
    for photo in progress(photos, len(photos), "predicting", "photos"):
        try:
            image = load_image(photo, True)
        except (OSError, ValueError) as error:
            yield Prediction(photo, error=str(error))
            continue
        alpha = matte(predict, image, size)
        stem = os.path.join(output, os.path.splitext(os.path.basename(photo))[0])
        result = Prediction(photo, stem + "_alpha.png", stem + "_cutout.png", person_share=float(alpha.mean()))
        save_png(result.alpha, np.rint(alpha * 255).astype(np.uint8))
        save_png(result.cutout, cut_out(image, alpha))
        if background is not None:
            result = result._replace(composition=stem + "_composition.png")
            save_png(result.composition, compose(image, alpha, background))
        yield result


def matte(predict, image, size=256):
    """The alpha of a photo at its own size.

    The network learned upright 3:4 portraits squeezed into a square, so a photo between square and twice as high as
    wide goes in the same way. One that is wider or higher is first extended to that limit by mirroring it at its
    borders, which keeps the person's shape and leaves no edge to be mistaken for one; the extension is cut off again.
    (Mirroring everything to a square scored worse: MAD .0258 against .0204 on 3:4 portraits.)

    Args:
        predict: as predict_photos. image: uint8 [H,W,3] RGB.

    Returns:
        float32 [H,W] 0..1.
    """
    height, width = image.shape[:2]
    scale = GRAIN / max(height, width)
    small = image  # reduced by averaging, so that a large photo does not reach the network as scattered pixels
    if scale < 1:
        small_shape = max(1, round(height * scale)), max(1, round(width * scale))
        small = cv2.resize(image, small_shape[::-1], interpolation=cv2.INTER_AREA)
    rows, columns = small.shape[:2]
    above, left = (max(0, round(columns * WIDEST) - rows) + 1) // 2, (max(0, round(rows / TALLEST) - columns) + 1) // 2
    extended = cv2.copyMakeBorder(small, above, above, left, left, cv2.BORDER_REFLECT_101)
    alpha = predict(resize_bilinear(extended, (size, size), align_corners=True)[None])[0]
    alpha = resize_bilinear(alpha, extended.shape[:2], align_corners=True)[above:above + rows, left:left + columns]
    return alpha if scale >= 1 else cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)


def cut_out(image, alpha):
    """RGBA uint8 [H,W,4] of an image uint8 [H,W,3] and its alpha [H,W] 0..1; the colours are the photo's own."""
    return np.dstack([image, np.rint(alpha * 255).astype(np.uint8)])


def compose(image, alpha, background):
    """The person before a background: uint8 [H,W,3].

    Args:
        background: uint8 [3] (a colour) or [h,w,3] (a picture, scaled to cover the photo and cropped at the centre).
    """
    height, width = image.shape[:2]
    if background.ndim == 3:
        scale = max(height / background.shape[0], width / background.shape[1])
        covering = max(height, round(background.shape[0] * scale)), max(width, round(background.shape[1] * scale))
        background = cv2.resize(background, covering[::-1],
                                interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top, left = (covering[0] - height) // 2, (covering[1] - width) // 2
        background = background[top:top + height, left:left + width]
    alpha = alpha[..., None]
    return np.rint(image * alpha + background * (1 - alpha)).astype(np.uint8)


def load_background(value):
    """A background for compose: a picture's path, ``#rrggbb``, or one of COLOURS."""
    if os.path.exists(value):
        return load_image(value, True)
    code = COLOURS.get(value.lower(), value)
    if len(code) == 7 and code[0] == "#":
        try:
            return np.array(list(bytes.fromhex(code[1:])), np.uint8)
        except ValueError:
            pass
    raise ValueError("background %r is neither a picture that exists nor a colour (#rrggbb, %s)"
                     % (value, ", ".join(sorted(COLOURS))))


def find_photos(paths, output):
    """The photos that ``paths`` (files and folders, not searched deeper) mean, in order.

    Raises:
        FileNotFoundError: a path that does not exist. ValueError: a folder without photos, two photos that would be
            written to the same file, or a folder that is the output folder too.
    """
    photos = []
    for path in paths:
        if os.path.isdir(path):
            if os.path.abspath(path) == os.path.abspath(output):
                raise ValueError("the photos' folder %s is the output folder too: give another --output" % path)
            names = list_pictures(path)
            if not names:
                raise ValueError("no photos (jpg, jpeg, png) in %s" % path)
            photos.extend(os.path.join(path, name) for name in names)
        elif os.path.exists(path):
            photos.append(path)
        else:
            raise FileNotFoundError("no photo or folder %s" % path)
    by_stem = {}
    for photo in photos:
        other = by_stem.setdefault(os.path.splitext(os.path.basename(photo))[0], photo)
        if other != photo:
            raise ValueError("%s and %s would be written to the same files: predict them into two folders"
                             % (other, photo))
    return list(dict.fromkeys(photos))
