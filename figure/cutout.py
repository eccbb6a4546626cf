"""Draw FOLDER/cutout.png: synthetic portraits, their alphas and compositions over white.

python figure/cutout.py FOLDER
"""

import os
import sys

import numpy as np

import mmnet
from mmnet.datasets.synthetic import draw_portrait
from mmnet.io.images import save_png
from mmnet.matting.background import Background
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.photo import MattingOptions

PORTRAITS = (4, 13)  # numbers of portraits that `mmnet synthesize` draws with seed 0
OPTIONS = OutputOptions(
    ("side-by-side",), Background((255, 255, 255)), MattingOptions(estimate_foreground=False)
)


def draw(predictor, path):
    """Write the figure: two portraits, each with its alpha and its composition."""
    panels = []
    for number in PORTRAITS:
        image, _ = draw_portrait(np.random.RandomState([0, number]))
        alpha = mmnet.matte(image, predictor)
        panels.append(render_outputs(image, alpha, OPTIONS)["side-by-side"])
    save_png(path, np.hstack(panels)[::3, ::3])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(mmnet.load(), os.path.join(sys.argv[1], "cutout.png"))
