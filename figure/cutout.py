"""Draws figure/cutout.png: made-up portraits, the alpha MMNet gives, and the composition.

    python figure/cutout.py CHECKPOINT
"""
import os
import sys

import numpy as np

from mmnet.data.images import save_png
from mmnet.data.synthetic import draw_portrait
from mmnet.delivery.predict import compose, matte
from mmnet.delivery.predictor import CheckpointPredictor

HERE = os.path.dirname(os.path.abspath(__file__))
PORTRAITS = (4, 6)  # numbers of seed 0, as `mmnet synthesize` draws them

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    predict = CheckpointPredictor.open(sys.argv[1])
    columns = []
    for number in PORTRAITS:
        image, _ = draw_portrait(np.random.RandomState([0, number]))
        alpha = matte(predict, image)
        grey = np.dstack([np.rint(alpha * 255).astype(np.uint8)] * 3)
        columns += [image, grey, compose(image, alpha, np.array([255, 255, 255], np.uint8))]
    save_png(os.path.join(HERE, "cutout.png"), np.concatenate([column[::3, ::3] for column in columns], axis=1))
