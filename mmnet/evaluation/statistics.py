"""Confidence intervals of mean scores and of paired differences. No TensorFlow."""

from typing import NamedTuple, Sequence, Tuple, Union

import numpy as np

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


def bootstrap_interval(values: Union[np.ndarray, Sequence[float]]) -> Interval:
    """Return the 95 % confidence interval of a mean: percentiles of the resampled means."""
    array, number = np.asarray(values), len(values)
    random = np.random.RandomState(BOOTSTRAP_SEED)
    means = [array[random.randint(0, number, number)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def compare_scores(values: np.ndarray, reference: np.ndarray) -> PairedScore:
    """Compare the scores of two networks image by image."""
    differences = values - reference
    interval = bootstrap_interval(differences)
    return PairedScore(float(values.mean()), float(differences.mean()), interval)
