"""Score a Predictor over clips, frame after frame. No TensorFlow.

A clip is those pairs of a data set whose stems differ only behind the last ``_``, in the order of
their stems. A network of four channels sees the alpha that it gave for the frame before.
"""

from typing import List, NamedTuple

import numpy as np

from mmnet.data.images import resize_bilinear, with_channels
from mmnet.data.pairs import Check
from mmnet.progress import progress
from mmnet.scoring.metrics import dtssd, mad


class ClipScores(NamedTuple):
    clips: List[str]  # their names
    mad: np.ndarray  # [clips] 0..1, the mean of a clip's frames
    dtssd: np.ndarray  # [clips] 0 or more, the mean of the steps from a frame to the next
    frames: int  # in all


def clip_of(stem):
    """``walk_0007`` -> ``walk``."""
    return stem.rpartition("_")[0]


def score_clips(predictor, data_set, smoothing=0.0):
    """Score every frame of every clip at the network's shape.

    Args:
        smoothing: share of the alpha of the frame before that is kept in each alpha (exponential
            smoothing), 0 to 1; what is smoothed does not go back into the network.

    Returns:
        ClipScores.

    Raises:
        ValueError: pairs that cannot be used, all of them in one message; a clip of one frame.
    """
    network, check = predictor.network, Check(data_set)
    rows, before = {}, None
    for pair in progress(data_set.pairs, len(data_set), "evaluating", "frames"):
        pictures = check.read(pair)
        if pictures is None or check.failed:
            continue
        image, truth = (resize_bilinear(one, network.shape, align_corners=True) for one in pictures)
        name = clip_of(pair.stem)
        if name not in rows:
            rows[name], before = {"mad": [], "dtssd": []}, None
        given, kept = frame(predictor, image, before, smoothing)
        rows[name]["mad"].append(mad(kept, truth))
        if before is not None:
            rows[name]["dtssd"].append(dtssd((before.kept, kept), (before.truth, truth)))
        before = Before(given, kept, truth)
    check.finish()
    short = [name for name, row in rows.items() if not row["dtssd"]]
    if short:
        raise ValueError(
            "%s: a clip has frames CLIP_0001, CLIP_0002, ..., and %s has one"
            % (data_set.path, short[0] or "a picture without _ in its name")
        )
    means = [[np.mean(row[name]) for row in rows.values()] for name in ("mad", "dtssd")]
    return ClipScores(list(rows), *map(np.array, means), frames=len(data_set))


class Before(NamedTuple):
    """What is left of a frame, [H,W] in 0..1 each."""

    given: np.ndarray  # the network's alpha
    kept: np.ndarray  # the same after smoothing
    truth: np.ndarray


def frame(predictor, image, before, smoothing=0.0):
    """(the network's alpha of a frame, the same after smoothing).

    Args:
        image: float32 [H,W,3] 0..255. before: Before, or None for a clip's first frame.
    """
    images = with_channels(image[np.newaxis], predictor.network.channels)
    if before is not None and predictor.network.channels == 4:
        images[0, ..., 3] = 255 * before.given
    alpha = predictor(images)[0]
    if before is None:
        return alpha, alpha
    return alpha, smoothing * before.kept + (1 - smoothing) * alpha
