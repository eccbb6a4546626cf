"""Score any ``Predict`` over the pairs of a data set: decoding and scoring run beside the network. No TensorFlow."""
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, List, NamedTuple

import numpy as np

from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import read_pair
from mmnet.progress import progress
from mmnet.scoring import metrics

EXAMPLES = 4  # pictures kept for looking at


class Example(NamedTuple):
    stem: str
    image: np.ndarray  # float32 [size,size,3] 0..255
    truth: np.ndarray  # float32 [size,size] 0..1
    alpha: np.ndarray  # float32 [size,size] 0..1


class Evaluation(NamedTuple):
    stems: List[str]
    scores: Dict[str, np.ndarray]  # column -> float64 [pictures]; columns as score() names them
    predict_ms: float  # inside Predict, a picture
    examples: List[Example]


def evaluate(predict, pairs, size=256, target_eval_shape=(800, 600), batch_size=8, all_metrics=False):
    """Score every pair exactly once.

    Args:
        predict: images float32 [N,size,size,3] 0..255 -> alphas float32 [N,size,size] 0..1, any N up to batch_size.
        pairs: list of data.pairs.Pair.
        target_eval_shape: (height, width) of the second resolution.
        all_metrics: add SAD, MSE, Grad, Conn and mIoU at the target shape (the published two are the default).

    Returns:
        Evaluation.

    Raises:
        ValueError: a file became unreadable, or predictions of another shape or outside 0..1.
    """
    threads = os.cpu_count() or 1
    pending = deque()  # scores under way, oldest first
    rows, examples = [], []
    predict_seconds = 0.0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for batch in progress(_read_ahead(pool, pairs, size, batch_size), len(pairs), "evaluating", count=len):
                images = np.stack([sample.image for sample in batch])
                start = time.monotonic()
                alphas = np.asarray(predict(images))
                predict_seconds += time.monotonic() - start
                if alphas.shape != images.shape[:3]:
                    raise ValueError("a predictor gives alphas %s for images %s, not %s"
                                     % (list(images.shape[:3]), list(images.shape), list(alphas.shape)))
                for sample, alpha in zip(batch, alphas):
                    if len(examples) < EXAMPLES:
                        examples.append(Example(sample.stem, sample.image, sample.truth, alpha))
                    pending.append(pool.submit(score, alpha, sample.truth, sample.mask, target_eval_shape, all_metrics))
                while len(pending) > 2 * batch_size:  # bounds the masks in memory
                    rows.append(pending.popleft().result())
            rows.extend(future.result() for future in pending)
        except BaseException:
            for future in pending:
                future.cancel()
            raise
    scores = {column: np.array([row[column] for row in rows]) for column in rows[0]}
    return Evaluation([pair.stem for pair in pairs], scores, predict_seconds / len(pairs) * 1e3, examples)


def score(alpha, truth, mask, target_eval_shape, all_metrics=False):
    """Scores of one picture: column -> value.

    The columns ``mad_<size>`` and ``gauss_grad_<size>`` compare at the network's size (mask resized with corners
    aligned); ``mad_<height>_<width>`` and so on compare the alpha and the original mask, both resized to the target
    shape with corners not aligned.

    Args:
        alpha, truth: [size,size] 0..1. mask: the original, [H,W] 0..1.
    """
    size, target = len(alpha), "%d_%d" % tuple(target_eval_shape)
    row = {"mad_%d" % size: metrics.mad(alpha, truth), "gauss_grad_%d" % size: metrics.gauss_grad(alpha, truth)}
    alpha = resize_bilinear(alpha, target_eval_shape, align_corners=False)
    truth = resize_bilinear(mask, target_eval_shape, align_corners=False)
    names = ("mad", "gauss_grad") + (("sad", "mse", "grad", "conn", "miou") if all_metrics else ())
    row.update({"%s_%s" % (name, target): getattr(metrics, name)(alpha, truth) for name in names})
    return row


class _Sample(NamedTuple):
    stem: str
    image: np.ndarray
    truth: np.ndarray
    mask: np.ndarray


def _sample(pair, size):
    image, mask = read_pair(pair)
    return _Sample(pair.stem, resize_bilinear(image, (size, size), align_corners=True),
                   resize_bilinear(mask, (size, size), align_corners=True), mask)


def _read_ahead(pool, pairs, size, batch_size):
    """Yield batches (lists of _Sample), the next one being read while the caller works on this one."""
    following = None
    for start in range(0, len(pairs), batch_size):
        current = following
        following = [pool.submit(_sample, pair, size) for pair in pairs[start:start + batch_size]]
        if current:
            yield [future.result() for future in current]
    yield [future.result() for future in following]
