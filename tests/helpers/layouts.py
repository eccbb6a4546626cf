"""Small datasets in the layouts of other projects."""

import os

import numpy as np

from mmnet.datasets.synthetic import draw_portrait
from mmnet.io.images import encode_jpeg, encode_png

SHAPE = (80, 60)


def draw_pair(number):
    """Return (image uint8 [H,W,3], mask uint8 [H,W]) of a synthetic person."""
    image, alpha = draw_portrait(np.random.RandomState([3, number]), SHAPE)
    return image, np.rint(255 * alpha).astype(np.uint8)


def write_file(root, name, data):
    """Write bytes or text to ROOT/NAME and create its folder."""
    path = os.path.join(str(root), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def write_pair(root, image_name, mask_name, number, quality=95):
    """Write a synthetic person as .jpg or .png files, and return image and mask."""
    pair = draw_pair(number)
    for name, array in zip((image_name, mask_name), pair):
        is_jpeg = name.endswith(".jpg")
        write_file(root, name, encode_jpeg(array, quality) if is_jpeg else encode_png(array))
    return pair


def write_dapm(root):
    """Write a dataset in mmnet's layout, and return split -> number of pairs."""
    for number, split in enumerate(("train", "train", "test")):
        write_pair(root, f"{split}/image/{number}.jpg", f"{split}/mask/{number}.png", number)
    return {"train": 2, "test": 1}
