"""Draw FOLDER/cutout.png: synthetic portraits, their alphas and compositions over white.

python figure/cutout.py FOLDER
"""

import os
import sys

import numpy as np

import mmnet
from mmnet.datasets.synthetic import draw_portrait
from mmnet.io.images import save_png
from mmnet.matting.background import ColourBackground
from mmnet.matting.compose import compose, side_by_side

PORTRAITS = (4, 13)  # numbers of portraits that `mmnet synthesize` draws with seed 0
WHITE = ColourBackground(255, 255, 255)


def draw(predictor, path):
    """Write the figure: two portraits, each with its alpha and its composition."""
    panels = []
    for number in PORTRAITS:
        image, _ = draw_portrait(np.random.RandomState([0, number]))
        alpha = mmnet.matte(image, predictor)
        panels.append(side_by_side(image, alpha, compose(image, alpha, WHITE)))
    save_png(path, np.hstack(panels)[::3, ::3])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(mmnet.load(), os.path.join(sys.argv[1], "cutout.png"))
