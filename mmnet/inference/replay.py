"""Replay the result files of msame or ais_bench as a Predictor. Needs numpy and OpenCV only.

These tools run an .om model on an Ascend chip and write one result file per image.
"""

import io
import logging
import os
import re
from typing import List, Sequence, Tuple

import numpy as np

from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor, output_to_alphas
from mmnet.io.errors import MmnetError, summarize_names
from mmnet.io.files import read_bytes
from mmnet.io.progress import progress
from mmnet.networks.network import Network

# Endings of file names after the stem, first from msame, then from ais_bench.
NAMINGS = ("_output_0.bin", "_output_0.txt", "_0.bin", "_0.npy", "_0.txt")
RESULT_FILE = re.compile(r"[^.].*_\d+\.(bin|npy|txt)$")
OUTPUT_CHANNELS = {"probabilities": 2, "alpha": 1, "logits": 2}
RESULT_TOLERANCE = 1e-3  # float16 and texts with six digits may leave 0..1 by this rounding error
SUM_TOLERANCE = 1e-2  # for the sum of two probabilities
PRECISION = "float16"  # in which an .om model computes

log = logging.getLogger(__name__)


class OutputError(MmnetError):
    """A result file that cannot be used. Files with the same ``problem`` are reported together."""

    def __init__(self, problem: str, message: str):
        super().__init__(message)
        self.problem = problem


def find_results(folders: Sequence[str]) -> str:
    """Return the folder that changed last among these folders with results and their subfolders.

    The tools name subfolders by time, but in different formats; therefore names are ignored.

    Raises:
        FileNotFoundError: no results.
    """
    candidates = []
    for folder in folders:
        if _has_results(folder):
            candidates.append(folder)
        elif os.path.isdir(folder):
            paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
            candidates += filter(_has_results, paths)
    if not candidates:
        raise FileNotFoundError(
            f"{' or '.join(folders)}: no results (STEM{', STEM'.join(NAMINGS)}); run msame or "
            "ais_bench first, or set output_dir to the folder of their results"
        )
    newest = max(candidates, key=latest_change)
    others = f", the newest of {len(candidates)}" if len(candidates) > 1 else ""
    log.info("results: %s%s", newest, others)
    return newest


def _has_results(folder):
    return os.path.isdir(folder) and any(map(RESULT_FILE.match, os.listdir(folder)))


def latest_change(folder: str) -> float:
    """Return when a folder or a file in it changed last, in seconds since the epoch."""
    files = [os.path.join(folder, name) for name in os.listdir(folder)]
    return max(map(os.path.getmtime, [folder] + files))


def open_results(
    folder: str, stems: Sequence[str], shape: Tuple[int, int], output_type: str
) -> Predictor:
    """Return a Predictor that ignores its images and returns the alphas of result files.

    It can be used for one pass over the images, in the order of ``stems``.

    Args:
        stems: file names of the images, without extension.
        shape: (H, W) of the model's input.
        output_type: a key of OUTPUT_CHANNELS.

    Raises:
        MmnetError: missing, extra or damaged results, reported together.
    """
    paths = iter(check_results(folder, stems, shape, output_type))

    def replay(images):
        return np.stack([read_alpha(next(paths), shape, output_type) for _ in images])[..., None]

    network = Network(width_multiplier=None, shape=(shape[0], shape[1]))
    return Predictor(replay, Card(network, precision=PRECISION), source=folder)


def check_results(
    folder: str, stems: Sequence[str], shape: Tuple[int, int], output_type: str
) -> List[str]:
    """Check the result file of each stem, and return their paths. As ``open_results``."""
    listing = [name for name in os.listdir(folder) if not name.startswith(".")]
    files = {name for name in listing if name.endswith((".bin", ".npy", ".txt"))}
    # All files have one naming. The file a_output_0.bin alone is ambiguous: it is the result of
    # msame for the stem a, or the result of ais_bench for a_output.
    naming = min(NAMINGS, key=lambda naming: len({stem + naming for stem in stems} ^ files))
    names = [stem + naming for stem in stems]
    existing = [name for name in names if name in files]
    problems = {
        "missing": [name for name in names if name not in files],
        "extra": sorted(files - set(names)),
    }
    for name in progress(existing, len(existing), "checking the outputs"):
        try:
            read_alpha(os.path.join(folder, name), shape, output_type)
        except OutputError as error:
            problems.setdefault(error.problem, []).append(f"{name}: {error}")
    summaries = [summarize_names(problem, found) for problem, found in problems.items() if found]
    if summaries:
        raise MmnetError(f"{folder}: {'; '.join(summaries)}")
    return [os.path.join(folder, name) for name in names]


def read_alpha(path: str, shape: Tuple[int, int], output_type: str) -> np.ndarray:
    """Read a result file as an alpha: float32 [H,W], 0..1.

    Raises:
        OutputError: a wrong number of values, or values outside the range of ``output_type``.
    """
    full_shape = list(shape) + ([2] if OUTPUT_CHANNELS[output_type] == 2 else [])
    values = _read_values(path, full_shape).astype(np.float32).reshape(full_shape)
    count = np.count_nonzero(~np.isfinite(values))
    if count:
        raise OutputError("not finite", f"{count} of {values.size} values")
    if output_type == "logits":
        return output_to_alphas(values, output_type)
    low, high = values.min(), values.max()
    if low < -RESULT_TOLERANCE or high > 1 + RESULT_TOLERANCE:
        raise OutputError("outside 0..1 (check output_type)", f"{low:g} .. {high:g}")
    if output_type == "probabilities":
        if abs(values.sum(axis=-1) - 1).max() > SUM_TOLERANCE:
            problem = "without probabilities (check output_type)"
            raise OutputError(problem, "the sum of two values is not 1")
        values = values[..., 1]
    return values.clip(0, 1)


def _read_values(path: str, shape: Sequence[int]) -> np.ndarray:
    """Read the values of a .bin, .txt or .npy file. OutputError: they do not have this shape."""
    count = int(np.prod(shape))
    try:
        data = read_bytes(path)
        if path.endswith(".npy"):
            values = np.load(io.BytesIO(data), allow_pickle=False)
        elif path.endswith(".txt"):
            values = np.array(data.split(), np.float32)
        else:
            values = np.frombuffer(data, "<f4" if len(data) == 4 * count else "<f2")
    except Exception as error:  # numpy parses the header of .npy as Python, which raises anything
        raise OutputError("unreadable", " ".join(str(error).split())) from None
    sides = [side for side in values.shape if side > 1]
    if values.dtype not in (np.float32, np.float16) or sides not in (list(shape), [count]):
        raise OutputError(
            "with a wrong size",
            f"{values.dtype} {list(values.shape)} in {len(data)} bytes, expected {count} values, "
            f"float32 or float16 {list(shape)}",
        )
    return values
