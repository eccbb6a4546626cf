"""Measure the wall time of each step of a clip, per frame, one step after the other."""

import os
import tempfile
from itertools import islice
from typing import Any, Callable, Dict, Iterator, Optional

import cv2

from mmnet.benchmark.steps import time_steps
from mmnet.inference.open import open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.io.clip_writer import create_clip
from mmnet.io.clips import Frame, open_clip, read_frames
from mmnet.io.foreground import estimate_foreground
from mmnet.io.memory import reuse_memory
from mmnet.io.resize import shrink
from mmnet.matting.clip import matte_next_frame, render_frame
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.photo import run_network
from mmnet.matting.refine import enlarge_alpha

MAX_FRAMES = 250  # limit of the measured frames


def decode_frame(frames: Iterator[Frame]) -> Optional[Frame]:
    return next(frames, None)


def encode_frame(write: Callable[[Frame], None], frame: Frame) -> None:
    write(frame)


CLIP_STEPS: Dict[str, Callable[..., Any]] = {
    "decode": decode_frame,
    "shrink": shrink,
    "network": run_network,
    "track and filter": matte_next_frame,
    "edges": enlarge_alpha,
    "colours": estimate_foreground,
    "compose": render_outputs,
    "encode": encode_frame,
}


def time_clip(path: str, source: str) -> Dict[str, float]:
    """Return the mean seconds per frame of each step from a clip to a .webm with alpha.

    OpenCV runs on one thread, as in ``predict``, whose steps run in parallel.

    Raises:
        FileNotFoundError: the clip does not exist.
        MmnetError: the clip is unreadable.
    """
    predictor, counts = open_predictor(source), []
    reuse_memory()
    cv2.setNumThreads(1)
    seconds = time_steps(lambda: counts.append(_cut_out(path, predictor)), CLIP_STEPS)
    return {step: value / counts[0] for step, value in seconds.items()}


def _cut_out(path: str, predictor: Predictor) -> int:
    """Cut the people out of the first frames of a clip, and return their number."""
    options, matted, count = OutputOptions(("cutout",)), None, 0
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "cutout.webm")
        with open_clip(path) as clip, create_clip(output, clip) as write:
            frames = read_frames(clip)
            for frame in islice(iter(lambda: decode_frame(frames), None), MAX_FRAMES):
                matted = matte_next_frame(frame.image, predictor, options, matted)
                encode_frame(write, render_frame(frame, matted, options)[1]["cutout"])
                count += 1
    return count
