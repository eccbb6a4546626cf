"""Score the results of an .om model with the code of `mmnet evaluate`.

Requires numpy, OpenCV and Pillow only.

    python offline_infer/evaluate.py

reads ``Bin/test/manifest.json`` of datapre.py and the result files of msame or ais_bench below
``output``.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
from typing import Optional, Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # so the script runs from any folder, with nothing installed

from offline_infer import packages  # noqa: F401

# isort: split
import numpy as np

from mmnet.datasets.pairs import Dataset, Pair
from mmnet.evaluation.evaluate import evaluate
from mmnet.evaluation.report import format_evaluation, published_scores
from mmnet.inference.replay import OUTPUT_CHANNELS, find_results, latest_change, open_results
from mmnet.io.errors import MmnetError, summarize_names
from mmnet.io.files import sha256_of_file
from mmnet.io.masks import load_mask
from mmnet.io.progress import progress
from offline_infer.datapre import INPUT_CHANNELS, Manifest, Parser, read_manifest, run

DEFAULT_OUTPUTS = [
    os.path.join(folder, name)
    for folder in (ROOT, os.path.join(ROOT, "offline_infer"))
    for name in ("output", "outputs")
]

log = logging.getLogger(__name__)


def main(argv: Optional[Sequence[str]] = None) -> int:
    flags = parse_flags(argv)
    manifest = read_manifest(flags.manifest)
    dataset = find_pairs(manifest, flags.dataset_path or manifest.dataset_path)
    check_sizes(manifest, dataset)
    check_inputs(manifest, os.path.join(os.path.dirname(flags.manifest), "images"))
    folder = find_results([flags.output_dir] if flags.output_dir else DEFAULT_OUTPUTS)
    if latest_change(folder) < os.path.getmtime(flags.manifest):
        log.warning("%s is older than %s; does it belong to these images?", folder, flags.manifest)
    stems = [entry.stem for entry in manifest.pictures]
    predictor = open_results(folder, stems, manifest.shape, flags.output_type)
    shape = tuple(flags.target_eval_shape)
    evaluation = evaluate(predictor, dataset, shape, all_metrics=flags.all_metrics)
    if flags.json:
        print(json.dumps(published_scores(evaluation)))
    else:
        print(format_evaluation(evaluation))
    return 0


def find_pairs(manifest: Manifest, dataset_path: str) -> Dataset:
    """Return the original images in the order of the manifest, with their own names."""
    folder, pairs = os.path.join(dataset_path, manifest.split), []
    for entry in manifest.pictures:
        image = os.path.join(folder, "image", entry.image)
        mask = os.path.join(folder, "mask", entry.mask)
        pairs.append(Pair(os.path.splitext(entry.image)[0], image, mask))
    missing = [path for pair in pairs for path in pair.files if not os.path.isfile(path)]
    if missing:
        problem = summarize_names("original images not found", missing)
        raise FileNotFoundError(f"{problem}: give the folder of the dataset with --dataset_path")
    return Dataset(dataset_path, manifest.split, pairs)


def check_sizes(manifest: Manifest, dataset: Dataset) -> None:
    """Raise MmnetError if a mask has another size than datapre.py found."""
    changed = []
    for entry, pair in zip(manifest.pictures, dataset.pairs):
        with contextlib.suppress(MmnetError, OSError):  # evaluate names unreadable files
            if load_mask(pair.mask).shape != (entry.height, entry.width):
                changed.append(entry.mask)
    if changed:
        problem = summarize_names("masks of another size than in the manifest", changed)
        raise MmnetError(f"{dataset.path}: {problem}; run datapre.py and the inference again")


def check_inputs(manifest: Manifest, folder: str) -> None:
    """Raise MmnetError if a file <stem>.bin is not the one that datapre.py wrote."""
    changed = []
    length = np.dtype(manifest.dtype).itemsize * INPUT_CHANNELS * int(np.prod(manifest.shape))
    for entry in progress(manifest.pictures, len(manifest.pictures), "checking the inputs"):
        path = os.path.join(folder, entry.stem + ".bin")
        if not os.path.isfile(path):
            continue
        if os.path.getsize(path) != length or sha256_of_file(path) != entry.sha256:
            changed.append(entry.stem + ".bin")
    if changed:
        problem = summarize_names("inputs of another size or content than in the manifest", changed)
        raise MmnetError(f"{folder}: {problem}; run datapre.py and the inference again")


def positive_int(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number above 0")
    return int(text)


def parse_flags(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = Parser(description="Score the results of an .om model.", allow_abbrev=False)
    add = parser.add_argument
    add("--output_dir", help="folder of results, or its parent (default: the newest below output)")
    manifest = os.path.join(ROOT, "Bin", "test", "manifest.json")
    add("--manifest", default=manifest, help="manifest of datapre.py (default: %(default)s)")
    shape = "height and width of the second shape to score at (default: 800 600)"
    add("--target_eval_shape", nargs=2, default=(800, 600), type=positive_int, help=shape)
    metrics = "also SAD, MSE, Grad, Conn, mIoU and flaws at the target shape"
    add("--all_metrics", action="store_true", help=metrics)
    values = "content of the results (default: probabilities, of which channel 1 is the alpha)"
    add("--output_type", default="probabilities", choices=sorted(OUTPUT_CHANNELS), help=values)
    add("--dataset_path", help="folder of the dataset (default: the folder that datapre.py read)")
    add("--json", action="store_true", help="print JSON instead of the table")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run(main))
