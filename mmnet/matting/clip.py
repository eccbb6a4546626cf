"""Matte a clip. Decoding, network, rendering and encoding run in parallel. No TensorFlow.

A frame passes read_frames -> matte_frames (network and filter) -> render_frame -> create_clip.
"""

import contextlib
import os
import time
from fractions import Fraction
from typing import Dict, Generator, List, NamedTuple, Optional

import numpy as np

from mmnet.inference.predictor import Predictor
from mmnet.io.clip_writer import create_clip
from mmnet.io.clips import Clip, Frame, open_clip, read_frames
from mmnet.io.parallel import parallel_map, prefetch
from mmnet.io.progress import progress
from mmnet.io.resize import shrink
from mmnet.matting.background import Background
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.photo import WORKING_SIZE, MattingOptions, enlarge_alpha, matte_at_working_size
from mmnet.matting.temporal import FILTERS, PreviousFrame

DECODED_BYTES = 64 << 20  # limit of the decoded frames that wait for the network


class ClipResult(NamedTuple):
    """The result of one clip."""

    frames: int
    seconds: float  # processing time
    person_fraction: float  # mean alpha
    warnings: List[str]  # unreadable parts of the clip


class MattedFrame(NamedTuple):
    """A frame after the network and the temporal filter."""

    frame: Frame
    small: np.ndarray  # uint8 [h,w,3], the frame at the working size
    alpha: np.ndarray  # float32 [h,w], 0..1
    background: Optional[Background]


class RenderedFrame(NamedTuple):
    """The outputs of a frame."""

    frame: Frame
    person_fraction: float  # mean alpha
    images: Dict[str, np.ndarray]  # kind -> image


def matte_clip(
    path: str,
    predictor: Predictor,
    outputs: Dict[str, str],
    options: OutputOptions = OutputOptions(),
    *,
    temporal_filter: str = "motion",
) -> ClipResult:
    """Write the outputs of a clip.

    Args:
        path: a clip.
        predictor: a trained network.
        outputs: kind -> path of the clip, or pattern of the PNG files, to write.
        options: background and processing steps.
        temporal_filter: a name in temporal.FILTERS.

    Raises:
        FileNotFoundError: the clip does not exist.
        MmnetError: the clip is unreadable, or cannot be encoded.
    """
    start = time.monotonic()
    options = options._replace(kinds=tuple(outputs))
    person_fractions = []
    with contextlib.ExitStack() as stack:
        clip = stack.enter_context(open_clip(path))
        writers = {kind: stack.enter_context(create_clip(outputs[kind], clip)) for kind in outputs}
        decoded = prefetch(read_frames(clip), max_decoded_frames(clip))
        matted = prefetch(matte_frames(decoded, clip, predictor, options, temporal_filter), 2)
        stack.callback(matted.close)
        threads = os.cpu_count() or 1
        rendered = parallel_map(
            lambda frame: render_frame(frame, options), matted, threads=threads, max_pending=threads
        )
        stack.callback(rendered.close)
        for result in progress(rendered, clip.frame_count, "predicting", "frames"):
            person_fractions.append(result.person_fraction)
            for kind, write in writers.items():
                write(result.frame._replace(image=result.images[kind]))
    seconds = time.monotonic() - start
    return ClipResult(
        len(person_fractions), seconds, float(np.mean(person_fractions)), clip.warnings
    )


def matte_frames(
    frames: Generator,
    clip: Clip,
    predictor: Predictor,
    options: OutputOptions,
    temporal_filter: str,
) -> Generator:
    """Yield a MattedFrame per Frame, in order: each alpha depends on the previous one."""
    previous = first_pts = None
    with contextlib.closing(frames):
        for frame in frames:
            previous = matte_next_frame(
                frame.image,
                predictor,
                options.matting,
                temporal_filter=temporal_filter,
                previous=previous,
            )
            first_pts = frame.pts if first_pts is None else first_pts
            background = options.background
            if background is not None:
                seconds: Fraction = (frame.pts - first_pts) * clip.time_base
                background = background.still(seconds)
            yield MattedFrame(frame, previous.image, previous.alpha, background)


def matte_next_frame(
    image: np.ndarray,
    predictor: Predictor,
    options: MattingOptions,
    *,
    temporal_filter: str = "motion",
    previous: Optional[PreviousFrame] = None,
) -> PreviousFrame:
    """Compute the alpha of a frame at the working size.

    Args:
        image: uint8 [H,W,3].
        predictor: a trained network.
        options: processing steps.
        temporal_filter: a name in temporal.FILTERS.
        previous: result of the previous frame; ignored if its shape differs.
    """
    small = shrink(image, WORKING_SIZE)
    if previous is not None and previous.image.shape != small.shape:
        previous = None
    network_alpha = matte_at_working_size(
        small,
        predictor,
        second_pass=options.second_pass,
        previous_alpha=None if previous is None else previous.network_alpha,
    )
    smooth = FILTERS[temporal_filter]
    alpha = network_alpha
    if smooth is not None and previous is not None:
        alpha = smooth(network_alpha, small, previous)
    return PreviousFrame(small, alpha, network_alpha)


def render_frame(matted: MattedFrame, options: OutputOptions) -> RenderedFrame:
    """Enlarge the alpha to the size of the frame and render the outputs."""
    image = matted.frame.image
    alpha = enlarge_alpha(matted.alpha, matted.small, image, refine=options.matting.refine_edges)
    images = render_outputs(image, alpha, options._replace(background=matted.background))
    return RenderedFrame(matted.frame, float(alpha.mean()), images)


def max_decoded_frames(clip: Clip) -> int:
    """Return how many decoded frames may wait for the network."""
    context = clip.stream.codec_context
    return max(1, min(8, DECODED_BYTES // max(1, 3 * context.width * context.height)))
