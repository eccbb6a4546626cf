"""Draw FOLDER/gradient_error_vs_latency.png: the paper's models and measured models.

    python figure/gradient_error_vs_latency.py FOLDER DATASET MODEL...
        measure models on DATASET/test, write the results to FOLDER as JSON, and draw
    python figure/gradient_error_vs_latency.py FOLDER
        draw the results in the JSON file beside this script

scripts/draw_figures.sh exports the models and runs this script.
"""

import json
import os
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import ScalarFormatter  # noqa: E402

from mmnet.benchmark.models import Load, benchmark, summarize_machine  # noqa: E402
from mmnet.datasets.pairs import find_dataset  # noqa: E402
from mmnet.evaluation.evaluate import evaluate  # noqa: E402
from mmnet.inference.open import open_predictor  # noqa: E402
from mmnet.io.files import write_json  # noqa: E402
from mmnet.weights.source import find_source  # noqa: E402

RESULTS = os.path.splitext(os.path.abspath(__file__))[0] + ".json"
SHAPE = (800, 600)  # (height, width) at which the paper scores

# arXiv 1904.03816, table 3: model -> (latency in ms on a Snapdragon 820, gradient error x 1000).
PAPER_MMNET = {
    "1.0": (129, 2.93),
    "0.75": (90, 2.99),
    "0.5": (61, 3.17),
    "1.4, 128": (55, 3.38),
    "1.0, 128": (32, 3.44),
    "1.0, 8 bit": (98, 2.88),
}
PAPER_DEEPLAB = {
    "OS16 0.75": (146, 3.25),
    "OS16 0.5": (82, 3.36),
    "OS8 0.75, 128": (113, 3.53),
    "OS8 0.5, 128": (66, 3.61),
    "OS16 1.0, 128": (53, 3.68),
    "OS8 0.35, 128": (44, 3.72),
    "OS16 0.75, 128": (38, 3.77),
}
BLUE, ORANGE, GREY, DARK_GREY = "#2f6ea5", "#d9843b", "#b0b0b0", "#666666"
SMALL = 8.5  # font size


def measure(dataset_path, paths, load=Load(threads=1)):
    """Measure latency and gradient error of each model. Return the content of RESULTS."""
    dataset = find_dataset(dataset_path, "test")
    rows = benchmark([find_source(path) for path in paths], load)
    models = []
    for path, row in zip(paths, list(rows)):
        scores = evaluate(open_predictor(path), dataset, SHAPE).scores
        models.append(
            {
                "model": os.path.basename(os.path.normpath(path)),
                "median_ms": row.median_ms,
                "p90_ms": row.p90_ms,
                "gradient_error": float(scores["gauss_grad", "target"].mean()),
            }
        )
    return {
        "machine": summarize_machine(),
        "threads": load.threads,
        "pictures": len(dataset),
        "data_set": dataset.name,
        "models": models,
    }


def draw(results, path):
    figure, axes = plt.subplots(figsize=(9.5, 5.6))
    draw_paper(axes, PAPER_MMNET, "paper: MMNet", marker="s", colour=ORANGE)
    draw_paper(axes, PAPER_DEEPLAB, "paper: Mobile DeepLabv3", marker="^", colour=GREY)
    draw_measured(axes, results)
    axes.set_xscale("log")
    axes.set_xticks([5, 10, 20, 50, 100, 150])
    axes.get_xaxis().set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.set_xlabel("latency of one image, ms")
    axes.set_ylabel("gradient error x 1000 at 800 x 600")
    axes.set_title(
        "Gradient error against latency\n"
        "(machines and test sets differ: compare within a series only)",
        fontsize=11,
    )
    axes.grid(True, color="#e8e8e8")
    axes.set_axisbelow(True)
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(False)
    legend = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "frameon": False}
    axes.legend(fontsize=SMALL, **legend)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def draw_paper(axes, points, label, *, marker, colour):
    label += " (Snapdragon 820, the authors' kernels, DAPM test set)"
    style = {"facecolors": "none", "edgecolors": colour, "s": 48, "linewidths": 1.5}
    axes.scatter(*zip(*points.values()), marker=marker, label=label, **style)
    for name, point in points.items():
        offset = {"textcoords": "offset points", "xytext": (6, 3)}
        axes.annotate(name, point, fontsize=8, color=DARK_GREY, **offset)


def draw_measured(axes, results):
    machine = results["machine"].split(", Linux")[0]
    images = f"{results['pictures']} portraits of {results['data_set']}/test"
    label = f"measured: MMNet 1.0 ({machine}, 1 thread; {images})"
    models = sorted(results["models"], key=lambda model: model["median_ms"])
    points = [(model["median_ms"], 1e3 * model["gradient_error"]) for model in models]
    axes.scatter(*zip(*points), color=BLUE, s=48, zorder=3, label=label)
    # Points may be close together, so names alternate between above and below.
    for index, (model, point) in enumerate(zip(models, points)):
        side = -1 if index % 2 else 1
        axes.annotate(
            model["model"],
            point,
            (3, 6 * side),
            textcoords="offset points",
            fontsize=SMALL,
            color=BLUE,
            rotation=35 * side,
            rotation_mode="anchor",
            va="bottom" if side > 0 else "top",
        )


if __name__ == "__main__":
    if len(sys.argv) in (1, 3):
        sys.exit(__doc__)
    results_path, target = RESULTS, os.path.join(sys.argv[1], "gradient_error_vs_latency")
    if len(sys.argv) > 3:
        results_path = target + ".json"
        write_json(results_path, measure(sys.argv[2], sys.argv[3:]))
    with open(results_path) as file:
        draw(json.load(file), target + ".png")
