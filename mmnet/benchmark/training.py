"""A training step, and the input of training, against a plain baseline in the same run.

The baseline's step: batch norm of single operations, dilations through the batch (SpaceToBatchND),
every picture decoded each time. The baseline's input: one thread that decodes, resizes and augments
one picture after the other.
"""

import logging
import time
from contextlib import closing
from typing import NamedTuple

import numpy as np

from mmnet.benchmark.models import machine
from mmnet.compat import tf
from mmnet.config.settings import Train
from mmnet.data.augment import augment, sample_shape
from mmnet.data.batches import AHEAD, batches
from mmnet.data.samples import open_samples
from mmnet.device import Device, session_config, training_session_config
from mmnet.files import short_names
from mmnet.networks.layers import BATCH_STATISTICS, TRAINING, Mode
from mmnet.progress import progress
from mmnet.training.graph import Recipe, build_training_graph
from mmnet.training.losses import recipe_of

WARM_UP_STEPS = 2
OURS, BASELINE = "mmnet", "baseline"
INPUT_BATCHES = 5 * AHEAD  # of ours in a turn; the baseline's turn is one batch

log = logging.getLogger(__name__)


class Rate(NamedTuple):
    """How fast pictures go through."""

    name: str  # OURS, BASELINE, or a data set and how it is read
    batch: int
    median_ms: float  # of a batch
    p90_ms: float
    images_per_second: float  # at the median
    waiting_percent: float  # of a step's time, for input
    speed_up: float  # over the baseline: its time / this one's, median over the turns
    speed_up_low: float  # 10th percentile of the turns
    speed_up_high: float  # 90th


def benchmark_steps(data_set, network, *, batch=32, turns=10, device=Device()):
    """A Rate each for whole training steps of ours and of the baseline, which take turns.

    Real input is included.

    Args:
        data_set: DataSet to train on. turns: steps of each that are measured.
    """
    log.info("building two training graphs and reading %d pictures", len(data_set))
    steppers = [Stepper(data_set, network, batch, mode, device) for mode in (TRAINING, PLAIN)]
    log.info("%d steps of each to warm up, then %d of each are measured", WARM_UP_STEPS, turns)
    with closing(steppers[0]), closing(steppers[1]):
        for _ in range(WARM_UP_STEPS):
            for stepper in steppers:
                stepper.step()
        taken = [
            [stepper.step() for stepper in steppers]
            for _ in progress(range(turns), turns, "steps", "turns")
        ]
    seconds, waited = np.moveaxis(np.array(taken), 2, 0)  # each [turns, 2]
    waiting = 100 * waited.sum(axis=0) / seconds.sum(axis=0)
    names = (OURS, BASELINE)
    return rates(dict(zip(names, seconds.T)), batch, dict(zip(names, waiting)))


class Stepper:
    """One way to train, step by step; mode PLAIN is the baseline."""

    def __init__(self, data_set, network, batch, mode, device):
        plain = mode is PLAIN
        recipe = Recipe(recipe_of(network, {}), Train.weight_decay, mode=mode)
        with tf.Graph().as_default() as graph:
            self._graph = build_training_graph(network, recipe, batch)
        config = session_config(device) if plain else training_session_config(device)
        self._session = tf.Session(graph=graph, config=config)
        self._session.run(self._graph.initializer)
        policy = Train.augmentation_method
        shape = sample_shape(network.shape, policy)
        samples = open_samples(data_set, shape, "none" if plain else "memory")
        self._batches = batches([samples], network.shape, policy, batch, seed=0)

    def step(self):
        """(seconds of the step, seconds of it spent waiting for input)"""
        graph, start = self._graph, time.perf_counter()
        batch = next(self._batches)
        waited = time.perf_counter() - start
        feed = {
            graph.images: batch.images,
            graph.truths: batch.masks / np.float32(255),
            graph.learning_rate: Train.learning_rate,
            graph.batch_norm_decay: Train.batch_norm_decay,
        }
        self._session.run([graph.step, graph.losses], feed)
        return time.perf_counter() - start, waited

    def close(self):
        self._batches.close()
        self._session.close()


