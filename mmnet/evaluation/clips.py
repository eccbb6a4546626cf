"""Score a Predictor over clips, frame after frame. No TensorFlow.

A clip is those pairs of a dataset whose stems differ only behind the last ``_``, in the order of
their stems. A network of four channels sees the alpha that it gave for the frame before.
"""

from typing import List, NamedTuple

import numpy as np

from mmnet.datasets.pairs import DatasetValidator
from mmnet.evaluation.metrics import dtssd, mad
from mmnet.io.errors import MmnetError
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear


class ClipScores(NamedTuple):
    clips: List[str]  # their names
    mad: np.ndarray  # [clips] 0..1, the mean of a clip's frames
    dtssd: np.ndarray  # [clips] 0 or more, the mean of the steps from a frame to the next
    frames: int  # in all


def clip_of(stem):
    """``walk_0007`` -> ``walk``."""
    return stem.rpartition("_")[0]


def score_clips(predictor, data_set, temporal_filter=None):
    """Score every frame of every clip at the network's shape.

    Args:
        temporal_filter: one of photos.temporal.FILTERS, (alpha, image, before) -> alpha; None: the
            network's alphas. What is filtered does not go back into the network.

    Returns:
        ClipScores.

    Raises:
        ValueError: pairs that cannot be used, all of them in one message; a clip of one frame.
    """
    network, check = predictor.network, DatasetValidator(data_set)
    rows, before = {}, None
    for pair in progress(data_set.pairs, len(data_set), "evaluating", "frames"):
        pictures = check.read(pair)
        if pictures is None or check.failed:
            continue
        image, truth = (resize_bilinear(one, network.shape, align_corners=True) for one in pictures)
        name = clip_of(pair.stem)
        if name not in rows:
            rows[name], before = {"mad": [], "dtssd": []}, None
        given = kept = alpha_after(predictor, image, before)
        if temporal_filter and before is not None:
            kept = temporal_filter(given, image, before)
        rows[name]["mad"].append(mad(kept, truth))
        if before is not None:
            rows[name]["dtssd"].append(dtssd((before.alpha, kept), (before.truth, truth)))
        before = Before(image, kept, given, truth)
    check.finish()
    short = [name for name, row in rows.items() if not row["dtssd"]]
    if short:
        raise MmnetError(
            "%s: a clip has frames CLIP_0001, CLIP_0002, ..., and %s has one"
            % (data_set.path, short[0] or "a picture without _ in its name")
        )
    means = [[np.mean(row[name]) for row in rows.values()] for name in ("mad", "dtssd")]
    return ClipScores(list(rows), *map(np.array, means), frames=len(data_set))


class Before(NamedTuple):
    """What is left of a frame."""

    image: np.ndarray  # float32 [H,W,3] 0..255
    alpha: np.ndarray  # float32 [H,W] 0..1, after the filter
    given: np.ndarray  # the network's alpha
    truth: np.ndarray


def alpha_after(predictor, image, before):
    """The network's alpha of a frame; ``before`` is a Before, or None for a clip's first frame."""
    if before is None:
        return predictor(image[np.newaxis])[0]
    return predictor(image[np.newaxis], before.given[np.newaxis])[0]
