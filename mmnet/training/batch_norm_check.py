"""Check that the moving statistics of batch norm fit the weights.

Training normalizes with the statistics of each batch, and inference with the moving statistics.
Training never reads the moving statistics. If they are wrong, the loss is low, but the trained
network is useless.
"""

from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from mmnet.datasets.pairs import Dataset, DatasetValidator
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
    layers: List[LayerStatistics]  # layers with finite statistics
    problems: List[str]  # empty: the moving statistics fit


def check_batch_norm(
    weights: Weights, dataset: Dataset, batch_size: int, device: Device = Device()
) -> BatchNormReport:
    """Run one batch with batch statistics and with moving statistics, and compare the scores.

    The batch is the start of the dataset.

    Raises:
        MmnetError: the dataset has unusable files, or the network has no batch norm.
    """
    check_device(device)
    validator = DatasetValidator(dataset)
    pairs = [validator.read(pair) for pair in dataset.pairs[:batch_size]]
    validator.finish()
    samples = [
        [resize_bilinear(array, weights.network.shape, align_corners=True) for array in arrays]
        for arrays in filter(None, pairs)
    ]
    images, truths = (np.stack(arrays) for arrays in zip(*samples))
    results = _run_both_modes(weights, images, device)
    if not results["moving"]:
        raise MmnetError(f"{weights.network.name}: has no batch norm")
    mads = {mode: _mean_mad(results[mode], truths) for mode in ("training", "inference")}
    return BatchNormReport(
        checkpoint=str(weights.source),
        images=len(pairs),
        mad_training=mads["training"],
        mad_inference=mads["inference"],
        layers=compare_layers(results["moving"], results["batch"]),
        problems=_find_problems(results["variables"], mads),
    )


def _run_both_modes(weights, images, device) -> Dict[str, Any]:
    """Return alphas [N,H,W] in both modes, variables, and batch and moving statistics by name."""
    with tf.Graph().as_default(), tf.Session(config=session_config(device)) as session:
        x = tf.placeholder(tf.float32, images.shape)
        training = alphas_from_logits(build(weights.network, x, TRAINING).logits)[..., 0]
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            inference = alphas_from_logits(build(weights.network, x, INFERENCE).logits)[..., 0]
        variables = tf.global_variables()
        check_fit(checkpoint.restore(session, weights.values, variables), weights)
        statistics = tf.get_collection(BATCH_STATISTICS)
        fetches = {
            "training": training,
            "inference": inference,
            "variables": {variable.op.name: variable for variable in variables},
            "moving": {moving.op.name: moving for moving, _ in statistics},
            "batch": {moving.op.name: batch for moving, batch in statistics},
        }
        return session.run(fetches, {x: images})


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


def _mean_mad(alphas, truths):
    """Return the mean over the images, or None if an alpha is not finite."""
    if not np.isfinite(alphas).all():
        return None
    return float(np.mean([mad(*pair) for pair in zip(alphas, truths)]))


def _find_problems(variables, mads):
    """Describe the problems of the variables (name -> value) and the scores (mode -> MAD)."""
    problems = []
    not_finite = [name for name, value in variables.items() if not np.isfinite(value).all()]
    if not_finite:
        problems.append(f"{len(not_finite)} variables are not finite, first {not_finite[0]}")
    with np.errstate(invalid="ignore"):
        not_positive = [
            name for name in variables if name.endswith(VARIANCE) and (variables[name] <= 0).any()
        ]
    if not_positive:
        problems.append(
            f"{len(not_positive)} layers have moving variances that are not positive, first "
            f"{not_positive[0]}"
        )
    problems += [f"alphas are not finite in {mode} mode" for mode in mads if mads[mode] is None]
    if None not in mads.values():
        limit = MAX_MAD_RATIO * mads["training"] + MAX_MAD_OFFSET
        if mads["inference"] > limit:
            problems.append(
                f"the moving statistics do not fit the weights: MAD {mads['inference']:.4f} with "
                f"them, {mads['training']:.4f} with batch statistics, limit {limit:.4f}"
            )
    return problems
