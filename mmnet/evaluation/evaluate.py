"""Score a trained network on the pairs of a dataset. No TensorFlow.

Worker threads read images and compute scores while the network runs. The same pass validates the
dataset: all unusable pairs are reported together.
"""

import itertools
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet.datasets.pairs import Dataset, DatasetValidator
from mmnet.evaluation.metrics import MAIN_METRICS, METRICS
from mmnet.inference.predictor import FlexiblePredictor, Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear

EXAMPLE_IMAGES = 4  # for TensorBoard
DECIMALS = 10  # places of a score; a limit keeps records short

Shape = Tuple[int, int]  # (height, width)
ScoreKey = Tuple[str, str]  # (a key of METRICS, "network" or "target")
Matte = Callable[[np.ndarray], np.ndarray]  # image uint8 [H,W,3] -> alpha of any size


class Sample(NamedTuple):
    """A pair, ready to be scored."""

    image: np.ndarray  # float32 [H,W,3], 0..255, network input (corners aligned)
    truth: np.ndarray  # float32 [h,w], 0..1, the mask at the network's base shape
    mask: np.ndarray  # float32 [h,w], 0..1, as stored
    photo: np.ndarray  # uint8 [h,w,3], as stored


class Prediction(NamedTuple):
    """The alpha of a pair."""

    sample: Sample
    alpha: np.ndarray  # float32, 0..1, [H,W], or of any size if a Matte computed it
    seconds: float


class Evaluation(NamedTuple):
    """Scores of one trained network on one dataset. A record stores the fields without default."""

    dataset: Dataset
    source: Optional[str]  # checkpoint prefix or model; None: untrained weights
    global_step: Optional[int]
    shapes: Dict[str, Shape]  # keys: "network" and "target"
    scores: Dict[ScoreKey, np.ndarray]  # one value per pair of the dataset
    predict_ms: float = 0.0  # network time per image
    examples: Sequence[Prediction] = ()
    alphas: Sequence[np.ndarray] = ()  # float32 [H,W] of all pairs, if evaluate keeps them
    name: Optional[str] = None  # as Predictor.name

    @property
    def stems(self) -> List[str]:
        return [pair.stem for pair in self.dataset.pairs]

    @property
    def source_name(self) -> str:
        """Return the name of the weights, or the end of the source: ``run/MMNetModel-6``."""
        if self.source is None:
            return "untrained weights"
        return self.name or "/".join(self.source.rstrip("/").split("/")[-2:])

    @property
    def dataset_name(self) -> str:
        """Return ``faces/test`` for the split ``test`` of the dataset folder ``faces``."""
        return f"{self.dataset.name}/{self.dataset.split}"

    def tag(self, key: ScoreKey) -> str:
        """Return the published name of a score: ``MAD/test``, or ``MAD/test/800_600``."""
        metric, place = key
        name = f"{METRICS[metric].tag}/{self.dataset.split}"
        if place == "network":
            return name
        height, width = self.shapes[place]
        return f"{name}/{height}_{width}"

    def means(self) -> Dict[str, float]:
        """Return the mean scores by published name."""
        return {self.tag(key): float(np.mean(values)) for key, values in self.scores.items()}


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    target_shape: Optional[Shape] = (800, 600),
    *,
    batch_size: int = 8,
    all_metrics: bool = False,
    matte: Optional[Matte] = None,
    keep_alphas: bool = False,
) -> Evaluation:
    """Score each pair of a dataset once.

    Args:
        target_shape: second shape at which alphas are scored; None: the network's shape only.
        all_metrics: compute all METRICS at the target shape, not only MAIN_METRICS.
        matte: function that computes the alphas; None: one network run per image.
        keep_alphas: return the alphas of all pairs too.

    Raises:
        MmnetError: unusable pairs, or alphas with a wrong shape or values outside 0..1.
    """
    target_metrics = METRICS if all_metrics else MAIN_METRICS
    examples: List[Prediction] = []
    alphas: List[np.ndarray] = []
    seconds: List[float] = []

    def predict():
        for prediction in predict_pairs(predictor, dataset, batch_size=batch_size, matte=matte):
            seconds.append(prediction.seconds)
            if len(examples) < EXAMPLE_IMAGES:
                examples.append(prediction)
            if keep_alphas:
                shape = predictor.network.shape
                alphas.append(resize_bilinear(prediction.alpha, shape, align_corners=True))
            yield prediction

    def score(prediction):
        return _score(prediction, target_shape, target_metrics)

    rows = list(parallel_map(score, predict(), max_pending=2 * batch_size))
    shapes = {"network": predictor.network.base_shape}
    if target_shape is not None:
        shapes["target"] = target_shape
    scores = {key: np.round([row[key] for row in rows], DECIMALS) for key in rows[0]}
    milliseconds = 1000 * float(np.mean(seconds))
    source, step = predictor.source, predictor.step
    name = predictor.name
    return Evaluation(dataset, source, step, shapes, scores, milliseconds, examples, alphas, name)


def predict_pairs(
    predictor: Predictor, dataset: Dataset, *, batch_size: int = 8, matte: Optional[Matte] = None
) -> Iterator[Prediction]:
    """Yield the prediction of each pair of a dataset; arguments and errors as in ``evaluate``."""
    validator = DatasetValidator(dataset)
    if matte is None and isinstance(predictor, FlexiblePredictor):
        matte = predictor.run_image

    def read(pair):
        arrays = validator.read(pair)
        if arrays is None:
            return None
        network = predictor.network
        image = resize_bilinear(arrays[0], network.shape, align_corners=True)
        truth = resize_bilinear(arrays[1], network.base_shape, align_corners=True)
        return Sample(image, truth, mask=arrays[1], photo=arrays[0])

    samples = parallel_map(read, dataset.pairs, max_pending=2 * batch_size)
    batches = iter(lambda: list(itertools.islice(samples, batch_size)), [])
    for batch in progress(batches, len(dataset), "evaluating", count=len):
        if validator.failed:  # read the rest, to report all unusable pairs
            continue
        start = time.monotonic()
        if matte is None:
            alphas = _predict_batch(predictor, np.stack([sample.image for sample in batch]))
        else:
            alphas = [matte(sample.photo) for sample in batch]
        seconds = (time.monotonic() - start) / len(batch)
        for sample, alpha in zip(batch, alphas):
            yield Prediction(sample, alpha, seconds)
    validator.finish()


def _predict_batch(predictor, images):
    alphas = predictor(images)
    if alphas.shape != images.shape[:3]:
        raise MmnetError(
            f"{predictor.source}: returns alphas {list(alphas.shape)} for images "
            f"{list(images.shape)}, expected {list(images.shape[:3])}"
        )
    return alphas


def _score(prediction, target_shape, target_metrics):
    """Return ScoreKey -> score of a Prediction."""
    sample, alpha, _ = prediction
    # Corners are aligned at the network's shape, as in training, but not at the target shape, as
    # in the published code.
    small_alpha = resize_bilinear(alpha, sample.truth.shape, align_corners=True)
    scores = {
        (name, "network"): METRICS[name].compute(small_alpha, sample.truth) for name in MAIN_METRICS
    }
    if target_shape is not None:
        alpha = resize_bilinear(alpha, target_shape, align_corners=False)
        truth = resize_bilinear(sample.mask, target_shape, align_corners=False)
        for name in target_metrics:
            scores[name, "target"] = METRICS[name].compute(alpha, truth)
    return scores
