"""What msame or ais_bench wrote, as a Predictor: the alphas of an .om model, replayed.

numpy and OpenCV only.
"""

import io
import logging
import os
import re

import numpy as np

from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor, alphas_of
from mmnet.io.errors import MmnetError, summarize_names
from mmnet.io.files import read_bytes
from mmnet.io.progress import progress
from mmnet.networks.network import Network

# What follows the stem: msame's, then ais_bench's.
NAMINGS = ("_output_0.bin", "_output_0.txt", "_0.bin", "_0.npy", "_0.txt")
RESULT_FILE = re.compile(r"[^.].*_\d+\.(bin|npy|txt)$")
CHANNELS = {"probabilities": 2, "alpha": 1, "logits": 2}
ROUNDING = 1e-3  # by which fp16 and six digits may leave 0..1
SUM_ROUNDING = 1e-2  # by which two probabilities may miss 1
PRECISION = "float16"  # an .om computes in it

log = logging.getLogger(__name__)


def find_results(folders):
    """The folder with result files that changed last, among ``folders`` and the folders in them.

    A folder with result files itself is taken before the folders in it. Their names, which hold a
    time, are not looked at: the tools do not agree on how it is written.

    Raises:
        FileNotFoundError: none holds results.
    """
    found = []
    for folder in folders:
        if os.path.isdir(folder):
            inner = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
            candidates = [folder] if holds_results(folder) else inner
            found += [path for path in candidates if holds_results(path)]
    if not found:
        raise FileNotFoundError(
            "no results (STEM%s, ...) in %s: run msame or ais_bench, or say where they are with "
            "--output_dir" % (", STEM".join(NAMINGS), " or ".join(folders))
        )
    newest = max(found, key=latest_change)
    log.info("results: %s%s", newest, ", the newest of %d" % len(found) if len(found) > 1 else "")
    return newest


def holds_results(folder):
    return os.path.isdir(folder) and any(RESULT_FILE.match(name) for name in os.listdir(folder))


def latest_change(folder):
    """When the folder or a file in it changed last, in seconds since the epoch.

    Writing over a file leaves the folder's own time alone.
    """
    inner = [os.path.join(folder, name) for name in os.listdir(folder)]
    return max(map(os.path.getmtime, [folder] + inner))


def check_outputs(folder, stems, shape, output_type):
    """Find the result file of every stem and decode each once.

    Returns:
        list of paths, in the order of ``stems``.

    Raises:
        ValueError: missing, extra or damaged results, all of them in one message.
    """
    present = {
        name
        for name in os.listdir(folder)
        if name.endswith((".bin", ".npy", ".txt")) and not name.startswith(".")
    }
    # One naming for the whole folder: a_output_0.bin is what msame makes of `a`, or ais_bench of
    # `a_output`.
    naming = min(NAMINGS, key=lambda naming: len({stem + naming for stem in stems} ^ present))
    names = [stem + naming for stem in stems]
    problems = {
        "missing": [name for name in names if name not in present],
        "extra": sorted(present - set(names)),
    }
    there = [name for name in names if name in present]
    for name in progress(there, len(there), "checking the outputs"):
        try:
            decode(os.path.join(folder, name), shape, output_type)
        except OutputError as error:
            problems.setdefault(error.problem, []).append("%s: %s" % (name, error))
    if any(problems.values()):
        parts = [summarize_names(*problem) for problem in problems.items() if problem[1]]
        raise MmnetError("%s: %s" % (folder, "; ".join(parts)))
    return [os.path.join(folder, name) for name in names]


class OutputError(ValueError):
    """A result file that cannot be used; ``problem`` says of what kind it is."""

    def __init__(self, problem, message):
        super().__init__(message)
        self.problem = problem


def decode(path, shape, output_type):
    """Read a result file as alpha: float32 [H,W] 0..1.

    Args:
        shape: (H, W).

    Raises:
        OutputError: not the right number of values, or values that ``output_type`` does not have.
    """
    full_shape = list(shape) + [2] * (CHANNELS[output_type] == 2)
    values = read_values(path, full_shape).astype(np.float32).reshape(full_shape)
    not_finite = np.count_nonzero(~np.isfinite(values))
    if not_finite:
        raise OutputError("not finite", "%d of %d values" % (not_finite, values.size))
    if output_type == "logits":
        return alphas_of(values, output_type)
    low, high = values.min(), values.max()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise OutputError("outside 0..1 (is --output_type right?)", "%g .. %g" % (low, high))
    if output_type == "probabilities":
        if abs(values.sum(axis=-1) - 1).max() > SUM_ROUNDING:
            raise OutputError(
                "no probabilities (is --output_type right?)", "the two of a pixel do not sum to 1"
            )
        values = values[..., 1]
    return values.clip(0, 1)


def read_values(path, shape):
    """The values of a .bin, .txt or .npy file; OutputError where they are not of ``shape``."""
    number = int(np.prod(shape))
    try:
        data = read_bytes(path)
    except (OSError, ValueError) as error:
        raise OutputError("unreadable", str(error)) from None
    if path.endswith(".bin"):
        if len(data) not in (4 * number, 2 * number):
            raise OutputError(
                "of a wrong size",
                "%d bytes, not %d (float32) or %d (float16)" % (len(data), 4 * number, 2 * number),
            )
        return np.frombuffer(data, "<f4" if len(data) == 4 * number else "<f2")
    try:
        if path.endswith(".npy"):
            values = np.load(io.BytesIO(data), allow_pickle=False)
        else:
            values = np.array(data.split(), np.float32)
    except (
        Exception
    ) as error:  # numpy parses the header of .npy as Python: TokenError, TypeError, ...
        raise OutputError("unreadable", " ".join(str(error).split())) from None
    sides = [side for side in values.shape if side > 1]
    if values.dtype not in (np.float32, np.float16) or sides not in (list(shape), [number]):
        raise OutputError(
            "of a wrong size",
            "%s %s (file of %d bytes), not %d values of float32 or float16 %s"
            % (values.dtype, list(values.shape), len(data), number, list(shape)),
        )
    return values


def open_results(folder, stems, shape, output_type):
    """A Predictor that does not look at its images: it hands out the alphas of result files.

    It is good for one pass over the pictures, in the order of ``stems``.

    Args:
        folder: with the result files themselves, as find_results gives it. shape: (H, W).

    Raises:
        ValueError: missing, extra or damaged results, all of them in one message.
    """
    following = iter(check_outputs(folder, stems, shape, output_type))

    def replay(images):
        return np.stack([decode(next(following), shape, output_type) for _ in images])[..., None]

    network = Network(width_multiplier=None, shape=tuple(shape))
    return Predictor(replay, Card(network, precision=PRECISION), source=folder)
