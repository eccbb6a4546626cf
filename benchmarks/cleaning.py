"""Score the limits of matting/cleaning.py: MAD, gradient error, and number and area of flaws.

python benchmarks/cleaning.py DATASET SPLIT CACHE [--views N] [--count N] [--limits NAME=VALUE ...]

Each of --limits is scored alone, beside the limits of the package and no cleaning. CACHE is a
folder for the alphas of the network, so that a repeated or interrupted run computes each only once.
"""

import argparse
import os
from typing import Dict

import numpy as np

from mmnet.datasets.pairs import find_dataset, pick_evenly, read_pair
from mmnet.evaluation.metrics import METRICS
from mmnet.inference.open import open_for_photos
from mmnet.io.files import write_bytes
from mmnet.io.resize import resize_bilinear, shrink
from mmnet.matting import cleaning
from mmnet.matting.photo import WORKING_SIZE, matte_at_working_size
from mmnet.matting.refine import enlarge_alpha

SCORES = [("mad", (256, 256)), ("gauss_grad", (256, 256))]
SCORES += [("flaws", (800, 600)), ("flaw_area", (800, 600))]


def network_alpha(small: np.ndarray, predictor, path: str) -> np.ndarray:
    """Return the alpha at the working size from the cache, or compute it."""
    if not os.path.exists(path):
        write_bytes(path, matte_at_working_size(small, predictor).tobytes())
    return np.fromfile(path, np.float32).reshape(small.shape[:2])


def clean(alpha: np.ndarray, limits: Dict[str, float]) -> np.ndarray:
    """Clean an alpha with changed limits."""
    defaults = {name: getattr(cleaning, name) for name in limits}
    try:
        vars(cleaning).update(limits)
        return cleaning.clean_alpha(alpha)
    finally:
        vars(cleaning).update(defaults)


def score(alpha: np.ndarray, mask: np.ndarray):
    """Return the values of SCORES."""
    values = []
    for name, shape in SCORES:
        arrays = (
            resize_bilinear(array, shape, name in ("mad", "gauss_grad")) for array in (alpha, mask)
        )
        values.append(METRICS[name].compute(*arrays))
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("dataset", "split", "cache"):
        parser.add_argument(name)
    parser.add_argument("--views", type=int)
    parser.add_argument("--count", type=int, default=300, help="images, evenly spaced")
    parser.add_argument("--limits", nargs="*", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    variants = {"none": None, "package": {}}
    for text in options.limits:
        name, value = text.split("=")
        getattr(cleaning, name)  # an unknown name is an error
        variants[text] = {name: float(value)}
    os.makedirs(options.cache, exist_ok=True)
    predictor = open_for_photos(views=options.views)
    pairs = pick_evenly(find_dataset(options.dataset, options.split).pairs, options.count)
    scores = {name: [] for name in variants}
    for pair in pairs:
        image, mask = read_pair(pair)
        small = shrink(image, WORKING_SIZE)
        alpha = network_alpha(small, predictor, os.path.join(options.cache, pair.stem + ".f32"))
        for name, limits in variants.items():
            cleaned = alpha if limits is None else clean(alpha, limits)
            scores[name].append(score(enlarge_alpha(cleaned, small, image), mask))
    for name, values in scores.items():
        means = "  ".join(
            f"{metric} {mean:.5f}" for (metric, _), mean in zip(SCORES, np.mean(values, axis=0))
        )
        print(f"{name:24} {means}")


if __name__ == "__main__":
    main()
