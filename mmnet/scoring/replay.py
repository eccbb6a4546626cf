"""What msame or ais_bench wrote, as a ``Predict``: the alphas of an .om model, replayed. No TensorFlow."""
import logging
import os
import re

import numpy as np

from mmnet.data.pairs import count
from mmnet.progress import progress

NAMINGS = ("_output_0.bin", "_output_0.txt", "_0.bin", "_0.npy", "_0.txt")  # after the stem: msame's, then ais_bench's
RESULT_FILE = re.compile(r"[^.].*_\d+\.(bin|npy|txt)$")
CHANNELS = {"probabilities": 2, "alpha": 1, "logits": 2}
ROUNDING = 1e-3  # by which fp16 and six digits may leave 0..1
SUM_ROUNDING = 1e-2  # by which two probabilities may miss 1

log = logging.getLogger(__name__)


def find_results(folders):
    """The folder that holds the result files: of ``folders`` and the folders in them, the one that changed last.

    A folder with result files itself is taken before the folders in it. Their names, which hold a time, are not looked
    at: the tools do not agree on how it is written.

    Raises:
        FileNotFoundError: none holds results.
    """
    found = []
    for folder in folders:
        if os.path.isdir(folder):
            inner = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
            found += [folder] if holds_results(folder) else [path for path in inner if holds_results(path)]
    if not found:
        raise FileNotFoundError("no results (STEM%s, ...) in %s: run msame or ais_bench, or say where they are with "
                                "--output_dir" % (", STEM".join(NAMINGS), " or ".join(folders)))
    newest = max(found, key=latest_change)
    log.info("results: %s%s", newest, ", the newest of %d" % len(found) if len(found) > 1 else "")
    return newest


def holds_results(folder):
    return os.path.isdir(folder) and any(RESULT_FILE.match(name) for name in os.listdir(folder))


def latest_change(folder):
    """When the folder or a file in it changed last: writing over a file leaves the folder's own time alone."""
    return max(map(os.path.getmtime, [folder] + [os.path.join(folder, name) for name in os.listdir(folder)]))


def check_outputs(folder, stems, size, output_type):
    """Find the result file of every stem and decode each once.

    Returns:
        list of paths, in the order of ``stems``.

    Raises:
        ValueError: missing, extra or damaged results, all of them in one message.
    """
    present = {name for name in os.listdir(folder)
               if name.endswith((".bin", ".npy", ".txt")) and not name.startswith(".")}
    # One naming for the whole folder: a_output_0.bin is msame's of `a`, or ais_bench's of `a_output`.
    naming = min(NAMINGS, key=lambda naming: len({stem + naming for stem in stems} ^ present))
    names = [stem + naming for stem in stems]
    problems = {"missing": [name for name in names if name not in present], "extra": sorted(present - set(names))}
    there = [name for name in names if name in present]
    for name in progress(there, len(there), "checking the outputs"):
        try:
            decode(os.path.join(folder, name), size, output_type)
        except OutputError as error:
            problems.setdefault(error.kind, []).append("%s: %s" % (name, error))
    if any(problems.values()):
        raise ValueError("%s: %s" % (folder, "; ".join(count(*problem) for problem in problems.items() if problem[1])))
    return [os.path.join(folder, name) for name in names]


class OutputError(ValueError):
    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def decode(path, size, output_type):
    """Read a result file as alpha: float32 [size,size] 0..1.

    Raises:
        OutputError: not the right number of values, or values that ``output_type`` does not have.
    """
    shape = [size, size] + [2] * (CHANNELS[output_type] == 2)
    values = read_values(path, shape).astype(np.float32).reshape(shape)
    if not np.isfinite(values).all():
        raise OutputError("not finite", "%d of %d values" % (np.count_nonzero(~np.isfinite(values)), values.size))
    if output_type == "logits":  # the softmax of two
        return 0.5 + 0.5 * np.tanh((values[..., 1] - values[..., 0]) / 2)
    if values.min() < -ROUNDING or values.max() > 1 + ROUNDING:
        raise OutputError("outside 0..1 (is --output_type right?)", "%g .. %g" % (values.min(), values.max()))
    if output_type == "probabilities":
        if abs(values.sum(axis=-1) - 1).max() > SUM_ROUNDING:
            raise OutputError("no probabilities (is --output_type right?)", "the two of a pixel do not sum to 1")
        values = values[..., 1]
    return values.clip(0, 1)


def read_values(path, shape):
    """The values of a .bin, .txt or .npy file; raises OutputError where they are not as many as ``shape`` says."""
    number = int(np.prod(shape))
    if path.endswith(".bin"):
        data = read(path)
        if len(data) not in (4 * number, 2 * number):
            raise OutputError("of a wrong size", "%d bytes, not %d (float32) or %d (float16)"
                              % (len(data), 4 * number, 2 * number))
        return np.frombuffer(data, "<f4" if len(data) == 4 * number else "<f2")
    try:
        values = np.load(path) if path.endswith(".npy") else np.array(read(path).split(), np.float32)
    except (ValueError, EOFError) as error:
        raise OutputError("unreadable", str(error)) from None
    if values.dtype not in (np.float32, np.float16) or [side for side in values.shape if side > 1] not in (
            shape, [number]):
        raise OutputError("of a wrong size", "%s %s (file of %d bytes), not %d values of float32 or float16 %s"
                          % (values.dtype, list(values.shape), os.path.getsize(path), number, shape))
    return values


def replay(paths, size, output_type):
    """A Predict that does not look at its images: it hands out the alphas of the result files, in their order."""
    following = iter(paths)
    return lambda images: np.stack([decode(next(following), size, output_type) for _ in images])


def read(path):
    with open(path, "rb") as file:
        return file.read()
