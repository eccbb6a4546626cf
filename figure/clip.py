"""Draw FOLDER/clip.webp: a camera moves over a photo; the person is composed over another photo.

python figure/clip.py FOLDER
"""

import os
import sys

import numpy as np
from PIL import Image

import mmnet
from mmnet.matting.background import Background
from mmnet.matting.clip import matte_next_frame
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.load import load_photo
from mmnet.matting.refine import enlarge_alpha

HERE = os.path.dirname(os.path.abspath(__file__))
PHOTO, BACKGROUND = os.path.join(HERE, "astronaut.jpg"), os.path.join(HERE, "hubble.jpg")
SIDE = 240  # pixels, of each of the two panels
FRAMES = 16
FRAME_MILLISECONDS = 100
QUALITY = 40  # WebP quality, 0..100
# Left, top and side of the camera's view, as fractions of the photo: first and last frame.
FIRST_VIEW, LAST_VIEW = np.array([0, 0, 1]), np.array([0.1, 0, 0.62])


def read_frames(frames):
    """Yield the frames, uint8 [SIDE,SIDE,3]. The camera starts and stops slowly."""
    photo = Image.open(PHOTO).convert("RGB")
    for time in np.linspace(0, 1, frames):
        position = (1 - np.cos(np.pi * time)) / 2
        left, top, side = photo.width * (FIRST_VIEW + position * (LAST_VIEW - FIRST_VIEW))
        box = (left, top, left + side, top + side)
        yield np.asarray(photo.resize((SIDE, SIDE), Image.LANCZOS, box))


def draw(predictor, path, frames=FRAMES):
    """Write the animation. It plays forwards and backwards."""
    options = OutputOptions(("composition",), Background(load_photo(BACKGROUND).image))
    previous, panels = None, []
    for image in read_frames(frames):
        previous = matte_next_frame(image, predictor, options, previous)
        alpha = enlarge_alpha(previous.alpha, previous.image, image)
        composition = render_outputs(image, alpha, options)["composition"]
        panels.append(Image.fromarray(np.hstack([image, composition])))
    rest = panels[1:] + panels[-2:0:-1]
    webp_options = {"duration": FRAME_MILLISECONDS, "quality": QUALITY, "method": 6, "loop": 0}
    panels[0].save(path, save_all=True, append_images=rest, **webp_options)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(mmnet.load(), os.path.join(sys.argv[1], "clip.webp"))
