"""Compare trained networks with a reference on the same images. No TensorFlow."""

from typing import Dict, List, NamedTuple, Sequence

import numpy as np

from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.metrics import MAIN_METRICS
from mmnet.evaluation.statistics import PairedScore, compare_scores


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
    largest = float(np.max([difference.max() for difference in differences]))
    mean = float(np.mean([difference.mean() for difference in differences]))
    return ModelDifference(scores, largest, mean)
