"""Training batches, prepared ahead by threads. Batch number k follows from the seed, k and the data sets alone.

So a run that goes on from step k needs nothing but k, and the number of threads changes nothing. No TensorFlow.
"""
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import List, NamedTuple, Tuple

import numpy as np

from mmnet.data.augment import augment, sample_side
from mmnet.data.samples import map_ahead

AHEAD = 4  # batches under way or ready while the network works on one
BLOCK = 1000  # positions in which the weighted data sets take their exact shares

# What the seed is mixed with, besides [seed, epoch] for the order of joined data sets.
AUGMENTATION, MIXTURE, ORDER = 1, 2, 3


class Batch(NamedTuple):
    images: np.ndarray  # uint8 [N,size,size,3]
    masks: np.ndarray  # uint8 [N,size,size]
    indices: List[Tuple[int, int]]  # (data set, sample) of each picture
    epoch: float  # pictures given out so far, this batch included / pictures in all data sets


def batches(samples, size, policy, batch_size, seed, start=0, weights=None, workers=None):
    """Give training batches without end, from batch number ``start`` on; close the generator to stop its threads.

    Args:
        samples: list of data sets, each a data.samples.Samples of side augment.sample_side(size, policy).
        policy: a name of augment.POLICIES.
        seed: 0 to 2**32 - 1.
        weights: the share of each data set, of any sum; rounded to thousandths and kept exactly in each 1000 pictures.
            Each data set is gone through in its own shuffled order, again and again. None (and a single data set): all
            pictures are shuffled together, each exactly once an epoch. No picture is dropped: batches run on across
            epochs and are always full.
        workers: threads; None is one a processor.

    Returns:
        generator of Batch. What goes wrong with a picture is raised here, with the file's name.

    Raises:
        ValueError: samples of another side, weights that do not fit, a batch_size, seed, start or workers out of range.
    """
    if not samples:
        raise ValueError("no data set to make batches of")
    for data_set in samples:
        if data_set.side != sample_side(size, policy):
            raise ValueError("%s at size %d takes samples of side %d, not %d"
                             % (policy, size, sample_side(size, policy), data_set.side))
    if batch_size < 1 or start < 0 or not 0 <= seed < 1 << 32 or (workers is not None and workers < 1):
        raise ValueError("batch_size %r and workers %r are at least 1, start %r at least 0, seed %r is 0 to 2**32 - 1"
                         % (batch_size, workers, start, seed))
    lengths = [len(data_set) for data_set in samples]
    if weights is None or len(samples) == 1:
        locate = _joined(lengths, seed)
    else:
        locate = _mixed(lengths, _shares(weights, len(samples)), seed)
    return _generate(samples, size, policy, batch_size, seed, start, locate, workers or os.cpu_count() or 1)


def _generate(samples, size, policy, batch_size, seed, start, locate, workers):
    local = threading.local()
    total = sum(len(data_set) for data_set in samples)

    def tasks():
        for number in itertools.count(start):
            positions = range(number * batch_size, (number + 1) * batch_size)
            batch = Batch(np.empty((batch_size, size, size, 3), np.uint8), np.empty((batch_size, size, size), np.uint8),
                          [locate(position) for position in positions], positions.stop / total)
            for slot, position in enumerate(positions):
                yield batch, slot, position

    def prepare(task):
        batch, slot, position = task
        if not hasattr(local, "random"):
            local.random = np.random.RandomState()
        local.random.seed([seed, AUGMENTATION, position])  # a tenth of the time that a new generator takes
        data_set, index = batch.indices[slot]
        image, mask = samples[data_set][index]
        batch.images[slot], batch.masks[slot] = augment(image, mask, local.random, size, policy)
        return batch if slot == batch_size - 1 else None

    with ThreadPoolExecutor(workers) as pool:
        prepared = map_ahead(pool, prepare, tasks(), AHEAD * batch_size)
        try:
            for batch in prepared:
                if batch:  # its last picture is done, and those before it were asked for before
                    yield batch
        finally:
            prepared.close()  # cancels what has not begun, so that the pool closes at once


def _joined(lengths, seed):
    """Position -> (data set, sample), all data sets shuffled together anew each epoch."""
    ends = np.cumsum(lengths)
    total = int(ends[-1])

    @lru_cache(maxsize=2)
    def order(epoch):
        return np.random.RandomState([seed, epoch]).permutation(total)

    def locate(position):
        picture = int(order(position // total)[position % total])
        data_set = int(np.searchsorted(ends, picture, side="right"))
        return data_set, picture - int(ends[data_set]) + lengths[data_set]
    return locate


def _mixed(lengths, shares, seed):
    """Position -> (data set, sample), ``shares`` of each BLOCK positions from each data set.

    Every block holds each data set equally often, in an order of its own. So how often a data set was asked before any
    position is known without going through the positions.
    """
    @lru_cache(maxsize=2)
    def block_of(number):
        data_sets = np.random.RandomState([seed, MIXTURE, number]).permutation(np.repeat(range(len(shares)), shares))
        earlier = np.empty(BLOCK, int)  # positions of this block before this one that have its data set
        for data_set, share in enumerate(shares):
            earlier[data_sets == data_set] = range(share)
        return data_sets, earlier

    @lru_cache(maxsize=2 * len(lengths))
    def order(data_set, epoch):
        return np.random.RandomState([seed, ORDER, data_set, epoch]).permutation(lengths[data_set])

    def locate(position):
        number, offset = divmod(position, BLOCK)
        data_sets, earlier = block_of(number)
        data_set = int(data_sets[offset])
        epoch, turn = divmod(number * shares[data_set] + int(earlier[offset]), lengths[data_set])
        return data_set, int(order(data_set, epoch)[turn])
    return locate


def _shares(weights, count):
    """Weights as whole numbers of BLOCK positions: rounded down, what is left goes to the largest remainders."""
    exact = np.array(weights, np.float64)
    if exact.shape != (count,) or not np.isfinite(exact).all() or exact.min() < 0 or exact.sum() == 0:
        raise ValueError("weights are %d numbers of at least 0, not all 0: %r" % (count, weights))
    exact *= BLOCK / exact.sum()
    shares = np.floor(exact).astype(int)
    shares[np.argsort(shares - exact, kind="stable")[:BLOCK - shares.sum()]] += 1
    if (shares[exact > 0] == 0).any():
        raise ValueError("weights %r: a share is below 1/%d, which would give none of its pictures" % (weights, BLOCK))
    return shares.tolist()
