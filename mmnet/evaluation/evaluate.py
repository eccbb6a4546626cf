"""Score any Predictor over the pairs of a dataset. No TensorFlow.

Decoding and scoring run beside the network. The pass that scores the pictures also checks them.
"""

import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from mmnet.datasets.pairs import DatasetValidator
from mmnet.evaluation import metrics
from mmnet.io.errors import MmnetError
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear

EXAMPLES = 4  # pictures kept for looking at
PUBLISHED = ("mad", "gauss_grad")
MORE = ("sad", "mse", "grad", "conn", "miou")  # at the target shape, where asked for


class Example(NamedTuple):
    stem: str
    image: np.ndarray  # float32 [H,W,3] 0..255
    truth: np.ndarray  # float32 [H,W] 0..1
    alpha: np.ndarray  # float32 [H,W] 0..1


class Evaluation(NamedTuple):
    stems: List[str]
    scores: Dict[Tuple[str, str], np.ndarray]  # (metric, "network" or "target") -> [pictures]
    shapes: Dict[str, Tuple[int, int]]  # "network" and "target" -> (height, width)
    predict_ms: float  # inside the Predictor, a picture
    examples: List[Example]


def evaluate(
    predictor, data_set, target_shape=(800, 600), batch_size=8, all_metrics=False, *, matte=None
):
    """Score every pair exactly once.

    Args:
        predictor: a Predictor, or what has its ``network.shape`` and is called as it is.
        data_set: data.pairs.Dataset. target_shape: (height, width) of the second resolution; None
            scores at the network's alone. all_metrics: add MORE (the published two are the
            default).
        matte: function image uint8 [H,W,3] -> alpha [H,W], which is scored in the predictor's
            place.

    Returns:
        Evaluation.

    Raises:
        ValueError: pairs that cannot be used, all of them in one message; predictions of another
            shape or outside 0..1.
    """
    examples, seconds = [], []

    def predict(samples):
        start = time.monotonic()
        if matte is None:
            alphas = check_alphas(predictor, samples)
        else:
            alphas = [matte(sample.photo) for sample in samples]
        seconds.append(time.monotonic() - start)
        for sample, alpha in zip(samples[: EXAMPLES - len(examples)], alphas):
            at_network = _at(alpha, sample.truth.shape)
            examples.append(Example(sample.stem, sample.image, sample.truth, at_network))
        return alphas

    def score_one(alpha, sample):
        return score(alpha, sample, target_shape, all_metrics)

    shape = tuple(predictor.network.shape)
    rows = score_pairs(predict, score_one, data_set, shape, batch_size)
    scores = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    stems = [pair.stem for pair in data_set.pairs]
    shapes = {"network": shape}
    if target_shape is not None:
        shapes["target"] = tuple(target_shape)
    return Evaluation(stems, scores, shapes, sum(seconds) / len(stems) * 1e3, examples)


def score_pairs(predict, score, data_set, shape, batch_size=8):
    """What ``score`` gives for every pair, in order; reading and scoring run beside predicting.

    Args:
        predict: list of Sample -> their alphas. score: (alpha, Sample) -> anything.
        shape: (height, width) of the network.

    Raises:
        ValueError: pairs that cannot be used, all of them in one message.
    """
    threads = os.cpu_count() or 1
    check = DatasetValidator(data_set)
    pending = deque()  # scores under way, oldest first
    rows = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            read = partial(_sample, check, shape)
            batches = _read_ahead(pool, data_set.pairs, read, batch_size)
            for batch in progress(batches, len(data_set), "evaluating", count=len):
                if check.failed:  # go on reading, so that everything wrong is said at once
                    continue
                for sample, alpha in zip(batch, predict(batch)):
                    pending.append(pool.submit(score, alpha, sample))
                while len(pending) > 2 * batch_size:  # bounds the masks in memory
                    rows.append(pending.popleft().result())
            check.finish()
            rows.extend(future.result() for future in pending)
        except BaseException:
            for future in pending:
                future.cancel()
            raise
    return rows


def check_alphas(predictor, samples):
    """A Predictor's alphas [N,H,W] of Samples; ValueError for any of another shape."""
    images = np.stack([sample.image for sample in samples])
    alphas = np.asarray(predictor(images))
    if alphas.shape != images.shape[:3]:
        raise MmnetError(
            "a predictor gives alphas %s for images %s, not %s"
            % (list(images.shape[:3]), list(images.shape), list(alphas.shape))
        )
    return alphas


class Sample(NamedTuple):
    """A pair as it is scored."""

    stem: str
    image: np.ndarray  # float32 [H,W,3] 0..255 at the network's shape, corners aligned
    truth: np.ndarray  # float32 [H,W] 0..1, likewise
    mask: np.ndarray  # float32 [H,W] 0..1 as stored
    photo: np.ndarray  # uint8 [H,W,3] as stored


def score(alpha, sample, target_shape, all_metrics=False):
    """Scores of one picture: (metric, where) -> value.

    Where "network", the alpha is compared with the truth; where "target", the alpha and the
    original mask are compared, both resized to the target shape with corners not aligned.
    """
    at_network = _at(alpha, sample.truth.shape)
    row = {
        (name, "network"): getattr(metrics, name)(at_network, sample.truth) for name in PUBLISHED
    }
    if target_shape is None:
        return row
    alpha = resize_bilinear(alpha, target_shape, align_corners=False)
    truth = resize_bilinear(sample.mask, target_shape, align_corners=False)
    for name in PUBLISHED + (MORE if all_metrics else ()):
        row[name, "target"] = getattr(metrics, name)(alpha, truth)
    return row


def _at(alpha, shape):
    """An alpha of any size at ``shape``, corners aligned."""
    return resize_bilinear(alpha, shape, align_corners=True)


def _sample(check, shape, pair):
    pictures = check.read(pair)
    if pictures is None:
        return None
    photo, mask = pictures
    image, truth = (resize_bilinear(each, shape, align_corners=True) for each in pictures)
    return Sample(pair.stem, image, truth, mask, photo)


def _read_ahead(pool, pairs, read, batch_size):
    """Yield batches (lists of Sample); the next one is read while the caller works on this one."""
    following = None
    for start in range(0, len(pairs), batch_size):
        current = following
        following = [pool.submit(read, pair) for pair in pairs[start : start + batch_size]]
        if current:
            yield [future.result() for future in current]
    if following:
        yield [future.result() for future in following]
