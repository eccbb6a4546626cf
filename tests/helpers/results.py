"""Made-up evaluations, and result files of msame and ais_bench."""

import csv
import os
import shutil

import numpy as np

from mmnet.datasets.pairs import Dataset, Pair
from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.records import Identity

SHAPE = (64, 64)
GOLDEN_COLUMNS = {  # published name -> column of golden/metrics.csv
    "MAD/test": "mad_256",
    "GAUSS_GRAD/test": "gauss_grad_256",
    "MAD/test/800_600": "mad_800_600",
    "GAUSS_GRAD/test/800_600": "gauss_grad_800_600",
}


def read_golden_scores(test_data, step):
    """Return published name -> scores of a published checkpoint, in the order of the stems."""
    with open(os.path.join(test_data, "golden", "metrics.csv")) as file:
        rows = [row for row in csv.DictReader(file) if int(row["checkpoint"]) == step]
    rows.sort(key=lambda row: row["stem"])
    return {tag: [float(row[name]) for row in rows] for tag, name in GOLDEN_COLUMNS.items()}


def make_identity(**fields):
    """Return an Identity. Fields that are not given have the defaults of mmnet evaluate."""
    identity = Identity(
        network={"name": "mmnet", "shape": [64, 96]},
        source="abc",
        use_ema=False,
        logit_scale=1.0,
        as_photos=False,
        second_pass=True,
        clean_alpha=True,
        refine_edges=True,
        device=None,
        target_eval_shape=[8, 6],
        all_metrics=False,
        pictures="def",
    )
    return identity._replace(**fields)


def make_evaluation(
    mads, gradient_errors=None, *, stems="abcdefgh", path="data/faces", source="a/net-5", **fields
):
    """Return an Evaluation with the same scores at both shapes, and other ``fields``."""
    pairs = [Pair(stem, f"{stem}.jpg", f"{stem}.png") for stem in stems[: len(mads)]]
    values = {"mad": np.array(mads)}
    values["gauss_grad"] = np.array(gradient_errors or [0.01] * len(mads))
    scores = {(name, place): values[name] for place in ("network", "target") for name in values}
    shapes = {"network": (64, 96), "target": (80, 60)}
    evaluation = Evaluation(Dataset(path, "test", pairs), source, 5, shapes, scores)
    return evaluation._replace(**fields)


def probabilities(alpha):
    return np.stack([1 - alpha, alpha], axis=-1)


def write_results(
    folder, alphas, naming="_output_0.bin", dtype=np.float32, to_output=probabilities
):
    """Write the result file of each stem in ``alphas`` (stem -> alpha). Return the folder."""
    folder.mkdir(parents=True)
    for stem, alpha in alphas.items():
        path, values = str(folder / (stem + naming)), to_output(alpha).astype(dtype)
        if naming.endswith(".bin"):
            values.tofile(path)
        elif naming.endswith(".npy"):
            np.save(path, values[None])
        else:
            np.savetxt(path, values.reshape(-1, 2), "%.6g")
    return str(folder)


def copy_portraits(portraits, folder, stems):
    """Copy the first portraits of a dataset under other stems. Return the folder."""
    for kind, extension in (("image", ".jpg"), ("mask", ".png")):
        (folder / "test" / kind).mkdir(parents=True)
        for index, stem in enumerate(stems):
            source = os.path.join(portraits, "test", kind, f"portrait0_{index:04d}{extension}")
            shutil.copy(source, str(folder / "test" / kind / (stem + extension)))
    return folder
