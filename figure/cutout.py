"""Draws FOLDER/cutout.png: made-up portraits, the alpha MMNet gives, and the composition.

python figure/cutout.py FOLDER
"""

import os
import sys

import numpy as np

import mmnet
from mmnet.datasets.synthetic import draw_portrait
from mmnet.io.images import save_png
from mmnet.matting.background import ColourBackground
from mmnet.matting.compose import compose

PORTRAITS = (4, 13)  # `mmnet synthesize` draws these numbers with seed 0
WHITE = ColourBackground(255, 255, 255)


def draw(predictor, path):
    """Write the figure: two portraits, each beside its alpha and its composition."""
    columns = []
    for number in PORTRAITS:
        image, _ = draw_portrait(np.random.RandomState([0, number]))
        alpha = mmnet.matte(image, predictor)
        grey = np.dstack([np.rint(alpha * 255).astype(np.uint8)] * 3)
        columns += [image, grey, compose(image, alpha, WHITE)]
    save_png(path, np.concatenate([column[::3, ::3] for column in columns], axis=1))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(mmnet.load(), os.path.join(sys.argv[1], "cutout.png"))
