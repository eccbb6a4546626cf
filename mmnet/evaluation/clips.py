"""Score a trained network on clips, frame by frame. No TensorFlow.

The frames of a clip are the pairs of a dataset whose stems differ only after the last ``_``, in the
order of their stems. A network with four channels receives its own alpha of the previous frame.
"""

import itertools
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy as np

from mmnet.datasets.pairs import Dataset, DatasetValidator
from mmnet.evaluation.metrics import dtssd, mad
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear
from mmnet.matting.temporal import MattedFrame

TemporalFilter = Callable[..., np.ndarray]  # alpha, image, previous frame -> alpha


class ClipScores(NamedTuple):
    """Scores of one trained network on the clips of a dataset."""

    clips: List[str]  # names
    mad: np.ndarray  # [clips], 0..1, mean over the frames of a clip
    dtssd: np.ndarray  # [clips], 0 or more, mean over the changes between its frames
    frames: int  # number of frames of all clips


def score_clips(
    predictor: Predictor, dataset: Dataset, temporal_filter: Optional[TemporalFilter] = None
) -> ClipScores:
    """Score every frame of every clip at the network's shape.

    Only scores use the alphas of ``temporal_filter``, one of matting.temporal.FILTERS. The network
    receives its unfiltered alphas.
    """
    validator = DatasetValidator(dataset)
    sorted_pairs = sorted(dataset.pairs, key=lambda pair: (_clip_name(pair), pair.stem))
    pairs = progress(sorted_pairs, len(dataset), "evaluating", "frames")
    names, mads, changes = [], [], []
    for name, clip in itertools.groupby(pairs, key=_clip_name):
        frames = list(_score_frames(predictor, clip, validator, temporal_filter))
        if validator.failed:
            continue
        if len(frames) == 1:
            raise MmnetError(
                f"{dataset.path}: clip {name or '(image without _ in its name)'} has one frame; "
                "name frames CLIP_0001, CLIP_0002, ..."
            )
        names.append(name)
        mads.append(np.mean([frame_mad for frame_mad, _ in frames]))
        changes.append(np.mean([change for _, change in frames[1:]]))
    validator.finish()
    return ClipScores(names, np.array(mads), np.array(changes), len(dataset))


def _clip_name(pair):
    """Return ``walk`` for the stem ``walk_0007``."""
    return pair.stem.rpartition("_")[0]


def _score_frames(predictor, pairs, validator, temporal_filter):
    """Yield (MAD, dtSSD) of the frames of a clip. The dtSSD of the first frame is None."""
    previous = previous_truth = previous_alpha = change = None
    state: Dict[str, Any] = {}
    shape = predictor.network.shape
    for pair in pairs:
        arrays = validator.read(pair)
        if validator.failed:
            continue
        image, truth = (resize_bilinear(array, shape, align_corners=True) for array in arrays)
        alpha = predictor.run_image(image, previous_alpha, state)
        alpha = previous_alpha = resize_bilinear(alpha, shape, align_corners=True)
        if previous is not None:
            if temporal_filter is not None:
                alpha = temporal_filter(alpha, image, previous)
            change = dtssd((previous.alpha, alpha), (previous_truth, truth))
        yield mad(alpha, truth), change
        previous, previous_truth = MattedFrame(image, alpha), truth
