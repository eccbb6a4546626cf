"""The selfcheck verb: do batch norm's moving statistics fit the weights?

In training batch norm divides by the batch's own statistics; everywhere else by the moving ones,
which nothing in training reads. Where they broke, the loss looks well and the delivered network is
bad.
"""

import dataclasses
import json
from typing import List, NamedTuple, Optional

import numpy as np
from humanfriendly.tables import format_pretty_table

from mmnet.commands.flag_types import positive_int
from mmnet.commands.options import (
    CheckpointOptions,
    DatasetOptions,
    DeviceOptions,
    JsonOptions,
    flag,
)
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.evaluation.metrics import mad
from mmnet.inference.open import load_weights
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear
from mmnet.networks.layers import BATCH_NORM_EPSILON, BATCH_STATISTICS, INFERENCE, TRAINING
from mmnet.networks.registry import alphas_from_logits, build
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, check_device, session_config
from mmnet.weights.values import check_fit

# With moving statistics the published checkpoints score .4 to 1.4 times what they do with the
# statistics of eight pictures, and at most 2.2 times (.040, .019) with those of one; the broken run
# that this check is for scored .2164 instead of about .025.
LARGEST_RATIO = 2.0  # of the MAD in inference mode to that in training mode ...
LARGEST_EXCESS = 0.02  # ... and this much more, 0..1
WORST = 5  # layers to name


@dataclasses.dataclass(frozen=True)
class Options(DatasetOptions, CheckpointOptions, DeviceOptions, JsonOptions):
    """Check that batch norm's moving statistics fit the weights.

    One batch goes through the network with its own statistics, as in training, and with the moving
    ones, as ever after, and is scored both ways: a run whose moving statistics broke does well in
    the one and badly in the other. The exit code is 1 where something is wrong; what, is printed.
    """

    batch_size: int = flag(8, positive_int, help="pictures in the batch, the first of the split")


class Layer(NamedTuple):
    """One batch norm, its moving statistics against the batch's."""

    name: str
    variance_ratio: float  # moving / batch variance, both with epsilon, in its furthest channel
    mean_shift: float  # |moving - batch mean| in the batch's standard deviations, likewise


class Selfcheck(NamedTuple):
    checkpoint: str  # prefix
    pictures: int
    mad_training: Optional[
        float
    ]  # 0..1, batch norm by the batch; None where an alpha is not finite
    mad_inference: Optional[float]  # by the moving statistics
    largest_difference: Optional[float]  # of the alphas between the two
    mean_difference: Optional[float]
    variances: int  # how many moving variances
    smallest_variance: float
    largest_variance: float
    not_finite: int  # moving means and variances
    not_positive: int  # moving variances
    layers: List[Layer]  # those with finite statistics
    problems: List[str]  # empty: all is well


def run(options):
    data_set = find_dataset(options.dataset_path, options.dataset_split_name)
    weights = load_weights(
        options.checkpoint_path, options.network_fields(), options.weight_options(), finite=False
    )
    pairs = data_set.pairs[: options.batch_size]
    checked = selfcheck(weights, pairs, Device(options.device))
    print(json.dumps(to_dict(checked)) if options.json else selfcheck_text(checked))
    return 1 if checked.problems else 0


def selfcheck(weights, pairs, device=Device()):
    """Run the pairs as one batch through a network in both modes.

    Args:
        weights: Weights. pairs: list of data.pairs.Pair.

    Returns:
        Selfcheck.

    Raises:
        ValueError: weights of another network, or of one without batch norm; no such device; a
            pair that cannot be used.
    """
    check_device(device)
    shape = weights.network.shape
    samples = [
        [resize_bilinear(picture, shape, align_corners=True) for picture in read_pair(pair)]
        for pair in pairs
    ]
    images, truths = (np.stack(part) for part in zip(*samples))
    values, statistics, training, inference = _run_both(weights, images, device)
    if not statistics:
        raise MmnetError("%s has no batch norm to check" % weights.network.name)
    batch = {name: value for name, (value, _) in statistics.items()}
    moving = {name: value for name, (_, value) in statistics.items()}
    variance = np.concatenate([moving[name] for name in moving if name.endswith("variance")])
    mad_training, mad_inference = _mad(training, truths), _mad(inference, truths)
    difference = np.full(1, np.nan)
    if None not in (mad_training, mad_inference):
        difference = np.abs(training - inference)
    with np.errstate(invalid="ignore"):
        not_positive = {
            name: int(np.sum(value <= 0))
            for name, value in moving.items()
            if name.endswith("variance")
        }
    not_finite = [name for name, value in values.items() if not np.isfinite(value).all()]
    largest = float(difference.max())
    return Selfcheck(
        weights.source,
        len(pairs),
        mad_training,
        mad_inference,
        largest_difference=None if np.isnan(largest) else largest,
        mean_difference=None if np.isnan(largest) else float(difference.mean(dtype=np.float64)),
        variances=variance.size,
        smallest_variance=float(variance.min()),
        largest_variance=float(variance.max()),
        not_finite=sum(int(np.sum(~np.isfinite(value))) for value in moving.values()),
        not_positive=sum(not_positive.values()),
        layers=_layers(moving, batch),
        problems=list(_problems(not_finite, not_positive, mad_training, mad_inference)),
    )


