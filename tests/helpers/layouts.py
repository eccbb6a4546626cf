"""Small datasets in the layouts of other projects."""

import os

import numpy as np

from mmnet.datasets.synthetic import draw_portrait
from mmnet.io.images import encode_jpeg, encode_png

SHAPE = (80, 60)


def portrait(number):
    """(image uint8 [H,W,3], mask uint8 [H,W]) of a made-up person."""
    image, alpha = draw_portrait(np.random.RandomState([3, number]), SHAPE)
    return image, np.rint(255 * alpha).astype(np.uint8)


def put(root, name, data):
    path = os.path.join(str(root), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def dapm(root):
    for number, split in enumerate(("train", "train", "test")):
        image, mask = portrait(number)
        put(root, "%s/image/%d.jpg" % (split, number), encode_jpeg(image))
        put(root, "%s/mask/%d.png" % (split, number), encode_png(mask))
    return {"train": 2, "test": 1}
