"""Draw FOLDER/networks.png and print a table: size, latency and scores of each network.

    python figure/networks.py FOLDER DATASET [SOURCE...]
        export each network of NETWORKS to TFLite, measure it, score the SOURCEs (default: bundled
        weights) on DATASET/test, write the results to FOLDER as JSON, draw and print
    python figure/networks.py FOLDER
        draw and print the results in the JSON file beside this script

A network without weights is measured with random weights and has no scores.
"""

import json
import os
import sys
import tempfile
from typing import NamedTuple, Optional, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import ScalarFormatter  # noqa: E402

from mmnet.benchmark.models import Load, benchmark, summarize_machine  # noqa: E402
from mmnet.datasets.pairs import find_dataset  # noqa: E402
from mmnet.evaluation.evaluate import evaluate  # noqa: E402
from mmnet.export.comparison import comparison_images  # noqa: E402
from mmnet.export.export import ExportSpec, export  # noqa: E402
from mmnet.inference.open import load_weights, open_predictor  # noqa: E402
from mmnet.io.files import write_json  # noqa: E402
from mmnet.networks.network import Network  # noqa: E402
from mmnet.weights.registry import DEFAULT, FAST, UNTRAINED  # noqa: E402
from mmnet.weights.source import find_source  # noqa: E402

RESULTS = os.path.splitext(os.path.abspath(__file__))[0] + ".json"
NETWORKS = [Network("mmnet", width) for width in (0.5, 0.75, 1.0, 1.4)]
NETWORKS += [Network("deeplab", width) for width in (0.35, 0.5, 0.75, 1.0)]
NETWORKS += [Network("deeplab_os8", 0.5), Network("modnet"), Network("modnet_easpp")]
COLOURS = {"mmnet": "#2f6ea5", "deeplab": "#b0b0b0", "deeplab_os8": "#707070", "modnet": "#d9843b"}


class Row(NamedTuple):
    """A network with one input shape."""

    name: str
    width_multiplier: float
    source: str  # name of the weights; "" for random weights
    parameters: int  # after batch norm is folded
    multiply_adds: int  # for one image
    bytes: int  # size of the .tflite
    median_ms: float  # latency of the .tflite
    ratio: float  # latency / latency of the first network
    mad: Optional[float]  # 0..1; None without weights
    gradient_error: Optional[float]
    shape: Sequence[int]  # (height, width); scores are at the shape of the first network


def measure(dataset, sources, networks=NETWORKS, load=Load(threads=1)):
    """Measure the sources and the networks without weights. Return the content of RESULTS."""
    all_weights = [(load_weights(source), source) for source in sources]
    trained = [weights.network for weights, _ in all_weights]
    for network in networks:
        if network not in trained:
            all_weights.append((load_weights(UNTRAINED, network._asdict()), ""))
    shape = networks[0].shape
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, (weights, _) in enumerate(all_weights):
            path = os.path.join(folder, f"{number}_{weights.network.name}.tflite")
            images = comparison_images(None, weights.network)
            export(weights, [ExportSpec("tflite", path)], images)
            paths.append(path)
        measurements = list(benchmark([find_source(path) for path in paths], load))
        rows = []
        for path, (weights, source), measurement in zip(paths, all_weights, measurements):
            scores = score(path, dataset, shape) if source else (None, None)
            rows.append(make_row(weights.network, source, measurement, scores)._asdict())
    return {
        "machine": summarize_machine(),
        "threads": load.threads,
        "pictures": len(dataset),
        "data_set": dataset.name,
        "shape": list(shape),
        "rows": rows,
    }


def score(path, dataset, shape):
    """Return MAD and gradient error of a model at a shape."""
    predictor = open_predictor(path)
    scores = evaluate(predictor, dataset, shape).scores
    at = "network" if predictor.network.shape == shape else "target"
    return float(scores["mad", at].mean()), float(scores["gauss_grad", at].mean())


def make_row(network, source, measurement, scores):
    return Row(
        network.name,
        network.width_multiplier,
        os.path.basename(os.path.normpath(source)) if source else "",
        measurement.parameters,
        measurement.multiply_adds,
        measurement.bytes,
        measurement.median_ms,
        measurement.ratio,
        *scores,
        list(network.shape),
    )


def format_markdown(results):
    """Return the rows as a Markdown table."""
    columns = ["network", "parameters", "multiply-adds", ".tflite", "latency", "time / the first"]
    columns += ["MAD, gradient error (weights)"]
    lines = [columns, ["---"] * len(columns)]
    for row in results["rows"]:
        scores = ""
        if row["mad"] is not None:
            scores = f"{row['mad']:.4f}, {row['gradient_error']:.4f} ({row['source']})"
        lines.append(
            [
                format_name(row, results),
                f"{row['parameters'] / 1e6:.3f} M",
                f"{row['multiply_adds'] / 1e6:.0f} M",
                f"{row['bytes'] / 1e6:.2f} MB",
                f"{row['median_ms']:.1f} ms",
                f"{row['ratio']:.2f}",
                scores,
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def format_name(row, results):
    """Return the name of a network, with its shape if it differs from the common shape."""
    name = f"{row['name']} {row['width_multiplier']:g}"
    if row["shape"] == results["shape"]:
        return name
    height, width = row["shape"]
    return f"{name} at {height}x{width}"


def draw(results, path):
    figure, axes = plt.subplots(figsize=(9.5, 5))
    for row in results["rows"]:
        draw_row(axes, row, results)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.get_xaxis(), axes.get_yaxis()):
        axis.set_major_formatter(ScalarFormatter())
    axes.margins(x=0.15)
    height, width = results["shape"]
    axes.set_xlabel(f"latency of one image ({height}x{width} unless stated), ms")
    axes.set_ylabel("parameters, millions")
    machine, images = results["machine"].split(", ")[0], results["pictures"]
    axes.set_title(
        f"The networks as TFLite float32, {results['threads']} thread of {machine}\n"
        f"(filled: with weights, MAD on {images} images of {results['data_set']}/test)",
        fontsize=11,
    )
    axes.grid(True, color="#e8e8e8")
    axes.set_axisbelow(True)
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(False)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def draw_row(axes, row, results):
    point = (row["median_ms"], row["parameters"] / 1e6)
    colour, label = COLOURS[row["name"].replace("_easpp", "")], format_name(row, results)
    if row["mad"] is None:
        axes.scatter(*point, s=60, edgecolors=colour, facecolors="none")
    else:
        axes.scatter(*point, s=60, edgecolors=colour, facecolors=colour)
        label += f", MAD {row['mad']:.4f}"
    # Both forms of MODNet lie at one point. The same network with another shape lies at one height.
    x, alignment = (-8, "right") if row["name"].endswith("_easpp") else (7, "left")
    y = -3 if row["shape"] == results["shape"] else 6
    offset = {"textcoords": "offset points", "xytext": (x, y)}
    axes.annotate(label, point, fontsize=8.5, ha=alignment, **offset)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    results_path, target = RESULTS, os.path.join(sys.argv[1], "networks")
    if len(sys.argv) > 2:
        results_path = target + ".json"
        dataset = find_dataset(sys.argv[2], "test")
        write_json(results_path, measure(dataset, sys.argv[3:] or [DEFAULT, FAST]))
    with open(results_path) as file:
        results = json.load(file)
    draw(results, target + ".png")
    print(format_markdown(results))
