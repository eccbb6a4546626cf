"""Run the frozen graph on a CPU, as a stand-in for msame.

    python offline_infer/verify_pbmodel.py --model offline_infer/mmnet.pb \\
        --input Bin/test/images --output output

The command line, result folders, file names and messages equal msame's:
- ``--input`` is a folder or a .bin file. Every file of a folder is run, in bytewise order. Without
  ``--input``, zeros are run ``--loop`` times.
- Results are ``OUTPUT/<timestamp>/<stem>_output_0.bin``, or .txt with 6 significant digits.
- OUTPUT is created one level deep.
- Every message goes to stdout.
- The exit code is 0 after wrong usage and for a missing input, and 1 if a file cannot be loaded or
  read.
- A sample of the wrong size in a folder is skipped.

A uint8 .bin file is converted as AIPP does: to float, and divided by 255 if the graph was frozen
without the division.
"""

import argparse
import datetime
import os
import sys
import time
from typing import Any, List, Optional, Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # so the script runs from any folder, with nothing installed

from offline_infer import packages  # noqa: F401

# isort: split
import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes, write_bytes, write_text
from mmnet.io.images import to_unit_range
from mmnet.io.terminal import escape_output
from offline_infer.datapre import read_manifest


def main(argv: Optional[Sequence[str]] = None) -> int:
    escape_output()
    flags = parse_flags(argv)
    samples: List[Optional[str]] = [None] * flags.loop
    if flags.input is not None:
        samples = list_samples(flags.input)
        if not samples:
            return 0
    # Imports TensorFlow, so it waits until the command line is known to be correct.
    from mmnet.inference.tensorflow import open_frozen

    has_folder = flags.input is not None and os.path.isdir(flags.input)
    try:
        model = open_frozen(flags.model)
        if has_folder:
            check_preprocess(flags.input, model, flags.model)
    except (OSError, MmnetError) as error:
        return fail(f"load model from file failed: {error}")
    print(f"[INFO] load model {flags.model} success")
    try:
        folder = make_result_folder(flags.output)
    except OSError as error:
        return fail(f"cannot make the output folder ({error}); it is made one level deep only")
    try:
        times = run_samples(samples, model, folder, flags, skip_unreadable=has_folder)
    except OSError as error:
        return fail(f"cannot write a result: {error}")
    if not times:
        return fail("no sample was run")
    print_times(times, has_folder)
    print(f"[INFO] results in {folder}")
    print(f"[INFO] pid: {os.getpid()} Execute sample success")
    return 0


def parse_flags(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(allow_abbrev=False, description=__doc__, formatter_class=formatter)
    add = parser.add_argument
    add("--model", required=True, help="frozen graph of mmnet freeze")
    add("--input", help="a .bin file, or a folder of them")
    add("--output", required=True, help="folder for the results")
    add("--outfmt", choices=("BIN", "TXT"), default="BIN", help="format of the results")
    numbers = range(1, 101)
    add("--loop", type=int, choices=numbers, default=1, metavar="1..100", help="runs of zeros")
    add("--device", help="ignored")
    add("--debug", help="ignored")
    return parser.parse_args(argv)


class Parser(argparse.ArgumentParser):
    """Exits with 0 after wrong usage, as msame does."""

    def error(self, message):
        fail(message)
        sys.exit(0)


def fail(message: object) -> int:
    print(f"[ERROR] {message}", flush=True)
    return 1


def list_samples(path: str) -> List[Optional[str]]:
    """Return the paths of the samples in ``--input``; [], after a message, if there are none."""
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        names = [name for name in os.listdir(path) if not name.startswith(".")]
        if not names:
            fail(f"no file in {path}")
        return [os.path.join(path, name) for name in sorted(names, key=os.fsencode)]
    if "," in path:
        fail(f"the model has one input, but {path!r} names more")
    else:
        fail(f"invalid input path {path}: neither a .bin file nor a folder of them")
    return []


def check_preprocess(folder: str, model: Any, model_path: str) -> None:
    """Raise MmnetError if the manifest of the inputs names another ``preprocess`` than the model.

    Such inputs would be divided by 255 twice or never, and the alphas would still look plausible.
    """
    manifest_path = os.path.join(os.path.dirname(os.path.abspath(folder)), "manifest.json")
    if not os.path.exists(manifest_path):
        return
    manifest, preprocess = read_manifest(manifest_path), model.card.preprocess
    if manifest.dtype == "float32" and manifest.preprocess != preprocess:
        raise MmnetError(
            f"{model_path}: divides by 255 {preprocess} the graph, but the inputs of "
            f"{manifest_path} were made for {manifest.preprocess}; run datapre.py or mmnet "
            "freeze again with the other --preprocess"
        )


def make_result_folder(output: str) -> str:
    """Make ``<output>/<timestamp>``. Like msame, only its microseconds have leading zeros."""
    if not os.path.isdir(output):
        os.mkdir(output)
    now = datetime.datetime.now()
    time_of_day = f"{now.hour}_{now.minute}_{now.second}_{now.microsecond:06d}"
    folder = os.path.join(output, f"{now.year}{now.month}{now.day}_{time_of_day}")
    os.mkdir(folder)
    return folder


def run_samples(
    paths: Sequence[Optional[str]],
    model: Any,
    folder: str,
    flags: argparse.Namespace,
    *,
    skip_unreadable: bool,
) -> List[float]:
    """Run samples (None: zeros) and write their results. Return the milliseconds of each sample.

    An unreadable sample is skipped, or else ends the run: the result is [].
    """
    times = []
    for path in paths:
        try:
            sample = read_sample(path, model)
        except (OSError, MmnetError) as error:
            fail(error)
            if skip_unreadable:
                continue
            return []
        start = time.perf_counter()
        output = model.run(sample)
        times.append((time.perf_counter() - start) * 1e3)
        print(f"Inference time: {times[-1]:.3f}ms")
        stem = os.path.basename(path or flags.model).rpartition(".")[0]
        result = os.path.join(folder, stem + "_output_0")
        if flags.outfmt == "BIN":
            write_bytes(result + ".bin", output.tobytes())
        else:
            write_text(result + ".txt", " ".join(f"{v:.6g}" for v in output.ravel()) + "\n")
    return times


def read_sample(path: Optional[str], model: Any) -> np.ndarray:
    """Read the input of the graph: float32 [1,H,W,C]. Without a path it is zeros."""
    shape = (1, *model.network.shape, model.network.channels)
    if path is None:
        return np.zeros(shape, np.float32)
    data, number = read_bytes(path), int(np.prod(shape))
    if len(data) == 4 * number:
        return np.frombuffer(data, np.float32).reshape(shape)
    if len(data) != number:
        raise MmnetError(
            f"{path}: {len(data)} bytes, but the model takes {4 * number} (float32) or {number} "
            "(uint8, AIPP)"
        )
    sample = np.frombuffer(data, np.uint8).astype(np.float32).reshape(shape)
    return to_unit_range(sample) if model.card.preprocess == "outside" else sample


def print_times(times: List[float], has_folder: bool) -> None:
    """Print the milliseconds per sample. The lines of folders and files differ, as in msame."""
    if has_folder:
        print(f"Inference average time : {np.mean(times):.2f} ms")
    else:
        print(f"Inference average time: {np.mean(times):.6f} ms")
    if len(times) > 1:
        print(f"Inference average time without first time: {np.mean(times[1:]):.2f} ms")
    median, slow = np.percentile(times, [50, 90])
    print(
        f"[INFO] latency of {len(times)} samples on the CPU: median {median:.2f} ms, 90th "
        f"percentile {slow:.2f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
