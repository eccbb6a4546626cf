"""Measure the wall time of each step of a photo, from the file to the cutout."""

import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from functools import partial
from typing import Any, Callable, Dict, List

from mmnet.inference.open import open_for_photos
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes, write_bytes
from mmnet.io.foreground import estimate_foreground
from mmnet.io.images import decode_photo, encode_image
from mmnet.io.resize import shrink
from mmnet.matting.cleaning import clean_alpha
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.files import InputFile, Output
from mmnet.matting.photo import run_network
from mmnet.matting.process import process_file
from mmnet.matting.refine import enlarge_alpha

MIN_TURNS = 3
PHOTO_STEPS: Dict[str, Callable[..., Any]] = {
    "read": read_bytes,
    "decode": decode_photo,
    "shrink": shrink,
    "network": run_network,
    "clean": clean_alpha,
    "edges": enlarge_alpha,
    "colours": estimate_foreground,
    "compose": render_outputs,
    "encode": encode_image,
    "write": write_bytes,
}


def time_photo(path: str, source: str, seconds: float) -> Dict[str, float]:
    """Return the median seconds of each step of a photo. MmnetError: it is unreadable.

    "open" opens the network; ``predict`` does this during "decode", once. The turns take
    ``seconds``, but at least MIN_TURNS are made.
    """
    start = time.perf_counter()
    predictor = open_for_photos(source)
    opening = time.perf_counter() - start
    turns: List[Dict[str, float]] = []
    end = time.perf_counter() + seconds
    while len(turns) < MIN_TURNS or time.perf_counter() < end:
        turns.append(time_steps(lambda: _cut_out(path, predictor), PHOTO_STEPS))
    medians = {step: statistics.median(turn[step] for turn in turns) for step in turns[0]}
    return {"open": opening, **medians}


def _cut_out(path: str, predictor: Predictor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Output(os.path.join(folder, "cutout.png"))
        result = process_file(InputFile(path, ""), predictor, output, OutputOptions(("cutout",)))
    if result.error is not None:
        raise MmnetError(result.error)


def time_steps(run: Callable[[], Any], steps: Dict[str, Callable[..., Any]]) -> Dict[str, float]:
    """Return the seconds of each step in a call of ``run``, and of the rest.

    ``steps``: name -> function of the step. A step that another one calls counts only itself.
    Meanwhile the modules of mmnet hold a function in its place that measures it. Steps in other
    threads count too, so the sum may be longer than ``run``, and the rest negative.
    """
    seconds = dict.fromkeys(steps, 0.0)
    local = threading.local()

    def measure(step, function, *args, **kwargs):
        outer, local.inside = getattr(local, "inside", 0.0), 0.0
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            elapsed = time.perf_counter() - start
            seconds[step] += elapsed - local.inside
            local.inside = outer + elapsed

    with contextlib.ExitStack() as stack:
        for step, function in steps.items():
            for name, module in list(sys.modules.items()):
                if name.startswith("mmnet.") and name != __name__:
                    for key in [key for key in vars(module) if vars(module)[key] is function]:
                        stack.callback(setattr, module, key, function)
                        setattr(module, key, partial(measure, step, function))
        start = time.perf_counter()
        run()
        total = time.perf_counter() - start
    return {**seconds, "rest": total - sum(seconds.values())}
