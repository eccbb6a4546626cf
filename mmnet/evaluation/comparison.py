"""Confidence intervals, and trained networks compared with a reference on the same images.

No TensorFlow.
"""

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.metrics import MAIN_METRICS

RESAMPLES = 1000
BOOTSTRAP_SEED = 0

Interval = Tuple[float, float]  # (low, high)


class PairedScore(NamedTuple):
    """A mean score of a network, compared with a reference on the same images."""

    mean: float
    difference: float  # mean of network minus reference
    interval: Interval  # 95 % confidence interval of the difference

    @property
    def verdict(self) -> str:
        """Return "better" or "worse" (lower scores are better), or "not significant"."""
        low, high = self.interval
        if high < 0:
            return "better"
        return "worse" if low > 0 else "not significant"


class Comparison(NamedTuple):
    """One metric of two networks on one dataset, at the target shape."""

    evaluation: Evaluation
    reference: Evaluation
    metric: str
    score: PairedScore


class ModelDifference(NamedTuple):
    """Difference of a model file from its checkpoint, over all pixels of all images."""

    scores: Dict[str, PairedScore]  # keys: MAIN_METRICS; at the network's shape
    largest_difference: float  # absolute, between alphas
    mean_difference: float


def bootstrap_interval(values: np.ndarray) -> Interval:
    """Return the 95 % confidence interval of a mean: percentiles of the resampled means."""
    random, number = np.random.RandomState(BOOTSTRAP_SEED), len(values)
    means = [values[random.randint(0, number, number)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def compare_scores(values: np.ndarray, reference: np.ndarray) -> PairedScore:
    """Compare the scores of two networks image by image."""
    differences = values - reference
    return PairedScore(
        mean=float(values.mean()),
        difference=float(differences.mean()),
        interval=bootstrap_interval(differences),
    )


def compare_evaluations(evaluations: Sequence[Evaluation]) -> List[Comparison]:
    """Compare each evaluation with the first one of the same dataset."""
    references: Dict[str, Evaluation] = {}
    comparisons = []
    for evaluation in evaluations:
        reference = references.setdefault(evaluation.dataset.path, evaluation)
        if reference is evaluation or reference.stems != evaluation.stems:
            continue
        for metric in MAIN_METRICS:
            key = metric, "target"
            score = compare_scores(evaluation.scores[key], reference.scores[key])
            comparisons.append(Comparison(evaluation, reference, metric, score))
    return comparisons


def measure_difference(evaluation: Evaluation, reference: Evaluation) -> ModelDifference:
    """Compare a model file with its checkpoint. Both evaluations have alphas."""
    scores = {}
    for metric in MAIN_METRICS:
        key = metric, "network"
        scores[metric] = compare_scores(evaluation.scores[key], reference.scores[key])
    differences = [np.abs(a - b) for a, b in zip(evaluation.alphas, reference.alphas)]
    return ModelDifference(
        scores,
        largest_difference=float(np.max([difference.max() for difference in differences])),
        mean_difference=float(np.mean([difference.mean() for difference in differences])),
    )
