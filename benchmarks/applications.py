"""Score models inside other programs beside one network run of mmnet.

python benchmarks/applications.py DATASET [DATASET_SPLIT_NAME] [--models NAME ...]

The environment variables MMNET_MEDIAPIPE_PYTHON and MMNET_REMBG_PYTHON are Pythons that have these
packages. Without one its rows are missing. The alphas of the programs have the size of the photo.
MediaPipe gets the photo as it is, and resized to the network's input as in docs/applications.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

import cv2
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mmnet.datasets.pairs import find_dataset
from mmnet.evaluation.metrics import MAIN_METRICS, METRICS
from mmnet.export import rembg
from mmnet.export.comparison import comparison_images
from mmnet.export.export import ExportSpec, export
from mmnet.inference.open import load_weights, open_predictor
from mmnet.io.images import read_image
from mmnet.io.masks import load_mask
from mmnet.io.resize import resize_bilinear
from mmnet.io.tables import format_table

SHAPE = (256, 256)  # alphas and masks are scored at it
# Programs of other environments: arguments MODEL FOLDER SIDE PHOTO ...; they write
# FOLDER/NUMBER.npy. SIDE 0: the program resizes the photo itself.
MEDIAPIPE = """
import sys, cv2, numpy as np, mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
model, folder, side, *photos = sys.argv[1:]
options = vision.ImageSegmenterOptions(BaseOptions(model_asset_path=model))
with vision.ImageSegmenter.create_from_options(options) as segmenter:
    for number, photo in enumerate(photos):
        rgb = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
        shape = (int(side) or rgb.shape[1], int(side) or rgb.shape[0])
        small = cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA)
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=small)
        alpha = segmenter.segment(image).confidence_masks[0].numpy_view().squeeze()
        np.save(f"{folder}/{number}.npy", cv2.resize(alpha, rgb.shape[1::-1]))
"""
REMBG = """
import sys, numpy as np
from PIL import Image
from rembg import new_session
model, folder, _, *photos = sys.argv[1:]
session = new_session("u2net_custom", model_path=model)
for number, photo in enumerate(photos):
    (mask,) = session.predict(Image.open(photo))
    np.save(f"{folder}/{number}.npy", np.float32(mask) / 255)
"""


def run_program(code, variable, model, pairs, side=0):
    """Yield the alphas of a program that runs in another environment."""
    with tempfile.TemporaryDirectory() as home:
        models = os.path.join(home, ".rembg", "models", "u2net_custom")
        os.makedirs(models)
        copy = shutil.copy(model, models)
        photos = [pair.image for pair in pairs]
        command = [os.environ[variable], "-c", code, copy, home, str(side), *photos]
        environment = dict(os.environ, HOME=home)
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
        for number in range(len(pairs)):
            yield np.load(os.path.join(home, f"{number}.npy"))


def run_opencv(model, pairs, shape):
    """Yield the alphas of OpenCV DNN, as in docs/applications.md."""
    network = cv2.dnn.readNet(model)
    for pair in pairs:
        photo = cv2.imread(pair.image)
        small = cv2.resize(photo, shape[::-1], interpolation=cv2.INTER_AREA)
        network.setInput(np.float32(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)[None]))
        yield cv2.resize(network.forward()[0], photo.shape[1::-1])


def run_shifted(model, pairs):
    """Yield the alphas of one network run with the sampling of MediaPipe on CPUs.

    Its pixel x of the network input is the pixel x * scale of the photo, which shifts the alpha.
    """
    with open_predictor(model) as predictor:
        for pair in pairs:
            photo = read_image(pair.image)
            (height, width), (rows, columns) = photo.shape[:2], predictor.network.shape
            matrix = np.float32([[columns / width, 0, 0], [0, rows / height, 0]])
            small = cv2.warpAffine(photo, matrix, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
            yield cv2.resize(predictor(small[None])[0], (width, height))


def run_mmnet(name, pairs, shape=None):
    """Yield the alphas of one network run."""
    with open_predictor(name, shape and {"shape": shape}) as predictor:
        for pair in pairs:
            yield predictor.run_image(read_image(pair.image))


def mean_scores(alphas, pairs):
    """Return the mean MAD and gradient error."""
    scores = []
    for alpha, pair in zip(alphas, pairs):
        truth = resize_bilinear(load_mask(pair.mask), SHAPE, align_corners=True)
        alpha = resize_bilinear(np.float32(alpha), SHAPE, align_corners=True)
        scores.append([METRICS[name].compute(alpha, truth) for name in MAIN_METRICS])
    return np.mean(scores, axis=0)


def export_files(name, folder):
    """Write the files of a bundled checkpoint. Return the paths for MediaPipe, OpenCV and rembg."""
    weights = load_weights(name)
    wide = load_weights(name, {"shape": rembg.SHAPE})
    paths = [os.path.join(folder, file) for file in ("m.tflite", "m.onnx", "m_rembg.onnx")]
    specs = [ExportSpec("tflite", paths[0]), ExportSpec("onnx", paths[1])]
    export(weights, specs, comparison_images(None, weights.network))
    spec = ExportSpec("onnx", paths[2], target="rembg")
    export(wide, [spec], comparison_images(None, wide.network))
    return weights.network.shape, paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("split", nargs="?", default="test")
    parser.add_argument("--models", nargs="+", default=["mmnet-persons", "mmnet-fast"])
    options = parser.parse_args()
    pairs = find_dataset(options.dataset, options.split).pairs
    rows = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            shape, (tflite, onnx, rembg_onnx) = export_files(name, folder)
            results = {"mmnet, one network run": run_mmnet(name, pairs)}
            results["mmnet, sampled as in MediaPipe"] = run_shifted(tflite, pairs)
            if os.environ.get("MMNET_MEDIAPIPE_PYTHON"):
                alphas = run_program(MEDIAPIPE, "MMNET_MEDIAPIPE_PYTHON", tflite, pairs)
                results["MediaPipe ImageSegmenter"] = alphas
                alphas = run_program(MEDIAPIPE, "MMNET_MEDIAPIPE_PYTHON", tflite, pairs, shape[0])
                results["MediaPipe ImageSegmenter, resized photo"] = alphas
            results["OpenCV DNN"] = run_opencv(onnx, pairs, shape)
            results["mmnet at 320x320, one network run"] = run_mmnet(name, pairs, rembg.SHAPE)
            if os.environ.get("MMNET_REMBG_PYTHON"):
                alphas = run_program(REMBG, "MMNET_REMBG_PYTHON", rembg_onnx, pairs)
                results["rembg"] = alphas
            for program, alphas in results.items():
                mad, gradient_error = mean_scores(alphas, pairs)
                rows.append([name, program, f"{mad:.5f}", f"{gradient_error:.5f}"])
                print(*rows[-1], sep="  ", flush=True)
    print(format_table([["weights", "program", "MAD", "gradient error"], *rows], left_columns=2))


if __name__ == "__main__":
    main()
