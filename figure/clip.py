"""Draws FOLDER/clip.webp: a made-up clip, its alpha, and the person before another background.

python figure/clip.py FOLDER
"""

import os
import sys

import numpy as np
from PIL import Image

import mmnet
from mmnet.datasets.synthetic import draw_clip, draw_portrait
from mmnet.io.foreground import estimate_foreground
from mmnet.io.resize import shrink
from mmnet.matting.compose import compose, side_by_side
from mmnet.matting.photo import GRAIN, enlarge_alpha, matte_at_working_size
from mmnet.matting.temporal import Before, motion
from mmnet.weights.registry import VIDEO

SHAPE = (320, 280)  # height, width of a panel
FRAMES = 24
MILLISECONDS, QUALITY = 80, 60  # of a frame
SEED = [3, 1]


def draw(predictor, path, frames=FRAMES):
    """Write the animation, there and back."""
    background = draw_portrait(np.random.RandomState(8), SHAPE)[0][:40]  # a wall without a person
    given = before = None
    panels = []
    for image, _ in draw_clip(np.random.RandomState(SEED), frames, SHAPE):
        small = shrink(image, GRAIN)
        given = alpha = matte_at_working_size(small, predictor, previous=given)
        if before is not None:
            alpha = motion(alpha, small, before)
        before = Before(small, alpha)
        alpha = enlarge_alpha(alpha, small, image)
        composition = compose(image, alpha, background, estimate_foreground(image, alpha))
        panels.append(Image.fromarray(side_by_side(image, alpha, composition)))
    turn = panels[1:] + panels[-2:0:-1]
    settings = {"duration": MILLISECONDS, "quality": QUALITY, "loop": 0}
    panels[0].save(path, save_all=True, append_images=turn, **settings)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(mmnet.load(VIDEO), os.path.join(sys.argv[1], "clip.webp"))
