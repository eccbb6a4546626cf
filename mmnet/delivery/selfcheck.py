"""The selfcheck verb: do batch norm's moving statistics fit the weights?

In training batch norm divides by the batch's own statistics; everywhere else by the moving ones, which nothing in
training reads. Where they broke, the loss looks well and the delivered network is bad.
"""
from typing import List, NamedTuple, Optional

import numpy as np
from humanfriendly.tables import format_pretty_table

from mmnet import backend, checkpoint
from mmnet.compat import tf
from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import read_pair
from mmnet.delivery.predictor import need_fit
from mmnet.networks.layers import BATCH_NORM_EPSILON, BATCH_STATISTICS, INFERENCE, TRAINING
from mmnet.networks.mmnet import mmnet
from mmnet.scoring.metrics import mad

# With moving statistics the published checkpoints score .4 to 1.4 times what they do with the statistics of eight
# pictures, and at most 2.2 times (.040, .019) with those of one; the broken run that this check is for scored .2164
# instead of about .025.
LARGEST_RATIO = 2.0  # of the MAD in inference mode to that in training mode ...
LARGEST_EXCESS = 0.02  # ... and this much more, 0..1
WORST = 5  # layers to name


class Layer(NamedTuple):
    """One batch norm, its moving statistics against the batch's."""
    name: str
    variance_ratio: float  # moving / batch variance of the channel where that is furthest from 1; both with epsilon
    mean_shift: float  # |moving - batch mean| in standard deviations of the batch, the largest of the channels


class Selfcheck(NamedTuple):
    checkpoint: str  # prefix
    pictures: int
    mad_training: Optional[float]  # 0..1, batch norm by the batch; None where an alpha is not finite
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


def selfcheck(checkpoint_path, pairs, width_multiplier=1.0, size=256, device=None):
    """Run the pairs as one batch through a checkpoint's network in both modes.

    Args:
        checkpoint_path: a prefix, or a folder: its latest. pairs: list of data.pairs.Pair. device: as
        backend.need_device takes it.

    Returns:
        Selfcheck.

    Raises:
        FileNotFoundError, ValueError: no such checkpoint, a damaged one, or another network's; no such device.
    """
    backend.need_device(device)
    prefix = checkpoint.resolve(checkpoint_path)
    samples = [[resize_bilinear(picture, (size, size), align_corners=True) for picture in read_pair(pair)]
               for pair in pairs]
    images, truths = (np.stack(part) for part in zip(*samples))
    graph = tf.Graph()
    with graph.as_default(), tf.Session(config=backend.session_config(device)) as session:
        x = tf.placeholder(tf.float32, images.shape)
        by_batch = tf.nn.softmax(mmnet(x / 255.0, TRAINING, width_multiplier).logits)[..., 1]
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            by_moving = tf.nn.softmax(mmnet(x / 255.0, INFERENCE, width_multiplier).logits)[..., 1]
        variables = tf.global_variables()
        need_fit(checkpoint.restore(session, checkpoint.read(prefix), variables), prefix, width_multiplier)
        values = session.run({variable.op.name: variable for variable in variables})
        statistics = {moving.op.name: batch for moving, batch in tf.get_collection(BATCH_STATISTICS)}
        training, inference, batch = session.run([by_batch, by_moving, statistics], {x: images})

    finite = {name: bool(np.isfinite(value).all()) for name, value in values.items()}
    moving = {name: values[name] for name in statistics}
    variance = np.concatenate([value for name, value in moving.items() if name.endswith("variance")])
    mad_training, mad_inference = _mad(training, truths), _mad(inference, truths)
    difference = np.abs(training - inference) if None not in (mad_training, mad_inference) else None
    with np.errstate(invalid="ignore"):
        not_positive = {name: int(np.sum(value <= 0)) for name, value in moving.items() if name.endswith("variance")}
    problems = list(_problems([name for name in finite if not finite[name]], not_positive, mad_training, mad_inference))
    return Selfcheck(prefix, len(pairs), mad_training, mad_inference,
                     None if difference is None else float(difference.max()),
                     None if difference is None else float(difference.mean(dtype=np.float64)),
                     variance.size, float(variance.min()), float(variance.max()),
                     sum(int(np.sum(~np.isfinite(value))) for value in moving.values()),
                     sum(not_positive.values()), _layers(moving, batch), problems)


def _mad(alphas, truths):
    """The mean over the pictures, or None where an alpha is not finite."""
    return float(np.mean([mad(*pair) for pair in zip(alphas, truths)])) if np.isfinite(alphas).all() else None


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
            yield ("the moving statistics do not fit the weights: MAD %.4f with them, %.4f with the batch's own; at most "
                   "%.4f is well" % (mad_inference, mad_training, limit))


def _layers(moving, batch):
    """A Layer for every batch norm; ``moving`` and ``batch`` map the moving statistics' names to values [C]."""
    layers = []
    for name in (name[:-len("/moving_mean")] for name in moving if name.endswith("/moving_mean")):
        variance = batch[name + "/moving_variance"].astype(np.float64) + BATCH_NORM_EPSILON
        with np.errstate(invalid="ignore"):
            ratio = (moving[name + "/moving_variance"] + BATCH_NORM_EPSILON) / variance
            shift = np.abs(moving[name + "/moving_mean"] - batch[name + "/moving_mean"]) / np.sqrt(variance)
        if np.isfinite(ratio).all() and np.isfinite(shift).all() and (ratio > 0).all():
            layers.append(Layer(name, float(ratio[np.argmax(np.abs(np.log(ratio)))]), float(shift.max())))
    return layers


def _worst(checked):
    """(layers furthest off in the variance, layers furthest off in the mean)"""
    return (sorted(checked.layers, key=lambda layer: -abs(np.log(layer.variance_ratio)))[:WORST],
            sorted(checked.layers, key=lambda layer: -layer.mean_shift)[:WORST])


def to_dict(checked):
    """Ready for JSON, which knows no number that is not finite: those become null."""
    values = checked._asdict()
    del values["layers"]
    variances, means = _worst(checked)
    values = {name: None if isinstance(value, float) and not np.isfinite(value) else value
              for name, value in values.items()}
    return dict(values, furthest_variances={layer.name: layer.variance_ratio for layer in variances},
                furthest_means={layer.name: layer.mean_shift for layer in means})


def text(checked):
    def number(value):
        return "not finite" if value is None else "%.6f" % value

    variances, means = _worst(checked)
    lines = ["%s, %d pictures" % (checked.checkpoint, checked.pictures),
             format_pretty_table([["training: the batch's own", number(checked.mad_training)],
                                  ["inference: the moving ones", number(checked.mad_inference)]],
                                 ["batch norm's statistics", "MAD (0..1)"]),
             "difference of the alphas (0..1): largest %s, mean %s" % (
                 number(checked.largest_difference), number(checked.mean_difference)),
             "%d moving variances from %.3g to %.3g, %d not positive; %d moving statistics not finite" % (
                 checked.variances, checked.smallest_variance, checked.largest_variance, checked.not_positive,
                 checked.not_finite)]
    if checked.layers:
        lines += ["furthest from the batch, each in its furthest channel:", format_pretty_table(
            [["variance", layer.name, "%.3g x" % layer.variance_ratio] for layer in variances] +
            [["mean", layer.name, "%.3g standard deviations off" % layer.mean_shift] for layer in means],
            ["statistic", "layer", "moving, against the batch's"])]
    return "\n".join(lines + (["wrong: " + problem for problem in checked.problems] or
                              ["the moving statistics fit the weights"]))