def benchmark_input(data_sets, network, *, batch=32, turns=10):
    """Rates of the input of training alone, in turns.

    Of each DataSet, with its samples in memory and decoded each time; the baseline reads the first.
    """
    policy, shape = Train.augmentation_method, network.shape
    ways, names = {}, short_names([data_set.path for data_set in data_sets])
    for data_set, name in zip(data_sets, names):
        for cache, how in (("memory", "from memory"), ("none", "decoded each time")):
            ways["%s, %s" % (name, how)] = open_samples(
                data_set, sample_shape(shape, policy), cache
            )
    plain = ways["%s, decoded each time" % names[0]]
    taken = {name: [] for name in (*ways, BASELINE)}
    for turn in progress(range(turns), turns, "batches", "turns"):
        for name, samples in ways.items():
            start, first = time.perf_counter(), turn * INPUT_BATCHES
            with closing(batches([samples], shape, policy, batch, seed=0, start=first)) as prepared:
                for _ in range(INPUT_BATCHES):
                    next(prepared)
                taken[name].append((time.perf_counter() - start) / INPUT_BATCHES)
        random, start = np.random.RandomState(turn), time.perf_counter()
        for picture in range(turn * batch, (turn + 1) * batch):
            augment(*plain[picture % len(plain)], random, shape, policy)
        taken[BASELINE].append(time.perf_counter() - start)
    return rates({name: np.array(seconds) for name, seconds in taken.items()}, batch)


def rates(taken, batch, waiting=None):
    """The Rates of turns taken together.

    Args:
        taken: name -> [turns] seconds of a batch, BASELINE's among them. waiting: name -> percent
            of that time spent waiting for input; None: it is all input.
    """
    rows = []
    for name, seconds in taken.items():
        speed_ups = taken[BASELINE] / seconds
        median = float(np.median(seconds))
        rows.append(
            Rate(
                name,
                batch,
                median_ms=1e3 * median,
                p90_ms=1e3 * float(np.percentile(seconds, 90)),
                images_per_second=batch / median,
                waiting_percent=100.0 if waiting is None else float(waiting[name]),
                speed_up=float(np.median(speed_ups)),
                speed_up_low=float(np.percentile(speed_ups, 10)),
                speed_up_high=float(np.percentile(speed_ups, 90)),
            )
        )
    return rows


def unfused(x, gamma, beta, moving_mean, moving_variance, epsilon):
    """Batch norm of the batch's statistics in single operations."""
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
    tf.add_to_collection(BATCH_STATISTICS, (moving_variance, variance))
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)


def through_batch(x, weights, stride, dilation, padding):
    """Depthwise convolution, dilated as TensorFlow does it."""
    strides = [1, stride, stride, 1]
    return tf.nn.depthwise_conv2d(x, weights, strides, padding, rate=[dilation] * 2)


PLAIN = Mode(unfused, through_batch)


def rates_text(rows, what):
    """A table; ``what`` is measured, in words."""
    lines = ["%s, batch %d, %s" % (what, rows[0].batch, machine())]
    width = max(len(row.name) for row in rows)
    for row in rows:
        waiting = ", %.2f %% waiting for input" % row.waiting_percent
        lines.append(
            "%-*s  %8.1f ms a batch (90 %%: %.1f ms)  %7.1f images/s  %5.2f x the baseline "
            "(%.2f .. %.2f)%s"
            % (
                width,
                row.name,
                row.median_ms,
                row.p90_ms,
                row.images_per_second,
                row.speed_up,
                row.speed_up_low,
                row.speed_up_high,
                "" if row.waiting_percent == 100 else waiting,
            )
        )
    return "\n".join(lines)
