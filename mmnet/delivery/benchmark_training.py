"""benchmark --train and --input: a training step, and the input pipeline, against a plain baseline in the same run.

The baseline's step: batch norm of single operations, dilations through the batch (SpaceToBatchND), every picture decoded
each time. The baseline's input: one thread that decodes, resizes and augments one picture after the other.
"""
import time
from contextlib import closing
from typing import NamedTuple

import numpy as np

from mmnet import backend
from mmnet.compat import tf
from mmnet.config import Train
from mmnet.data.augment import augment, sample_side
from mmnet.data.batches import AHEAD, batches
from mmnet.data.samples import open_samples
from mmnet.delivery.benchmark import machine
from mmnet.networks.layers import BATCH_NORM_EPSILON, BATCH_STATISTICS, TRAINING, Mode
from mmnet.progress import progress
from mmnet.training.graph import build_training_graph

TERMS = dict.fromkeys(("alpha", "composition", "gradient", "cross_entropy", "auxiliary"), 1.0)
WARM_UP_STEPS = 2
INPUT_BATCHES = 5 * AHEAD  # of ours in a turn; the baseline's turn is one batch


class Rate(NamedTuple):
    """How fast pictures go through."""
    name: str  # "mmnet" or "baseline"
    batch: int
    median_ms: float  # of a batch
    p90_ms: float
    images_per_second: float  # at the median
    waiting_percent: float  # of a step's time, for input
    speed_up: float  # over the baseline: its time / this one's, median over the turns
    speed_up_low: float  # 10th percentile of the turns
    speed_up_high: float  # 90th


def benchmark_steps(pairs, batch=32, size=256, width_multiplier=1.0, turns=10, device=None):
    """A Rate each for whole training steps, real input included, of ours and of the baseline, which take turns.

    Args:
        pairs: list of data.pairs.Pair to train on. turns: steps of each that are measured.
    """
    steppers = [Stepper(pairs, batch, size, width_multiplier, device, plain) for plain in (False, True)]
    with closing(steppers[0]), closing(steppers[1]):
        for _ in range(WARM_UP_STEPS):
            for stepper in steppers:
                stepper.step()
        taken = [[stepper.step() for stepper in steppers] for _ in progress(range(turns), turns, "steps", "turns")]
    seconds, waited = np.moveaxis(np.array(taken), 2, 0)  # each [turns, 2]
    return rates(seconds[:, 0], seconds[:, 1], batch, 100 * waited.sum(axis=0) / seconds.sum(axis=0))


class Stepper:
    """One way to train, step by step."""

    def __init__(self, pairs, batch, size, width_multiplier, device, plain):
        with tf.Graph().as_default() as graph:
            self._graph = build_training_graph(batch, size, width_multiplier, TERMS, Train.weight_decay,
                                               mode=PLAIN if plain else TRAINING)
        config = backend.session_config(device) if plain else backend.training_session_config(device)
        self._session = tf.Session(graph=graph, config=config)
        self._session.run(self._graph.initializer)
        policy = Train.augmentation_method
        samples = open_samples(pairs, sample_side(size, policy), "none" if plain else "memory")
        samples.fill()
        self._batches = batches([samples], size, policy, batch, 0)

    def step(self):
        """(seconds of the step, seconds of it spent waiting for input)"""
        graph, start = self._graph, time.perf_counter()
        batch = next(self._batches)
        waited = time.perf_counter() - start
        self._session.run([graph.step, graph.losses], {
            graph.images: batch.images, graph.truths: batch.masks / np.float32(255),
            graph.learning_rate: Train.learning_rate, graph.batch_norm_decay: Train.batch_norm_decay})
        return time.perf_counter() - start, waited

    def close(self):
        self._batches.close()
        self._session.close()


def benchmark_input(pairs, batch=32, size=256, turns=10):
    """A Rate each for the input of training alone, of ours (samples in memory) and of the baseline, which take turns."""
    policy = Train.augmentation_method
    side = sample_side(size, policy)
    kept, plain = open_samples(pairs, side, "memory"), open_samples(pairs, side, "none")
    kept.fill()
    ours, baseline = [], []
    for turn in progress(range(turns), turns, "batches", "turns"):
        start = time.perf_counter()
        with closing(batches([kept], size, policy, batch, 0, turn * INPUT_BATCHES)) as prepared:
            for _ in range(INPUT_BATCHES):
                next(prepared)
            ours.append((time.perf_counter() - start) / INPUT_BATCHES)
        random, start = np.random.RandomState(turn), time.perf_counter()
        for picture in range(turn * batch, (turn + 1) * batch):
            augment(*plain[picture % len(pairs)], random, size, policy)
        baseline.append(time.perf_counter() - start)
    return rates(np.array(ours), np.array(baseline), batch, (100.0, 100.0))


def rates(ours, baseline, batch, waiting_percent):
    """The two Rates of turns taken in pairs; ours, baseline: [turns] seconds of a batch."""
    rows = []
    for name, seconds, waiting in (("mmnet", ours, waiting_percent[0]), ("baseline", baseline, waiting_percent[1])):
        speed_ups = baseline / seconds
        rows.append(Rate(name, batch, 1e3 * float(np.median(seconds)), 1e3 * float(np.percentile(seconds, 90)),
                         batch / float(np.median(seconds)), float(waiting), float(np.median(speed_ups)),
                         float(np.percentile(speed_ups, 10)), float(np.percentile(speed_ups, 90))))
    return rows


def unfused(x, gamma, beta, moving_mean, moving_variance):
    """Batch norm of the batch's statistics in single operations."""
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
    tf.add_to_collection(BATCH_STATISTICS, (moving_variance, variance))
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, BATCH_NORM_EPSILON)


def through_batch(x, weights, stride, dilation):
    """Depthwise convolution, dilated as TensorFlow does it."""
    return tf.nn.depthwise_conv2d(x, weights, strides=[1, stride, stride, 1], padding="SAME", rate=[dilation] * 2)


PLAIN = Mode(unfused, through_batch)


def text(rows, what):
    """A table; ``what`` is measured, in words."""
    lines = ["%s, batch %d, %s" % (what, rows[0].batch, machine())]
    for row in rows:
        lines.append("%-8s  %8.1f ms a batch (90 %%: %.1f ms)  %7.1f images/s  %5.2f x the baseline (%.2f .. %.2f)"
                     % (row.name, row.median_ms, row.p90_ms, row.images_per_second, row.speed_up, row.speed_up_low,
                        row.speed_up_high)
                     + ("" if row.waiting_percent == 100 else ", %.2f %% waiting for input" % row.waiting_percent))
    return "\n".join(lines)
