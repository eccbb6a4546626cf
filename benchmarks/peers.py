"""Compare models of other projects with the bundled weights under equal conditions.

python benchmarks/peers.py DATASET [MODEL ...] [--output FOLDER]

Each network is scored alone (one run at its own size) and in the photo path of mmnet, at 256x256
and at the size of the dataset, with paired intervals. The latency is measured in alternation with 1
and 2 threads. The folder receives peers.md, peers.json and peers.png. MODELs need a card:

    npm pack @mediapipe/selfie_segmentation && tar xf mediapipe-selfie_segmentation-*.tgz
    mmnet card package/selfie_segmentation.tflite --like mediapipe-selfie
    mmnet card package/selfie_segmentation_landscape.tflite --like mediapipe-landscape

The wheel `mediapipe` of PyPI contains both files too, in mediapipe/modules/selfie_segmentation/.
"""

import argparse
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mmnet.benchmark.models import Load, benchmark, summarize_machine
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.evaluation.comparison import compare_scores
from mmnet.evaluation.metrics import METRICS
from mmnet.inference.open import open_predictor
from mmnet.io.files import short_names, write_json, write_text
from mmnet.io.images import Photo
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear
from mmnet.matting.photo import matte_photo
from mmnet.weights.registry import DEFAULT, FAST
from mmnet.weights.source import find_source

SIZE = 256  # pixels of the side at which all networks are compared
PATHS = {  # name -> (image, predictor) -> alpha
    "network": lambda image, predictor: predictor.run_image(image),
    "photo": lambda image, predictor: matte_photo(Photo(image), predictor),
}
COLUMNS = ("mad_256", "gradient_error_256", "mad", "gradient_error", "iou")


def score_model(source, dataset, paths):
    """Return path -> column -> one score per pair of the dataset. ``paths``: keys of PATHS."""
    scores = {name: {column: [] for column in COLUMNS} for name in paths}
    with open_predictor(source) as predictor:
        for pair in progress(dataset.pairs, len(dataset), f"scoring {source}"):
            image, mask = read_pair(pair)
            small_truth = resize_bilinear(mask, (SIZE, SIZE), align_corners=True)
            truth = mask.astype(np.float32)
            for name in paths:
                alpha = PATHS[name](image, predictor)
                small = resize_bilinear(alpha, (SIZE, SIZE), align_corners=True)
                alpha = resize_bilinear(alpha, truth.shape, align_corners=True)
                row = (
                    METRICS["mad"].compute(small, small_truth),
                    METRICS["gauss_grad"].compute(small, small_truth),
                    METRICS["mad"].compute(alpha, truth),
                    METRICS["gauss_grad"].compute(alpha, truth),
                    compute_iou(alpha, truth),
                )
                for column, value in zip(COLUMNS, row):
                    scores[name][column].append(value)
    return scores


def compute_iou(alpha, truth):
    """Return intersection / union of the people, 0..1. A pixel belongs to one from .5 on."""
    person, true_person = alpha >= 0.5, truth >= 0.5
    union = np.count_nonzero(person | true_person)
    return np.count_nonzero(person & true_person) / union if union else 1.0


def compare(scores):
    """Return a record per model and path, with paired differences from the first model."""
    reference = next(iter(scores.values()))
    rows = []
    for model, paths in scores.items():
        for path, columns in paths.items():
            row = {"model": model, "path": path}
            for column, values in columns.items():
                paired = compare_scores(np.array(values), np.array(reference[path][column]))
                row[column] = paired._asdict()
            rows.append(row)
    return rows


def measure(sources, names, threads, seconds):
    """Return a record per model and number of threads."""
    rows = []
    for number in threads:
        load = Load(threads=number, seconds=seconds)
        for name, row in zip(names, benchmark(list(map(find_source, sources)), load)):
            rows.append(dict(row._asdict(), model=name))
    return rows


