"""Score views of a photo (export --views) with the photo path: python benchmarks/views.py DATASET.

Each candidate is the mean of the logits of its views, in both passes. Each image appends one line
to --output, so an interrupted run continues. At the end, the table shows each candidate's scores at
256x256 and the time of its network runs on one thread.
"""

import argparse
import json
import os
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mmnet.datasets.pairs import find_dataset, pick_evenly
from mmnet.evaluation.metrics import gauss_grad, mad
from mmnet.export.export import ExportSpec, build_model
from mmnet.inference.card import Card
from mmnet.inference.open import load_weights
from mmnet.inference.predictor import Predictor
from mmnet.inference.tflite import open_tflite
from mmnet.io.images import Photo, read_image
from mmnet.io.masks import load_mask
from mmnet.io.resize import resize_bilinear
from mmnet.io.tables import format_table
from mmnet.matting.photo import matte_photo
from mmnet.networks.network import Network
from mmnet.networks.views import largest_shape, parse_view
from mmnet.tf.device import Device

SHAPE = (256, 256)  # scores are computed at this shape
TIMED_RUNS = 30
CANDIDATES = ["256", "288", "320"]
CANDIDATES += [f"256 {view}" for view in ("256f", "288f", "320", "320f", "384f")]
CANDIDATES += ["256f 288", "256f 320", "288 320f", "288 384f"]
CANDIDATES += [f"256 {views}" for views in ("256f 320f", "288f 320", "288f 352", "288f 384")]
CANDIDATES += ["256f 288 352f", "256 320f 384", "256 320f 384f", "256f 320 384"]
CANDIDATES += ["224f 288 384", "288 320f 384", "224f 256 320f 384", "256 256f 320 320f 384 384f"]


class Views:
    """The network at several shapes."""

    def __init__(self, source):
        self._source, self._models, self._memory = source, {}, {}

    def open(self, shape):
        """Return the network at this shape, as a .tflite on one thread that returns logits."""
        if shape not in self._models:
            weights = load_weights(self._source, {"shape": shape})
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.tflite")
                build_model(weights, ExportSpec("tflite", path, output_type="logits"), path, None)
                self._models[shape] = open_tflite(path, Device(threads=1))
        return self._models[shape]

    def logits(self, images, view):
        """Return the logits of a view at the shape of ``images``: float32 [N,H,W,2]."""
        key = hash(images.tobytes()), images.shape, view
        if key not in self._memory:
            flip = slice(None, None, -1 if view.mirrored else 1)
            small = resize_bilinear(images[0], view.shape, align_corners=True)[None, :, flip]
            logits = self.open(view.shape).run(np.ascontiguousarray(small, np.float32))
            logits = np.ascontiguousarray(logits[0, :, flip])
            logits = resize_bilinear(logits, images.shape[1:3], align_corners=True)
            self._memory[key] = logits[None]
        return self._memory[key]

    def predictor(self, candidate):
        """Return the Predictor that averages the logits of views such as ``256 320f``."""
        views = [parse_view(text) for text in candidate.split()]
        network = Network(shape=largest_shape(candidate.split()))
        card = Card(network, output_type="logits")
        return Predictor(lambda x: np.mean([self.logits(x, view) for view in views], axis=0), card)

    def forget(self):
        """Delete the logits of the last image."""
        self._memory.clear()

    def milliseconds(self, candidate):
        """Return the time of the network runs of one pass, on one thread."""
        return sum(self._time(parse_view(text).shape) for text in candidate.split())

    def _time(self, shape):
        image, seconds = np.zeros((1, *shape, 3), np.float32), []
        model = self.open(shape)
        if not hasattr(model, "milliseconds"):
            for _ in range(TIMED_RUNS):
                start = time.process_time()
                model.run(image)
                seconds.append(time.process_time() - start)
            model.milliseconds = 1000 * float(np.median(seconds))
        return model.milliseconds


def score_pair(pair, views, candidates):
    """Return candidate -> [MAD, gradient error] of a pair."""
    photo, scores = Photo(read_image(pair.image)), {}
    truth = resize_bilinear(load_mask(pair.mask), SHAPE, align_corners=True)
    for candidate in candidates:
        alpha = matte_photo(photo, views.predictor(candidate))
        alpha = resize_bilinear(alpha, SHAPE, align_corners=True)
        scores[candidate] = [mad(alpha, truth), gauss_grad(alpha, truth)]
    views.forget()
    return scores


def read_scores(path):
    """Return image -> scores of an earlier run."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return {record["image"]: record["scores"] for record in map(json.loads, file)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="number of images, evenly spread")
    parser.add_argument("--checkpoint_path", default="mmnet-persons")
    parser.add_argument("--candidates", nargs="+", default=CANDIDATES)
    parser.add_argument("--output", required=True, help="JSON lines with the scores")
    options = parser.parse_args()
    pairs = find_dataset(options.dataset, options.split).pairs
    pairs = pick_evenly(pairs, options.images) if options.images else pairs
    views, scores = Views(options.checkpoint_path), read_scores(options.output)
    for pair in pairs:
        known = scores.setdefault(pair.image, {})
        missing = [candidate for candidate in options.candidates if candidate not in known]
        if missing:
            known.update(score_pair(pair, views, missing))
            with open(options.output, "a", encoding="utf-8") as file:
                file.write(json.dumps({"image": pair.image, "scores": known}) + "\n")
    rows = []
    for candidate in options.candidates:
        values = np.mean([scores[pair.image][candidate] for pair in pairs], axis=0)
        time = views.milliseconds(candidate)
        rows.append([candidate, f"{values[0]:.5f}", f"{values[1]:.5f}", f"{time:.1f}"])
    print(format_table([["views", "MAD", "gradient error", "ms per pass"], *rows]))


if __name__ == "__main__":
    main()
