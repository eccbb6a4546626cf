"""Measure the reasons for constants: python benchmarks/constants.py NAME DATASET [SPLIT].

aspect: MAD of the photo path with other lower limits of the aspect ratio.
jpeg:   differences between the JPEG decoders of TensorFlow and OpenCV, and their effect on MAD.
input:  relative times of operations of the training input, measured in alternation.
"""

import argparse
import os
import sys
import time

import cv2
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import mmnet
from mmnet.datasets.augmentation import augment, sample_shape
from mmnet.datasets.cache import open_samples
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.evaluation.evaluate import evaluate
from mmnet.io.images import Photo, read_image
from mmnet.matting import photo

SHAPE = (256, 256)
POLICY = "resize_random_scale_crop_flip_rotate"
TURNS = 30


def compare_aspect_limits(dataset):
    predictor = mmnet.load()

    def matte(image):
        return photo.matte_photo(Photo(image), predictor)

    for limit in (0.5, 1.0):
        photo.MIN_ASPECT_RATIO = limit
        print(limit, evaluate(predictor, dataset, None, matte=matte).means())


def compare_jpeg_decoders(dataset):
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    predictor, session = mmnet.load(), tf.Session()
    data = tf.placeholder(tf.string)
    for method in ("", "INTEGER_ACCURATE"):
        decode = tf.image.decode_jpeg(data, channels=3, dct_method=method)
        levels, changes = [], []
        for pair in dataset.pairs:
            image, truth = read_image(pair.image), read_pair(pair)[1]
            with open(pair.image, "rb") as file:
                other = session.run(decode, {data: file.read()})
            levels.append(np.abs(image.astype(int) - other).max())
            truth = cv2.resize(truth.astype(np.float32), SHAPE)
            errors = [np.abs(predictor.run_image(x) - truth).mean() for x in (image, other)]
            changes.append(abs(errors[0] - errors[1]))
        print(f"{method!r}: up to {max(levels)} levels, MAD of an image up to {max(changes):.5f}")


def compare_input_operations(dataset):
    samples, random = (
        open_samples(dataset, sample_shape(SHAPE, POLICY), "none"),
        np.random.RandomState(0),
    )
    image, mask = samples[0]
    noise = np.empty(image.shape, np.int16)
    operations = {
        "decode and resize": lambda turn: samples[turn % len(dataset)],
        "augment": lambda turn: augment(image, mask, random, SHAPE, POLICY),
        "create a generator": lambda turn: np.random.RandomState(turn),
        "seed a generator": lambda turn: random.seed(turn),
        "noise by numpy": lambda turn: random.normal(0, 8, image.shape),
        "noise by OpenCV": lambda turn: cv2.randn(noise, 0, 8),
    }
    seconds = {name: [] for name in operations}
    for turn in range(TURNS):
        for name, operation in operations.items():
            start = time.perf_counter()
            operation(turn)
            seconds[name].append(time.perf_counter() - start)
    for name, values in seconds.items():
        print(f"{name:20} {1e6 * np.median(values):9.1f} us")


if __name__ == "__main__":
    measurements = {
        "aspect": compare_aspect_limits,
        "jpeg": compare_jpeg_decoders,
        "input": compare_input_operations,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measurement", choices=measurements)
    parser.add_argument("dataset", help="folder with SPLIT/image and SPLIT/mask")
    parser.add_argument("split", nargs="?", default="val")
    options = parser.parse_args()
    measurements[options.measurement](find_dataset(options.dataset, options.split))
