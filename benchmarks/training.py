"""Compare training with a plain baseline in the same run: python benchmarks/training.py DATASET.

Whole steps: the baseline computes batch norm with single operations and decodes every image in each
step. With --input: the baseline is a loop that decodes, resizes and augments one image after the
other. Both take turns; compare the ratios, not the times.
"""

import argparse
import os
import sys
import time
from contextlib import closing

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mmnet.datasets.augmentation import augment, sample_shape
from mmnet.datasets.batches import generate_batches
from mmnet.datasets.cache import open_samples
from mmnet.datasets.pairs import find_dataset
from mmnet.io.tables import format_table
from mmnet.networks.layers import BATCH_STATISTICS, TRAINING
from mmnet.networks.network import Network
from mmnet.networks.registry import find_definition
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config, training_session_config
from mmnet.training.graph import Recipe, build_training_graph
from mmnet.training.input import DataConfig

WARM_UP_STEPS = 2
BATCHES_PER_TURN = 5  # the baseline makes one batch per turn
POLICY = DataConfig(()).policy
LEARNING_RATE, BATCH_NORM_DECAY = 1e-4, 0.999


def unfused_batch_norm(x, gamma, beta, moving_mean, moving_variance, epsilon):
    """Compute batch norm of the batch's statistics with single operations."""
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    tf.add_to_collection(BATCH_STATISTICS, (moving_mean, mean))
    tf.add_to_collection(BATCH_STATISTICS, (moving_variance, variance))
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)


class Trainer:
    """Trains step by step."""

    def __init__(self, dataset, network, batch_size, *, is_baseline):
        mode = TRAINING._replace(batch_norm=unfused_batch_norm) if is_baseline else TRAINING
        recipe = Recipe(find_definition(network).loss_weights, mode=mode)
        with tf.Graph().as_default() as graph:
            self._graph = build_training_graph(network, recipe, batch_size)
        config = session_config() if is_baseline else training_session_config()
        self._session = tf.Session(graph=graph, config=config)
        self._session.run(self._graph.initializer)
        cache = "none" if is_baseline else "memory"
        samples = open_samples(dataset, sample_shape(network.shape, POLICY), cache)
        self._batches = generate_batches([samples], network.shape, POLICY, batch_size, seed=0)

    def step(self):
        """Return the seconds of one step, with its input."""
        graph, start = self._graph, time.perf_counter()
        batch = next(self._batches)
        feed = {
            graph.images: batch.images,
            graph.truths: batch.masks / np.float32(255),
            graph.learning_rate: LEARNING_RATE,
            graph.batch_norm_decay: BATCH_NORM_DECAY,
        }
        self._session.run([graph.step, graph.losses], feed)
        return time.perf_counter() - start

    def close(self):
        self._batches.close()
        self._session.close()


def time_steps(dataset, network, batch_size, turns):
    """Return seconds per step [turns, 2]: mmnet and the baseline."""
    trainer = Trainer(dataset, network, batch_size, is_baseline=False)
    baseline = Trainer(dataset, network, batch_size, is_baseline=True)
    with closing(trainer), closing(baseline):
        for _ in range(WARM_UP_STEPS):
            trainer.step()
            baseline.step()
        return np.array([[trainer.step(), baseline.step()] for _ in range(turns)])


def time_input(dataset, network, batch_size, turns):
    """Return seconds per batch [turns, 3]: from memory, decoded each time, and the baseline."""
    shape = network.shape
    sources = [
        open_samples(dataset, sample_shape(shape, POLICY), cache) for cache in ("memory", "none")
    ]
    rows = []
    for turn in range(turns):
        row = []
        for samples in sources:
            start = time.perf_counter()
            first = turn * BATCHES_PER_TURN
            batches = generate_batches([samples], shape, POLICY, batch_size, seed=0, start=first)
            with closing(batches):
                for _ in range(BATCHES_PER_TURN):
                    next(batches)
                row.append((time.perf_counter() - start) / BATCHES_PER_TURN)
        random, start = np.random.RandomState(turn), time.perf_counter()
        for index in range(turn * batch_size, (turn + 1) * batch_size):
            augment(*sources[1][index % len(dataset)], random, shape, POLICY)
        row.append(time.perf_counter() - start)
        rows.append(row)
    return np.array(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="folder with train/image and train/mask")
    parser.add_argument("--input", action="store_true", help="measure the input only")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--size", type=int, default=256, help="side of the network input")
    parser.add_argument("--turns", type=int, default=10, help="measurements of each")
    options = parser.parse_args()
    dataset = find_dataset(options.dataset, "train")
    network = Network(shape=(options.size, options.size))
    measure = time_input if options.input else time_steps
    names = ["mmnet", "baseline"]
    if options.input:
        names = ["from memory", "decoded each time", "baseline"]
    seconds = measure(dataset, network, options.batch_size, options.turns)
    ratios = np.median(seconds[:, -1:] / seconds, axis=0)
    rows = [("", "ms per batch (median)", "images/s", "times as fast as the baseline")]
    for name, median, ratio in zip(names, np.median(seconds, axis=0), ratios):
        rate = options.batch_size / median
        rows.append((name, f"{1e3 * median:.1f}", f"{rate:.1f}", f"{ratio:.2f}"))
    print(format_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
