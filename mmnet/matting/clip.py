"""A clip cut out. Decoding, the network, colours and encoding run beside each other. No TensorFlow.

A frame's way: frames_of -> matte_at_working_size -> a temporal filter -> enlarge_alpha -> results_of -> write.
"""

import contextlib
import os
import time
from typing import Any, List, NamedTuple

import numpy as np

from mmnet.io.clips import Backdrop, Frame, frames_of, open_clip, writing
from mmnet.io.parallel import parallel_map, prefetch
from mmnet.io.progress import progress
from mmnet.io.resize import shrink
from mmnet.matting.compose import OutputOptions, results_of
from mmnet.matting.photo import GRAIN, enlarge_alpha, matte_at_working_size
from mmnet.matting.temporal import FILTERS, Before

WAITING = 64 << 20  # bytes of decoded frames that wait for the network


class Cut(NamedTuple):
    """What became of a clip."""

    frames: int
    seconds: float  # that it took
    person_share: float  # mean alpha
    problems: List[str]  # what of it could not be read


class Seen(NamedTuple):
    """A frame that the network has seen."""

    frame: Frame
    small: np.ndarray  # uint8 [h,w,3]
    alpha: np.ndarray  # float32 [h,w] 0..1
    background: Any


def cut_clip(predictor, path, outputs, wanted=OutputOptions(), temporal_filter="motion"):
    """Write what is wanted of every frame of a clip.

    Args:
        path: of the clip. outputs: kind of wanted.kinds -> path of the clip or PNGs to write.
        temporal_filter: one of FILTERS.

    Returns:
        Cut.

    Raises:
        FileNotFoundError, ValueError: as open_clip and frames_of do. OSError: no room.
    """
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        clip = stack.enter_context(open_clip(path))
        writers = {
            kind: stack.enter_context(writing(output, clip)) for kind, output in outputs.items()
        }
        jobs = os.cpu_count() or 1
        decoded = prefetch(frames_of(clip), waiting_frames(clip))
        seen = prefetch(look_at(decoded, predictor, wanted, clip, temporal_filter), 2)
        stack.callback(seen.close)
        made = parallel_map(
            lambda one: (one.frame, *finished(one, wanted)), seen, threads=jobs, max_pending=jobs
        )
        stack.callback(made.close)
        shares = []
        for frame, share, results in progress(made, clip.expected, "predicting", "frames"):
            shares.append(share)
            for kind, write in writers.items():
                write(frame._replace(image=results[kind]))
    seconds = time.monotonic() - begun
    return Cut(len(shares), seconds, float(np.mean(shares)), clip.problems)


def look_at(frames, predictor, wanted, clip, temporal_filter):
    """Yield Seen for every Frame, in their order: each alpha follows from the one before."""
    before = first = None
    background, moving = wanted.background, None
    if isinstance(background, Backdrop):
        moving = background.play()
    with contextlib.closing(frames):
        for frame in frames:
            small = shrink(frame.image, GRAIN)
            before = next_frame(small, predictor, wanted.care, temporal_filter, before)
            if moving:
                first = frame.pts if first is None else first
                background = moving((frame.pts - first) * clip.time_base)
            yield Seen(frame, small, before.alpha, background)


def next_frame(small, predictor, care, temporal_filter, before):
    """The Before that a frame leaves: its picture and its alpha, made steady.

    Args:
        small: uint8 [h,w,3], the frame, of at most GRAIN pixels. before: Before, of the frame
            before, of the same size; None: there was none.
    """
    alpha = unfiltered = matte_at_working_size(small, predictor, care, before and before.unfiltered)
    steady = FILTERS[temporal_filter]
    if steady and before is not None:
        alpha = steady(alpha, small, before)
    return Before(small, alpha, unfiltered)


def finished(seen, wanted):
    """(the person's share of the picture, kind -> picture) of a Seen."""
    image = seen.frame.image
    alpha = enlarge_alpha(seen.alpha, seen.small, image, wanted.care)
    results = results_of(image, alpha, wanted._replace(background=seen.background))
    return float(alpha.mean()), results


def waiting_frames(clip):
    """How many decoded frames may wait."""
    context = clip.stream.codec_context
    return max(1, min(8, WAITING // max(1, 3 * context.width * context.height)))
