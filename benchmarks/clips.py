"""Score and time `mmnet predict` on clips: python benchmarks/clips.py DATASET --packages OLD NEW.

A clip instead of DATASET: measure frames/s and CPU time of the outputs .webm (alpha) and .mp4.
The dataset contains clips of `mmnet synthesize --frames N`, or photos over which a camera moves.
The packages (folders that contain mmnet/) take turns. MAD and dtSSD are means over the frames of a
clip at its full size. The CPU time contains the start.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import av
import cv2
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mmnet.datasets.pairs import find_dataset, pick_evenly
from mmnet.evaluation.comparison import compare_scores
from mmnet.evaluation.metrics import dtssd, mad
from mmnet.io.images import read_image
from mmnet.io.masks import load_mask
from mmnet.io.tables import format_table

LONGER_SIDE = 1280  # pixels of the clips over photos
FRAME_RATE = 25
ZOOM = 1.15  # sides of the photo, in sides of the frames
SPEEDS = (1.3, 0.9, 1.1, 0.8)  # radians per second: zoom, rotation, x, y


def main(args):
    if os.path.isfile(args.dataset):
        print(format_table(list(time_packages(args))))
        return
    clips = read_clips(args.dataset, args.split, args.clips, args.frames)
    scores = {package: [] for package in args.packages}
    seconds = dict.fromkeys(args.packages, 0.0)
    for number, (images, truths) in enumerate(clips):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "clip.mp4")
            write_clip(path, images)
            for package in args.packages:
                start = children_seconds()
                alphas = predict(package, path, folder, args.flags)
                seconds[package] += children_seconds() - start
                scores[package].append(score(alphas, truths))
        print(number, *(f"{np.round(rows[-1], 5)}" for rows in scores.values()), flush=True)
    print(format_table(list(make_table(scores, seconds, args))))


def read_clips(path, split, number, frames):
    """Yield (images, truths) per clip."""
    pairs = find_dataset(path, split).pairs
    groups = itertools.groupby(pairs, key=lambda pair: pair.stem.rpartition("_")[0])
    groups = [list(group) for _, group in groups]
    if max(map(len, groups)) > 1 and pairs[0].stem.startswith("clip"):
        for group in groups[:number]:
            group = group[:frames]
            yield [read_image(pair.image) for pair in group], [load_mask(p.mask) for p in group]
        return
    for seed, pair in enumerate(pick_evenly(pairs, number)):
        yield pan(read_image(pair.image), load_mask(pair.mask), frames, seed)


def pan(image, truth, frames, seed):
    """Return frames and truths: a camera moves over a photo."""
    random = np.random.RandomState(seed)
    phases = random.uniform(0, 2 * np.pi, 4)
    image_size = np.array(image.shape[1::-1])
    size = 2 * np.rint(image_size * LONGER_SIDE / 2 / max(image_size)).astype(int)
    results = [], []
    for frame in range(frames):
        zoom, angle, *offset = np.sin(np.multiply(SPEEDS, frame / FRAME_RATE) + phases)
        scale = ZOOM * (1 + 0.06 * zoom) * size[0] / image_size[0]
        matrix = cv2.getRotationMatrix2D(tuple(map(float, image_size / 2)), 2 * angle, scale)
        matrix[:, 2] += size / 2 - image_size / 2
        matrix[:, 2] += 0.35 * (image_size * scale - size) * offset
        moved = [
            cv2.warpAffine(
                array, matrix, tuple(map(int, size)), flags=flags, borderMode=cv2.BORDER_REFLECT_101
            )
            for array, flags in ((image, cv2.INTER_CUBIC), (truth, cv2.INTER_LINEAR))
        ]
        noise = random.normal(0, 3, moved[0].shape)
        results[0].append(np.clip(moved[0] + noise, 0, 255).astype(np.uint8))
        results[1].append(moved[1])
    return results


def write_clip(path, images):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "18", "preset": "veryfast"}
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def predict(package, path, folder, flags):
    """Return the alphas that the command of a package writes for a clip."""
    pattern = os.path.join(folder, f"{time.monotonic_ns()}_%05d.png")
    command = [sys.executable, "-m", "mmnet", "predict", path, "--output", pattern]
    command += ["--write", "alpha", *flags]
    environment = dict(os.environ, PYTHONPATH=os.path.abspath(package))
    subprocess.run(command, check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    numbers = itertools.takewhile(lambda n: os.path.exists(pattern % n), itertools.count(1))
    return [load_mask(pattern % number) for number in numbers]


def time_packages(args):
    """Yield the rows: medians over the turns, and the ratio to the first package per turn."""
    yield ["output", "package", "frames/s", "ratio", "CPU ms per frame, with start"]
    for output in (["o.webm"], ["o.mp4", "--background", "#008080"]):
        rates = {package: [] for package in args.packages}
        times = {package: [] for package in args.packages}
        for package in args.packages * args.turns:
            start = children_seconds()
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "mmnet", "predict", os.path.abspath(args.dataset)]
                command += ["--output", *output, "--json", *args.flags]
                environment = dict(os.environ, PYTHONPATH=os.path.abspath(package))
                result = subprocess.run(
                    command, check=True, env=environment, cwd=folder, stdout=subprocess.PIPE
                )
            record = json.loads(result.stdout)
            rates[package].append(record["frames_per_second"])
            times[package].append(1e3 * (children_seconds() - start) / record["frames"])
        for package in args.packages:
            rate, ratio, milliseconds = np.median(
                [
                    rates[package],
                    np.divide(rates[package], rates[args.packages[0]]),
                    times[package],
                ],
                axis=1,
            )
            yield [output[0], package, f"{rate:.1f}", f"{ratio:.2f}", f"{milliseconds:.0f}"]


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def score(alphas, truths):
    """Return the mean MAD and dtSSD of a clip."""
    changes = map(dtssd, zip(alphas, alphas[1:]), zip(truths, truths[1:]))
    return float(np.mean(list(map(mad, alphas, truths)))), float(np.mean(list(changes)))


def make_table(scores, seconds, args):
    """Yield the rows: mean scores, and the paired differences from the first package."""
    yield ["package", "MAD", "dtSSD", "MAD - first (95 %)", "dtSSD - first (95 %)", "CPU s"]
    reference = np.array(scores[args.packages[0]])
    for package, rows in scores.items():
        values = np.array(rows)
        differences = []
        for column in range(2):
            paired = compare_scores(values[:, column], reference[:, column])
            low, high = paired.interval
            differences.append(f"{paired.difference:+.5f} ({low:+.5f} to {high:+.5f})")
        means = [f"{mean:.5f}" for mean in values.mean(axis=0)]
        yield [package, *means, *differences, f"{seconds[package]:.0f}"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="folder with SPLIT/image and SPLIT/mask, or a clip")
    parser.add_argument("--packages", nargs="+", required=True, help="folders that contain mmnet/")
    parser.add_argument("--split", default="test")
    parser.add_argument("--clips", type=int, default=20, help="number of clips")
    parser.add_argument("--frames", type=int, default=25, help="frames per clip")
    parser.add_argument("--turns", type=int, default=5, help="for a clip")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="for predict")
    main(parser.parse_args())