def format_page(result):
    """Return the tables as Markdown."""
    lines = [
        f"{result['date']}, {result['machine']}: `{result['command']}`, {result['dataset']} "
        f"({result['images']} images). Differences from {result['scores'][0]['model']} on the same "
        "path, with the 95 % interval.",
        "",
        "| model | path | MAD, gradient error at 256x256 | difference of MAD | difference of "
        "gradient error | MAD, gradient error at full size | IoU |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["scores"]:
        cells = [row["model"], row["path"]]
        cells.append(f"{fraction(row['mad_256'])}, {fraction(row['gradient_error_256'])}")
        cells += [difference(row["mad_256"]), difference(row["gradient_error_256"])]
        cells.append(f"{fraction(row['mad'])}, {fraction(row['gradient_error'])}")
        cells.append(f"{row['iou']['mean']:.3f}".lstrip("0"))
        lines.append(f"| {' | '.join(cells)} |")
    if result["latency"]:
        lines += ["", "| model | threads | median | time / first (10 to 90 %) | bytes |"]
        lines[-1] += " parameters | multiply-adds |"
        lines.append("|---|---|---|---|---|---|---|")
    for row in result["latency"]:
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        cells = [row["model"], str(row["threads"]), f"{row['median_ms']:.2f} ms", ratio]
        for name in ("bytes", "parameters", "multiply_adds"):
            cells.append("" if row[name] is None else f"{row[name]:,}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def fraction(score):
    return f"{score['mean']:.4f}".lstrip("0")


def difference(score):
    low, high = score["interval"]
    return f"{score['difference']:+.4f} ({low:+.4f} to {high:+.4f})"


def draw(result, path):
    """Draw the MAD at 256x256 against the latency on one thread."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    latency = {row["model"]: row["median_ms"] for row in result["latency"] if row["threads"] == 1}
    for path_name, marker in (("network", "o"), ("photo", "s")):
        rows = [row for row in result["scores"] if row["path"] == path_name]
        if not rows:
            continue
        points = [(latency[row["model"]], row["mad_256"]["mean"]) for row in rows]
        axes.scatter(*zip(*points), marker=marker, label=f"{path_name} path")
        if path_name == "network":
            for row, point in zip(rows, points):  # names grow towards the middle
                side = "left" if 2 * point[0] < max(latency.values()) else "right"
                axes.annotate(
                    row["model"], point, (0, 6), textcoords="offset points", fontsize=7, ha=side
                )
    axes.margins(x=0.1, y=0.15)
    axes.set_xlabel("latency of one network run, 1 thread (ms)")
    axes.set_ylabel(f"MAD at {SIZE}x{SIZE}")
    axes.set_title(result["dataset"])
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="folder with SPLIT/image and SPLIT/mask")
    parser.add_argument("models", nargs="*", help='models with a card; "A + B": mean of logits')
    parser.add_argument("--split", default="test")
    parser.add_argument("--output", default="peers", help="folder of the results")
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS))
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=5, help="measurement time per model")
    options = parser.parse_args()
    dataset = find_dataset(options.dataset, options.split)
    sources = [DEFAULT, FAST, *options.models]
    names = short_names(sources)
    scores = {
        name: score_model(source, dataset, options.paths) for name, source in zip(names, sources)
    }
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": summarize_machine(),
        "command": " ".join(["python benchmarks/peers.py", "DATASET", *names[2:]]),
        "dataset": f"{dataset.name}/{options.split}",
        "images": len(dataset),
        "scores": compare(scores),
        "latency": measure(sources, names, options.threads, options.seconds),
    }
    os.makedirs(options.output, exist_ok=True)
    write_json(os.path.join(options.output, "peers.json"), result)
    page = format_page(result)
    write_text(os.path.join(options.output, "peers.md"), page)
    if 1 in options.threads:
        draw(result, os.path.join(options.output, "peers.png"))
    print(page, end="")


if __name__ == "__main__":
    main()
