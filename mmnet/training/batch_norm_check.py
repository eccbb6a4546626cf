"""Check that the moving statistics of batch norm fit the weights.

Training normalizes with the statistics of each batch, and inference with the moving statistics.
Training never reads the moving statistics. If they are wrong, the loss is low, but the trained
network is useless.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet.datasets.pairs import Pair, read_pair
from mmnet.evaluation.metrics import mad
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear
from mmnet.networks.layers import BATCH_NORM_EPSILON, BATCH_STATISTICS, INFERENCE, TRAINING
from mmnet.networks.registry import alphas_from_logits, build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, check_device, session_config
from mmnet.weights.values import Weights, check_fit

# The MAD with moving statistics may be this ratio times the MAD with batch statistics, plus this
# offset (0..1): docs/benchmarks.md, "Batch-norm check".
MAX_MAD_RATIO = 2.0
MAX_MAD_OFFSET = 0.02

MEAN, VARIANCE = "/moving_mean", "/moving_variance"


class LayerStatistics(NamedTuple):
    """The moving statistics of one layer compared with the batch statistics."""

    name: str
    variance_ratio: float  # moving / batch variance, in the channel with the largest deviation
    mean_shift: float  # largest |moving - batch mean|, in standard deviations of the batch


class BatchNormReport(NamedTuple):
    """The result of the check."""

    checkpoint: str  # prefix
    images: int
    mad_training: Optional[float]  # 0..1, with batch statistics; None: alphas are not finite
    mad_inference: Optional[float]  # 0..1, with moving statistics
    largest_difference: Optional[float]  # between both alphas
    mean_difference: Optional[float]
    variances: int  # number of moving variances
    smallest_variance: float
    largest_variance: float
    not_finite: int  # number of moving means and variances
    not_positive: int  # number of moving variances
    layers: List[LayerStatistics]  # layers with finite statistics
    problems: List[str]  # empty: the moving statistics fit


class _Outputs(NamedTuple):
    """What one batch gives with both kinds of statistics."""

    values: Dict[str, np.ndarray]  # variable name -> value
    batch: Dict[str, np.ndarray]  # name of a moving statistic -> batch statistic
    moving: Dict[str, np.ndarray]  # name of a moving statistic -> its value
    training_alphas: np.ndarray  # [N,H,W]
    inference_alphas: np.ndarray  # [N,H,W]


def check_batch_norm(
    weights: Weights, pairs: Sequence[Pair], device: Device = Device()
) -> BatchNormReport:
    """Run one batch with batch statistics and with moving statistics, and compare the scores.

    Raises:
        MmnetError: the weights do not fit their network, the network has no batch norm, or a pair
            is unusable.
    """
    check_device(device)
    images, truths = _read_batch(pairs, weights.network.shape)
    outputs = _run_both_modes(weights, images, device)
    if not outputs.moving:
        raise MmnetError(f"{weights.network.name}: has no batch norm")
    mad_training = _mean_mad(outputs.training_alphas, truths)
    mad_inference = _mean_mad(outputs.inference_alphas, truths)
    difference = None
    if mad_training is not None and mad_inference is not None:
        difference = np.abs(outputs.training_alphas - outputs.inference_alphas)
    variances = {n: value for n, value in outputs.moving.items() if n.endswith(VARIANCE)}
    all_variances = np.concatenate(list(variances.values()))
    with np.errstate(invalid="ignore"):
        not_positive = {name: int(np.sum(value <= 0)) for name, value in variances.items()}
    return BatchNormReport(
        checkpoint=str(weights.source),
        images=len(pairs),
        mad_training=mad_training,
        mad_inference=mad_inference,
        largest_difference=None if difference is None else float(difference.max()),
        mean_difference=None if difference is None else float(difference.mean(dtype=np.float64)),
        variances=all_variances.size,
        smallest_variance=float(all_variances.min()),
        largest_variance=float(all_variances.max()),
        not_finite=sum(int(np.sum(~np.isfinite(value))) for value in outputs.moving.values()),
        not_positive=sum(not_positive.values()),
        layers=compare_layers(outputs.moving, outputs.batch),
        problems=_find_problems(outputs.values, not_positive, mad_training, mad_inference),
    )


def compare_layers(
    moving: Dict[str, np.ndarray], batch: Dict[str, np.ndarray]
) -> List[LayerStatistics]:
    """Compare moving with batch statistics. Both map names of moving statistics to values [C]."""
    layers = []
    for name in (name[: -len(MEAN)] for name in moving if name.endswith(MEAN)):
        batch_variance = batch[name + VARIANCE].astype(np.float64) + BATCH_NORM_EPSILON
        with np.errstate(invalid="ignore"):
            ratio = (moving[name + VARIANCE] + BATCH_NORM_EPSILON) / batch_variance
            shift = np.abs(moving[name + MEAN] - batch[name + MEAN]) / np.sqrt(batch_variance)
        if np.isfinite(ratio).all() and np.isfinite(shift).all() and (ratio > 0).all():
            largest = ratio[np.argmax(np.abs(np.log(ratio)))]
            layers.append(LayerStatistics(name, float(largest), float(shift.max())))
    return layers


def largest_deviations(
    report: BatchNormReport, number: int
) -> Tuple[List[LayerStatistics], List[LayerStatistics]]:
    """Return the layers with the largest deviations of the variance, and of the mean."""
    by_variance = sorted(report.layers, key=lambda layer: -abs(np.log(layer.variance_ratio)))
    by_mean = sorted(report.layers, key=lambda layer: -layer.mean_shift)
    return by_variance[:number], by_mean[:number]


def _read_batch(pairs, shape):
    samples = [
        [resize_bilinear(array, shape, align_corners=True) for array in read_pair(pair)]
        for pair in pairs
    ]
    images, truths = (np.stack(arrays) for arrays in zip(*samples))
    return images, truths


def _run_both_modes(weights, images, device) -> Any:
    with tf.Graph().as_default(), tf.Session(config=session_config(device)) as session:
        x = tf.placeholder(tf.float32, images.shape)
        training = alphas_from_logits(build(weights.network, x, TRAINING).logits)[..., 0]
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            inference = alphas_from_logits(build(weights.network, x, INFERENCE).logits)[..., 0]
        variables = tf.global_variables()
        check_fit(checkpoint.restore(session, weights.values, variables), weights)
        values = session.run({variable.op.name: variable for variable in variables})
        statistics = tf.get_collection(BATCH_STATISTICS)
        batch = {moving.op.name: value for moving, value in statistics}
        moving = {moving.op.name: moving for moving, _ in statistics}
        return _Outputs(values, *session.run((batch, moving, training, inference), {x: images}))


def _mean_mad(alphas, truths):
    """Return the mean over the images, or None if an alpha is not finite."""
    if not np.isfinite(alphas).all():
        return None
    return float(np.mean([mad(*pair) for pair in zip(alphas, truths)]))


def _find_problems(values, not_positive, mad_training, mad_inference):
    """Describe the problems of the variables and the scores."""
    problems = []
    not_finite = [name for name, value in values.items() if not np.isfinite(value).all()]
    if not_finite:
        problems.append(f"{len(not_finite)} variables are not finite, first {not_finite[0]}")
    layers = [name for name, count in not_positive.items() if count]
    if layers:
        problems.append(
            f"{len(layers)} layers have moving variances that are not positive, first {layers[0]}"
        )
    for mode, score in (("training", mad_training), ("inference", mad_inference)):
        if score is None:
            problems.append(f"alphas are not finite in {mode} mode")
    if mad_training is not None and mad_inference is not None:
        limit = MAX_MAD_RATIO * mad_training + MAX_MAD_OFFSET
        if mad_inference > limit:
            problems.append(
                f"the moving statistics do not fit the weights: MAD {mad_inference:.4f} with them, "
                f"{mad_training:.4f} with batch statistics, limit {limit:.4f}"
            )
    return problems