def _run_both(weights, images, device):
    """Run one batch with its own and with the moving statistics.

    Returns:
        (variables: name -> array, statistics: moving one's name -> (batch's, moving), alphas
        [N,H,W] with the batch's, alphas with the moving ones)
    """
    with tf.Graph().as_default(), tf.Session(config=session_config(device)) as session:
        x = tf.placeholder(tf.float32, images.shape)
        batch_norm_training = alphas_from_logits(build(weights.network, x, TRAINING).logits)[..., 0]
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            batch_norm_inference = alphas_from_logits(build(weights.network, x, INFERENCE).logits)[
                ..., 0
            ]
        variables = tf.global_variables()
        check_fit(checkpoint.restore(session, weights.values, variables), weights)
        values = session.run({variable.op.name: variable for variable in variables})
        collected = tf.get_collection(BATCH_STATISTICS)
        statistics = {moving.op.name: (batch, moving) for moving, batch in collected}
        fetches = [statistics, batch_norm_training, batch_norm_inference]
        statistics, training, inference = session.run(fetches, {x: images})
    return values, statistics, training, inference


def _mad(alphas, truths):
    """The mean over the pictures, or None where an alpha is not finite."""
    if not np.isfinite(alphas).all():
        return None
    return float(np.mean([mad(*pair) for pair in zip(alphas, truths)]))


def _problems(not_finite, not_positive, mad_training, mad_inference):
    if not_finite:
        yield "%d variables are not finite, first %s" % (len(not_finite), not_finite[0])
    bad = [name for name, count in not_positive.items() if count]
    if bad:
        yield "%d layers have moving variances that are not positive, first %s" % (len(bad), bad[0])
    for mode, score in (("training", mad_training), ("inference", mad_inference)):
        if score is None:
            yield "alphas are not finite in %s mode" % mode
    if None not in (mad_training, mad_inference):
        limit = LARGEST_RATIO * mad_training + LARGEST_EXCESS
        if mad_inference > limit:
            yield (
                "the moving statistics do not fit the weights: MAD %.4f with them, %.4f with the "
                "batch's own; at most %.4f is well" % (mad_inference, mad_training, limit)
            )


def _layers(moving, batch):
    """A Layer for every batch norm; both map the moving statistics' names to values [C]."""
    layers = []
    ending = "/moving_mean"
    for name in (name[: -len(ending)] for name in moving if name.endswith(ending)):
        mean, variance = name + ending, name + "/moving_variance"
        batch_variance = batch[variance].astype(np.float64) + BATCH_NORM_EPSILON
        with np.errstate(invalid="ignore"):
            ratio = (moving[variance] + BATCH_NORM_EPSILON) / batch_variance
            shift = np.abs(moving[mean] - batch[mean]) / np.sqrt(batch_variance)
        if np.isfinite(ratio).all() and np.isfinite(shift).all() and (ratio > 0).all():
            furthest = ratio[np.argmax(np.abs(np.log(ratio)))]
            layers.append(Layer(name, float(furthest), float(shift.max())))
    return layers


def _worst(checked):
    """(layers furthest off in the variance, layers furthest off in the mean)"""
    by_variance = sorted(checked.layers, key=lambda layer: -abs(np.log(layer.variance_ratio)))
    by_mean = sorted(checked.layers, key=lambda layer: -layer.mean_shift)
    return by_variance[:WORST], by_mean[:WORST]


def to_dict(checked):
    """Ready for JSON, which knows no number that is not finite: those become null."""
    values = checked._asdict()
    del values["layers"]
    variances, means = _worst(checked)
    values = {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in values.items()
    }
    return dict(
        values,
        furthest_variances={layer.name: layer.variance_ratio for layer in variances},
        furthest_means={layer.name: layer.mean_shift for layer in means},
    )


def selfcheck_text(checked):
    """A Selfcheck for a person to read; the last lines say what is wrong."""

    def number(value):
        return "not finite" if value is None else "%.6f" % value

    scores = [
        ["training: the batch's own", number(checked.mad_training)],
        ["inference: the moving ones", number(checked.mad_inference)],
    ]
    lines = [
        "%s, %d pictures" % (checked.checkpoint, checked.pictures),
        format_pretty_table(scores, ["batch norm's statistics", "MAD (0..1)"]),
        "difference of the alphas (0..1): largest %s, mean %s"
        % (number(checked.largest_difference), number(checked.mean_difference)),
        "%d moving variances from %.3g to %.3g, %d not positive; %d moving statistics not finite"
        % (
            checked.variances,
            checked.smallest_variance,
            checked.largest_variance,
            checked.not_positive,
            checked.not_finite,
        ),
    ]
    if checked.layers:
        variances, means = _worst(checked)
        rows = [["variance", layer.name, "%.3g x" % layer.variance_ratio] for layer in variances]
        rows += [
            ["mean", layer.name, "%.3g standard deviations off" % layer.mean_shift]
            for layer in means
        ]
        header = ["statistic", "layer", "moving, against the batch's"]
        lines.append("furthest from the batch, each in its furthest channel:")
        lines.append(format_pretty_table(rows, header))
    problems = ["wrong: " + problem for problem in checked.problems]
    return "\n".join(lines + (problems or ["the moving statistics fit the weights"]))
