"""Bundle a checkpoint as weights of the package: python scripts/bundle_weights.py NAME CHECKPOINT.

It writes the checkpoint, the .tflite and .onnx files with their cards for each number of views of
the entry, and updates the entry in mmnet/weights/registry.json. --views adds numbers of views. The
README.md in the folder, the description and the scores are written by hand.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mmnet.export.comparison import comparison_images
from mmnet.export.export import ExportSpec, export
from mmnet.inference.open import load_weights, with_view_count
from mmnet.io.checkpoint_files import copy_checkpoint, files_of
from mmnet.io.files import read_json, sha256_of_file, write_text
from mmnet.weights.registry import REGISTRY, find_entry, weights_folder

FORMATS = {"tflite": "_float32.tflite", "onnx": ".onnx"}  # the fastest first


def write_models(checkpoint, count):
    """Write the model files with ``count`` views. Return their views and names."""
    weights = load_weights(checkpoint)
    network = with_view_count(weights.network, count)
    stem = network.name + (f"_{count}views" if network.views else "")
    specs = [ExportSpec(format, stem + end, views=network.views) for format, end in FORMATS.items()]
    images = comparison_images(None, network)
    export(weights._replace(network=network), specs, images)
    return network.views, [spec.path for spec in specs]


def describe_file(name):
    """Return the record of a file in registry.json."""
    return {"name": name, "bytes": os.path.getsize(name), "sha256": sha256_of_file(name)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="bundled weights, for example mmnet-persons")
    parser.add_argument(
        "checkpoint",
        help="checkpoint without slots of the optimizer (weights average, "
        "calibrate), or the name itself",
    )
    parser.add_argument("--views", type=int, nargs="*", help="numbers of views besides 1")
    options = parser.parse_args()
    records, folder = read_json(REGISTRY), weights_folder(options.name)
    record, weights = records[options.name], load_weights(options.checkpoint)
    counts = options.views
    if counts is None:
        counts = [int(count) for count in find_entry(options.name).views]
    checkpoint = os.path.basename(weights.source)
    os.chdir(folder)  # cards contain paths relative to the folder
    if os.path.realpath(weights.source) != os.path.realpath(checkpoint):
        copy_checkpoint(weights.source, ".")
    record["checkpoint"], record["models"] = checkpoint, write_models(checkpoint, 1)[1]
    record["views"] = {}
    for count in counts:
        views, models = write_models(checkpoint, count)
        record["views"][str(count)] = {"views": views, "models": models}
    models = [*record["models"], *(m for v in record["views"].values() for m in v["models"])]
    names = sorted(files_of(checkpoint))
    names += ["config.yaml"] * os.path.exists("config.yaml")
    record["files"] = [describe_file(name) for name in (*names, *models)]
    write_text(REGISTRY, json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    listed = {*names, *models, *(f"{model}.json" for model in models), "README.md"}
    print("not part of the entry:", ", ".join(sorted({*os.listdir(".")} - listed)) or "none")


if __name__ == "__main__":
    main()
