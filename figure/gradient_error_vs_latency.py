"""Draws FOLDER/gradient_error_vs_latency.png: the paper's table beside what was measured.

    python figure/gradient_error_vs_latency.py FOLDER DATASET MODEL...
        measures models on DATASET/test, keeps the figures in FOLDER, as JSON, and draws
    python figure/gradient_error_vs_latency.py FOLDER
        draws those that are kept beside this file

scripts/draw_figures.sh exports the models and calls it.
"""

import json
import os
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import ScalarFormatter  # noqa: E402

from mmnet.benchmark.models import Load, benchmark, describe_machine  # noqa: E402
from mmnet.datasets.pairs import find_dataset  # noqa: E402
from mmnet.evaluation.evaluate import evaluate  # noqa: E402
from mmnet.inference.open import open_predictor  # noqa: E402
from mmnet.io.files import write_json  # noqa: E402
from mmnet.weights.source import find_source  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(HERE, "gradient_error_vs_latency.json")
SHAPE = (800, 600)  # the paper scores at this height and width

# Table 3 of arXiv 1904.03816: model -> (latency in ms on a Snapdragon 820, gradient error x 1000).
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


def measure(dataset_path, paths, load=Load(threads=1)):
    """Measure the latency and the gradient error of every model.

    Args:
        load: how the models are run for their latency.

    Returns:
        dict: what gradient_error_vs_latency.json holds, with the name of the machine.
    """
    data_set = find_dataset(dataset_path, "test")
    rows = {row.model: row for row in benchmark(list(map(find_source, paths)), load)}
    models = []
    for path in paths:
        scores = evaluate(open_predictor(path), data_set, SHAPE).scores
        models.append(
            {
                "model": os.path.basename(os.path.normpath(path)),
                "median_ms": rows[path].median_ms,
                "p90_ms": rows[path].p90_ms,
                "gradient_error": float(scores["gauss_grad", "target"].mean()),
            }
        )
    return {
        "machine": describe_machine(),
        "threads": load.threads,
        "pictures": len(data_set),
        "data_set": data_set.name,
        "models": models,
    }


def draw(measured, path):
    figure, axes = plt.subplots(figsize=(9.5, 5.6))
    for points, label, style in (
        (PAPER_MMNET, "paper: MMNet", {"marker": "s", "color": "#d9843b"}),
        (PAPER_DEEPLAB, "paper: Mobile DeepLabv3", {"marker": "^", "color": "#b0b0b0"}),
    ):
        axes.scatter(
            *zip(*points.values()),
            facecolors="none",
            edgecolors=style["color"],
            marker=style["marker"],
            s=48,
            linewidths=1.5,
            label=label + " (Snapdragon 820, the authors' kernels, DAPM test set)",
        )
        for name, (x, y) in points.items():
            axes.annotate(
                name, (x, y), (6, 3), textcoords="offset points", fontsize=8, color="#666666"
            )
    models = sorted(measured["models"], key=lambda model: model["median_ms"])
    ours = [(model["median_ms"], 1e3 * model["gradient_error"]) for model in models]
    label = "measured: MMNet 1.0 (%s, 1 thread; %d portraits of %s/test)" % (
        measured["machine"].split(", Linux")[0],
        measured["pictures"],
        measured["data_set"],
    )
    axes.scatter(*zip(*ours), color="#2f6ea5", s=48, zorder=3, label=label)
    # Neighbours can be close, so names go up and down in turn.
    for index, (model, point) in enumerate(zip(models, ours)):
        axes.annotate(
            model["model"],
            point,
            (3, -6 if index % 2 else 6),
            textcoords="offset points",
            fontsize=8.5,
            color="#2f6ea5",
            rotation=-35 if index % 2 else 35,
            rotation_mode="anchor",
            va="top" if index % 2 else "bottom",
        )
    axes.set_xscale("log")
    axes.set_xticks([5, 10, 20, 50, 100, 150])
    axes.get_xaxis().set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.set_xlabel("latency of one picture, ms")
    axes.set_ylabel("gradient error x 1000 at 800 x 600")
    axes.set_title(
        "Gradient error against latency\n"
        "(machines and test sets differ: compare within a series only)",
        fontsize=11,
    )
    axes.grid(True, color="#e8e8e8")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), fontsize=8.5, frameon=False)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) in (1, 3):
        sys.exit(__doc__)
    kept, target = KEPT, os.path.join(sys.argv[1], "gradient_error_vs_latency")
    if len(sys.argv) > 3:
        kept = target + ".json"
        write_json(kept, measure(sys.argv[2], sys.argv[3:]))
    with open(kept) as file:
        draw(json.load(file), target + ".png")
