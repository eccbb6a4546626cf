"""Matte a clip. Decoding, network, filter, rendering and encoding run in parallel. No TensorFlow.

A frame passes read_frames -> matte_frames -> smooth_frames -> render_frame -> create_clip.
"""

import contextlib
import os
import time
from functools import partial
from typing import Any, Dict, Generator, Optional, Tuple

import cv2
import numpy as np

from mmnet.inference.predictor import Predictor
from mmnet.io.clip_writer import create_clip
from mmnet.io.clips import Clip, Frame, open_clip, read_frames
from mmnet.io.images import compose_over_grey
from mmnet.io.memory import reuse_memory
from mmnet.io.parallel import parallel_map, prefetch
from mmnet.io.progress import progress
from mmnet.io.resize import shrink
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.files import Result
from mmnet.matting.refine import FIT_SIZE, enlarge_alpha
from mmnet.matting.temporal import FILTERS, MattedFrame
from mmnet.matting.tracking import follow_track, matte_whole_frame

# Pixels of the longer side. cv2.INTER_AREA is fast because common sizes are multiples of it.
# docs/benchmarks.md, "Clips".
WORKING_SIZE = 640
EDGE_SIZE = 1920  # pixels of the longer side up to which edges are fitted
DECODED_BYTES = 64 << 20  # limit of the decoded frames that wait for the network


def matte_clip(
    path: str,
    predictor: Predictor,
    outputs: Dict[str, str],
    options: OutputOptions,
    *,
    keep_gps: bool = False,
) -> Result:
    """Write the outputs of a clip: kind -> path of a clip, or pattern of PNG files.

    keep_gps: keep the position in the metadata of the clip.

    Raises:
        FileNotFoundError: the clip does not exist.
        MmnetError: the clip is unreadable, or cannot be encoded.
    """
    start = time.monotonic()
    reuse_memory()
    options = options._replace(kinds=tuple(outputs))
    person_fractions = []
    threads = os.cpu_count() or 1
    with contextlib.ExitStack() as stack:
        stack.callback(cv2.setNumThreads, cv2.getNumThreads())
        cv2.setNumThreads(1)  # the steps run in threads of their own
        clip = stack.enter_context(open_clip(path))
        writers = {
            kind: stack.enter_context(create_clip(outputs[kind], clip, keep_gps=keep_gps))
            for kind in outputs
        }
        context = clip.stream.codec_context
        max_decoded = DECODED_BYTES // max(1, 3 * context.width * context.height)
        decoded = prefetch(read_frames(clip), max(1, min(8, max_decoded)))
        matted = prefetch(matte_frames(decoded, predictor, options), 2)
        smoothed = prefetch(smooth_frames(matted, clip, options), 2)
        stack.callback(smoothed.close)
        rendered = parallel_map(
            lambda render: render(), smoothed, threads=threads, max_pending=threads + 2
        )
        stack.callback(rendered.close)
        for person_fraction, frames in progress(rendered, clip.frame_count, "predicting", "frames"):
            person_fractions.append(person_fraction)
            for kind, frame in frames.items():
                writers[kind](frame)
    return Result(
        path,
        outputs,
        float(np.mean(person_fractions)),
        frames=len(person_fractions),
        seconds=time.monotonic() - start,
        warnings=clip.warnings,
        notes=clip.notes,
    )


def matte_frames(
    frames: Generator, predictor: Predictor, options: OutputOptions
) -> Generator[Tuple[Frame, MattedFrame], None, None]:
    """Yield each Frame with the alpha of the network.

    The network runs in the order of the frames, because it follows the people.
    """
    matted = None
    with contextlib.closing(frames):
        for frame in frames:
            image = compose_over_grey(frame.image, frame.opacity)
            matted = matte_frame(image, predictor, options, matted)
            yield frame, matted


def smooth_frames(frames: Generator, clip: Clip, options: OutputOptions) -> Generator:
    """Filter the alphas of ``matte_frames``. Yield a function per frame: see render_frame."""
    previous = first_pts = None
    with contextlib.closing(frames):
        for frame, matted in frames:
            previous = smooth_frame(matted, options, previous)
            first_pts = frame.pts if first_pts is None else first_pts
            background = options.background
            if background is not None:
                seconds = (frame.pts - first_pts) * clip.time_base
                background = background.still(seconds, clip.pixel_aspect)
            yield partial(render_frame, frame, previous, options._replace(background=background))


def matte_next_frame(
    image: np.ndarray,
    predictor: Predictor,
    options: OutputOptions,
    previous: Optional[MattedFrame] = None,
) -> MattedFrame:
    """Compute the filtered alpha of the frame ``image``, uint8 [H,W,3], at the working size.

    previous: result of the previous frame; ignored if its shape differs.
    """
    matted = matte_frame(image, predictor, options, previous)
    return smooth_frame(matted, options, previous)


def matte_frame(
    image: np.ndarray,
    predictor: Predictor,
    options: OutputOptions,
    previous: Optional[MattedFrame] = None,
) -> MattedFrame:
    """As ``matte_next_frame``, without the temporal filter."""
    small = shrink(image, WORKING_SIZE)
    previous_alpha = tracked = None
    state: Optional[Dict[str, Any]] = {}
    if previous is not None and previous.image.shape == small.shape:
        previous_alpha, state = previous.network_alpha, previous.state
        tracked = follow_track(previous.track, small, predictor, previous_alpha)
    if tracked is None:
        tracked = matte_whole_frame(
            small, predictor, previous_alpha, state, second_pass=options.matting.second_pass
        )
    return MattedFrame(small, tracked.alpha, tracked.alpha, state, tracked.track)


def smooth_frame(
    matted: MattedFrame, options: OutputOptions, previous: Optional[MattedFrame]
) -> MattedFrame:
    """Apply the temporal filter to the alpha of a frame, with the filtered previous frame."""
    temporal_filter = FILTERS[options.temporal_filter]
    if temporal_filter is None or previous is None or previous.image.shape != matted.image.shape:
        return matted
    return matted._replace(alpha=temporal_filter(matted.alpha, matted.image, previous))


def render_frame(
    frame: Frame, matted: MattedFrame, options: OutputOptions
) -> Tuple[float, Dict[str, Frame]]:
    """Return (mean alpha, outputs: kind -> Frame) at the frame's own size."""
    image = compose_over_grey(frame.image, frame.opacity)
    edge_image = shrink(image, EDGE_SIZE)
    refine = options.matting.refine_edges
    small = shrink(matted.image, FIT_SIZE)
    alpha = enlarge_alpha(matted.alpha, small, edge_image, refine=refine)
    if edge_image is not image:
        alpha = cv2.resize(alpha, image.shape[1::-1])
    if frame.opacity is not None:
        alpha = alpha * (frame.opacity / np.float32(255))
    known = small if frame.opacity is None else None
    images = render_outputs(frame.image, alpha, options, frame.opacity, known, separate_alpha=True)
    frames = {kind: frame._replace(image=images[kind], opacity=None) for kind in options.kinds}
    if "cutout" in frames:
        frames["cutout"] = frames["cutout"]._replace(opacity=images["alpha"])
    return float(alpha.mean()), frames
