"""Score a trained network on clips, frame by frame. No TensorFlow.

The frames of a clip are the pairs of a dataset whose stems differ only after the last ``_``, in the
order of their stems. A network with four channels receives its own alpha of the previous frame.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy as np

from mmnet.datasets.pairs import Dataset, DatasetValidator
from mmnet.evaluation.metrics import dtssd, mad
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear

TemporalFilter = Callable[..., np.ndarray]  # alpha, image, previous frame -> alpha


class ClipScores(NamedTuple):
    """Scores of one trained network on the clips of a dataset."""

    clips: List[str]  # names
    mad: np.ndarray  # [clips], 0..1, mean over the frames of a clip
    dtssd: np.ndarray  # [clips], 0 or more, mean over the changes between its frames
    frames: int  # of all clips


class ScoredFrame(NamedTuple):
    """A frame as the temporal filter and the next frame need it. All at the network's shape."""

    image: np.ndarray  # float32 [H,W,3], 0..255
    alpha: np.ndarray  # float32 [H,W], 0..1, filtered
    network_alpha: np.ndarray  # unfiltered
    truth: np.ndarray


def clip_name(stem: str) -> str:
    """Return ``walk`` for the stem ``walk_0007``."""
    return stem.rpartition("_")[0]


def score_clips(
    predictor: Predictor, dataset: Dataset, temporal_filter: Optional[TemporalFilter] = None
) -> ClipScores:
    """Score every frame of every clip at the network's shape.

    Args:
        predictor: the trained network.
        dataset: frames with masks.
        temporal_filter: one of matting.temporal.FILTERS; None: score the network's alphas. The
            network always receives its unfiltered alpha.

    Raises:
        MmnetError: unusable pairs, or a clip with one frame.
    """
    validator = DatasetValidator(dataset)
    scores: Dict[str, Any] = {}  # clip -> (MADs, dtSSDs)
    previous = None
    for pair in progress(dataset.pairs, len(dataset), "evaluating", "frames"):
        arrays = validator.read(pair)
        if arrays is None or validator.failed:
            continue
        image, truth = (
            resize_bilinear(array, predictor.network.shape, align_corners=True) for array in arrays
        )
        name = clip_name(pair.stem)
        if name not in scores:
            scores[name], previous = ([], []), None
        frame = matte_frame(image, truth, predictor, temporal_filter, previous)
        mads, changes = scores[name]
        mads.append(mad(frame.alpha, truth))
        if previous is not None:
            changes.append(dtssd((previous.alpha, frame.alpha), (previous.truth, truth)))
        previous = frame
    validator.finish()
    for name, (_, changes) in scores.items():
        if not changes:
            raise MmnetError(
                f"{dataset.path}: clip {name or '(image without _ in its name)'} has one frame; "
                "name frames CLIP_0001, CLIP_0002, ..."
            )
    return ClipScores(
        list(scores),
        np.array([np.mean(mads) for mads, _ in scores.values()]),
        np.array([np.mean(changes) for _, changes in scores.values()]),
        frames=len(dataset),
    )


def matte_frame(
    image: np.ndarray,
    truth: np.ndarray,
    predictor: Predictor,
    temporal_filter: Optional[TemporalFilter],
    previous: Optional[ScoredFrame],
) -> ScoredFrame:
    """Compute the alpha of one frame. ``previous`` is None for the first frame of a clip."""
    if previous is None:
        alpha = predictor(image[np.newaxis])[0]
        return ScoredFrame(image, alpha, alpha, truth)
    network_alpha = predictor(image[np.newaxis], previous.network_alpha[np.newaxis])[0]
    alpha = network_alpha
    if temporal_filter is not None:
        alpha = temporal_filter(network_alpha, image, previous)
    return ScoredFrame(image, alpha, network_alpha, truth)
