"""Draw FOLDER/clip.webp: a synthetic clip, its alpha and the person over another background.

python figure/clip.py FOLDER
"""

import os
import sys

import numpy as np
from PIL import Image

import mmnet
from mmnet.datasets.synthetic import draw_clip, draw_portrait
from mmnet.io.resize import shrink
from mmnet.matting.background import Background
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.photo import WORKING_SIZE, matte_at_working_size
from mmnet.matting.refine import enlarge_alpha
from mmnet.matting.temporal import PreviousFrame, smooth_along_motion
from mmnet.weights.registry import VIDEO

SHAPE = (320, 280)  # (height, width) of a panel
FRAMES = 24
FRAME_MILLISECONDS = 80
QUALITY = 60  # WebP quality, 0..100
SEED = [3, 1]


def draw(predictor, path, frames=FRAMES):
    """Write the animation. It plays forwards and backwards."""
    wall = draw_portrait(np.random.RandomState(8), SHAPE)[0][:40]  # rows above the person
    options = OutputOptions(("side-by-side",), Background(wall))
    previous, previous_alpha, panels = None, None, []
    for image, _ in draw_clip(np.random.RandomState(SEED), frames, SHAPE):
        small = shrink(image, WORKING_SIZE)
        alpha = matte_at_working_size(small, predictor, previous_alpha=previous_alpha)
        previous_alpha = alpha
        if previous is not None:
            alpha = smooth_along_motion(alpha, small, previous)
        previous = PreviousFrame(small, alpha)
        alpha = enlarge_alpha(alpha, small, image)
        panel = render_outputs(image, alpha, options)["side-by-side"]
        panels.append(Image.fromarray(panel))
    rest = panels[1:] + panels[-2:0:-1]
    webp_options = {"duration": FRAME_MILLISECONDS, "quality": QUALITY, "loop": 0}
    panels[0].save(path, save_all=True, append_images=rest, **webp_options)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(mmnet.load(VIDEO), os.path.join(sys.argv[1], "clip.webp"))
