"""The mean of the logits of several trained networks. No TensorFlow."""

import hashlib
from functools import partial
from typing import Any, Dict, Optional, Sequence

import numpy as np

from mmnet.inference.card import Card
from mmnet.inference.predictor import FlexiblePredictor, Predictor
from mmnet.inference.signature import Shape, sigmoid
from mmnet.io.files import SEPARATOR, short_name
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network

# Alphas closer to 0 or 1 count as this close, so that no network alone decides a pixel.
# docs/benchmarks.md, "Models of other projects".
ALPHA_LIMIT = 1e-5


def make_ensemble(
    predictors: Sequence[Predictor], shape: Optional[Shape] = None
) -> FlexiblePredictor:
    """Return a Predictor that averages the logits of others. It closes them.

    ``shape``: of images and alphas in calls, at which ``evaluate`` scores (default: of the first
    network).
    """
    cards = [predictor.card for predictor in predictors]
    network = Network("ensemble", None, shape or predictors[0].network.base_shape)
    sums: Dict[str, Any] = {}
    for name in ("parameters", "multiply_adds"):
        numbers = [getattr(card, name) for card in cards]
        sums[name] = None if None in numbers else sum(numbers)
    hashes = " ".join(predictor.sha256 or "" for predictor in predictors)
    sources = [predictor.source or "untrained" for predictor in predictors]

    def release() -> None:
        for predictor in predictors:
            predictor.close()

    ensemble = FlexiblePredictor(
        partial(average_logits, predictors),
        Card(network, sha256=hashlib.sha256(hashes.encode()).hexdigest(), **sums),
        source=SEPARATOR.join(sources),
        release=release,
        is_recurrent=any(predictor.is_recurrent for predictor in predictors),
    )
    names = [predictor.name or source for predictor, source in zip(predictors, sources)]
    ensemble.name = short_name(SEPARATOR.join(names))
    return ensemble


def average_logits(
    predictors: Sequence[Predictor],
    image: np.ndarray,
    previous_alpha: Optional[np.ndarray],
    state: Optional[Dict[str, Any]],
) -> np.ndarray:
    """Return the alpha of one image: see run_image and average_alphas."""
    alphas = []
    for index, predictor in enumerate(predictors):
        own_state = None if state is None else state.setdefault(str(index), {})
        alphas.append(predictor.run_image(image, previous_alpha, own_state))
    return average_alphas(alphas)


def average_alphas(alphas: Sequence[np.ndarray]) -> np.ndarray:
    """Return the alpha whose logits are the mean of those of alphas, at the largest shape."""
    shape = max(alphas, key=np.size).shape
    logits = []
    for alpha in alphas:
        resized = resize_bilinear(alpha, shape, align_corners=True)
        limited = np.clip(resized, ALPHA_LIMIT, 1 - ALPHA_LIMIT)
        logits.append(np.log(limited / (1 - limited)))
    return sigmoid(np.mean(logits, axis=0, dtype=np.float32))
