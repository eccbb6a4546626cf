"""Draws FOLDER/networks.png, and prints as a table what each network holds, takes and gives.

    python figure/networks.py FOLDER DATASET [SOURCE...]
        exports every network of NETWORKS to TFLite, measures it, scores the SOURCEs (default: the
        weights in the box) on DATASET/test, keeps the figures in FOLDER, as JSON, and draws
    python figure/networks.py FOLDER
        draws and prints those that are kept beside this file

A network without weights takes the same time with random ones; it has no scores.
"""

import json
import os
import sys
import tempfile
from typing import NamedTuple, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import ScalarFormatter  # noqa: E402

from mmnet.benchmark.models import Load, benchmark, describe_machine  # noqa: E402
from mmnet.datasets.pairs import find_dataset  # noqa: E402
from mmnet.evaluation.evaluate import evaluate  # noqa: E402
from mmnet.export.comparison import comparison_images  # noqa: E402
from mmnet.export.export import ExportSpec, export  # noqa: E402
from mmnet.inference.open import load_weights, open_predictor  # noqa: E402
from mmnet.io.files import write_json  # noqa: E402
from mmnet.networks.network import Network  # noqa: E402
from mmnet.weights.registry import DEFAULT, FAST, UNTRAINED  # noqa: E402
from mmnet.weights.source import find_source  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(HERE, "networks.json")
NETWORKS = [Network("mmnet", width) for width in (0.5, 0.75, 1.0, 1.4)]
NETWORKS += [Network("deeplab", width) for width in (0.35, 0.5, 0.75, 1.0)]
NETWORKS += [Network("deeplab_os8", 0.5), Network("modnet"), Network("modnet_easpp")]
COLOURS = {"mmnet": "#2f6ea5", "deeplab": "#b0b0b0", "deeplab_os8": "#707070", "modnet": "#d9843b"}


class Row(NamedTuple):
    """A network at its shape."""

    name: str
    width_multiplier: float
    source: str  # of its weights; "" without
    parameters: int  # without batch norm, which is folded
    multiply_adds: int  # for a picture
    bytes: int  # of its .tflite
    median_ms: float  # of its .tflite
    ratio: float  # its time / the first one's
    mad: float  # 0..1; None without weights
    gradient_error: float
    shape: Sequence[int]  # (height, width); scores are at that of the first network


def measure(data_set, sources, networks=NETWORKS, load=Load(threads=1)):
    """What networks.json holds: the Rows, and where and on what they were measured."""
    with tempfile.TemporaryDirectory() as folder:
        delivered = {}  # path -> (network, source)
        for source in sources:
            weights = load_weights(source)
            delivered[write(weights, folder, len(delivered))] = weights.network, source
        trained = [network for network, _ in delivered.values()]
        for network in networks:
            if network not in trained:
                weights = load_weights(UNTRAINED, network._asdict())
                delivered[write(weights, folder, len(delivered))] = network, ""
        measured = {row.model: row for row in benchmark(list(map(find_source, delivered)), load)}
        rows = []
        for path, (network, source) in delivered.items():
            mad = gradient_error = None
            if source:
                scores = evaluate(open_predictor(path), data_set, networks[0].shape).scores
                where = "network" if network.shape == networks[0].shape else "target"
                mad, gradient_error = (
                    float(scores[name, where].mean()) for name in ("mad", "gauss_grad")
                )
            row = measured[path]
            rows.append(
                Row(
                    network.name,
                    network.width_multiplier,
                    os.path.basename(os.path.normpath(source)) if source else "",
                    row.parameters,
                    row.multiply_adds,
                    row.bytes,
                    row.median_ms,
                    row.ratio,
                    mad,
                    gradient_error,
                    list(network.shape),
                )._asdict()
            )
    return {
        "machine": describe_machine(),
        "threads": load.threads,
        "pictures": len(data_set),
        "data_set": data_set.name,
        "shape": list(networks[0].shape),
        "rows": rows,
    }


def write(weights, folder, number):
    """The path of the .tflite of Weights."""
    path = os.path.join(folder, "%d_%s.tflite" % (number, weights.network.name))
    export(weights, [ExportSpec("tflite", path)], comparison_images(None, weights.network))
    return path


def table(measured):
    """The rows as Markdown."""
    columns = ["network", "parameters", "multiply-adds", ".tflite", "latency", "time / the first"]
    columns += ["MAD, gradient error (weights)"]
    lines = ["| %s |" % " | ".join(columns), "|" + "---|" * len(columns)]
    for row in measured["rows"]:
        scores = ""
        if row["mad"] is not None:
            scores = "%.4f, %.4f (%s)" % (row["mad"], row["gradient_error"], row["source"])
        name = name_of(row, measured)
        lines.append(
            "| %s | %.3f M | %.0f M | %.2f MB | %.1f ms | %.2f | %s |"
            % (
                name,
                row["parameters"] / 1e6,
                row["multiply_adds"] / 1e6,
                row["bytes"] / 1e6,
                row["median_ms"],
                row["ratio"],
                scores,
            )
        )
    return "\n".join(lines)


def name_of(row, measured):
    """What a row is called; its shape is said where it is not that of the others."""
    name = "%s %g" % (row["name"], row["width_multiplier"])
    return name if row["shape"] == measured["shape"] else name + " at %dx%d" % tuple(row["shape"])


def draw(measured, path):
    figure, axes = plt.subplots(figsize=(9.5, 5))
    for row in measured["rows"]:
        point = (row["median_ms"], row["parameters"] / 1e6)
        colour = COLOURS[row["name"].replace("_easpp", "")]
        filled = row["mad"] is not None
        axes.scatter(*point, s=60, edgecolors=colour, facecolors=colour if filled else "none")
        label = name_of(row, measured)
        if filled:
            label += ", MAD %.4f" % row["mad"]
        below = row["name"].endswith("_easpp")  # as fast and as large as the other form
        place = {"textcoords": "offset points", "ha": "right" if below else "left"}
        above = row["shape"] != measured["shape"]  # the same parameters as another one
        axes.annotate(label, point, (-8 if below else 7, 6 if above else -3), fontsize=8.5, **place)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.get_xaxis(), axes.get_yaxis()):
        axis.set_major_formatter(ScalarFormatter())
    axes.margins(x=0.15)
    axes.set_xlabel(
        "latency of one picture (%dx%d where nothing else is said), ms" % tuple(measured["shape"])
    )
    axes.set_ylabel("parameters, millions")
    axes.set_title(
        "The networks as TFLite float32, %d thread of %s\n"
        "(filled: with weights, MAD on %d pictures of %s/test)"
        % (
            measured["threads"],
            measured["machine"].split(", ")[0],
            measured["pictures"],
            measured["data_set"],
        ),
        fontsize=11,
    )
    axes.grid(True, color="#e8e8e8")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    kept, target = KEPT, os.path.join(sys.argv[1], "networks")
    if len(sys.argv) > 2:
        kept = target + ".json"
        tested = find_dataset(sys.argv[2], "test")
        write_json(kept, measure(tested, sys.argv[3:] or [DEFAULT, FAST]))
    with open(kept) as file:
        contents = json.load(file)
    draw(contents, target + ".png")
    print(table(contents))
