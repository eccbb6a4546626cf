"""Draw FOLDER/cutout.jpg: a photo, and its cutout on a checkerboard.

python figure/cutout.py FOLDER
"""

import os
import sys

import numpy as np
from PIL import Image

import mmnet

PHOTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "astronaut.jpg")
SIDE = 450  # pixels, of each of the two panels
SQUARE = 15  # pixels, side of a square of the checkerboard
QUALITY = 88  # JPEG quality, 0..100


def draw_checkerboard(side, square):
    """Return a light grey checkerboard, uint8 [side,side,3]."""
    rows, columns = np.indices((side, side)) // square
    return np.where((rows + columns)[..., None] % 2, 255, 215).astype(np.uint8).repeat(3, axis=2)


def draw(predictor, path):
    """Write the figure."""
    photo = Image.open(PHOTO).convert("RGB")
    cutout = mmnet.cutout_image(PHOTO, predictor).resize((SIDE, SIDE), Image.LANCZOS)
    figure = Image.new("RGB", (2 * SIDE, SIDE))
    figure.paste(photo.resize((SIDE, SIDE), Image.LANCZOS))
    figure.paste(Image.fromarray(draw_checkerboard(SIDE, SQUARE)), (SIDE, 0))
    figure.paste(cutout, (SIDE, 0), cutout)
    figure.save(path, quality=QUALITY)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(mmnet.load(), os.path.join(sys.argv[1], "cutout.jpg"))
