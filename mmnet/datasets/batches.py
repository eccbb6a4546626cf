"""Threads prepare training batches ahead of their use. This needs no TensorFlow.

Batch number k depends only on the seed, on k and on the datasets. A run that goes on from step k
therefore needs nothing but k, and the number of threads changes nothing.
"""

import contextlib
import itertools
import os
import threading
from functools import lru_cache, partial
from typing import List, NamedTuple, Tuple

import numpy as np

from mmnet.datasets.augmentation import AugmentOptions, augment, sample_shape
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.parallel import parallel_map

AHEAD = 4  # so many batches are in preparation or ready while the network works on one
BLOCK = 1000  # in so many positions, weighted datasets take their exact shares

# These numbers are mixed with the seed, so that each purpose has its own random numbers. The order
# of joined datasets uses [seed, epoch] alone.
AUGMENTATION, MIXTURE, ORDER = 1, 2, 3


class Batch(NamedTuple):
    images: np.ndarray  # uint8 [N,H,W,3]; [N,H,W,4] with changes.previous
    masks: np.ndarray  # uint8 [N,H,W]
    indices: List[Tuple[int, int]]  # (dataset, sample) of each picture
    epoch: float  # pictures drawn so far (with this batch) / pictures in all datasets


def batches(
    samples,
    shape,
    policy,
    batch_size,
    *,
    seed,
    start=0,
    weights=None,
    changes=AugmentOptions(),
    workers=None,
    part=(0, 1),
):
    """Yield training batches without end, from batch number ``start`` on.

    No picture is dropped: batches continue across epochs and are always full. Close the generator
    to stop its threads.

    Args:
        samples: list of data.samples.Samples, each of shape augment.sample_shape(shape, policy).
        shape: (height, width).
        policy: a name of augment.POLICIES.
        seed: 0 to 2**32 - 1.
        weights: the share of each dataset; they may have any sum. Shares are rounded to
            thousandths and kept exactly in each 1000 pictures. Each dataset is read again and
            again, each time in a new order. With None, and with a single dataset, all pictures are
            shuffled together, and each comes exactly once an epoch.
        changes: as augment.
        workers: number of threads; None means one per processor.
        part: (k, n): give the k-th of n equal parts of each batch, for one of n processes.

    Returns:
        generator of Batch. It raises the errors of single pictures, with the file's name.

    Raises:
        ValueError: the samples have another shape, the weights do not fit, or batch_size, seed,
            start or workers is out of range.
    """
    if not samples:
        raise MmnetError("no dataset to make batches of")
    expected = sample_shape(shape, policy)
    for data_set in samples:
        if data_set.shape != expected:
            raise MmnetError(
                "%s at %s takes samples of %s, not %s"
                % ((policy,) + tuple(map(format_shape, (shape, expected, data_set.shape))))
            )
    in_range = batch_size >= 1 and start >= 0 and 0 <= seed < 1 << 32
    if not in_range or (workers is not None and workers < 1):
        raise MmnetError(
            "batch_size %r and workers %r are at least 1, start %r at least 0, seed %r is 0 to "
            "2**32 - 1" % (batch_size, workers, start, seed)
        )
    lengths = [len(data_set) for data_set in samples]
    if weights is None or len(samples) == 1:
        locate = _joined(lengths, seed)
    else:
        locate = _mixed(lengths, _shares(weights, len(samples)), seed)
    if batch_size % part[1] or not 0 <= part[0] < part[1]:
        raise MmnetError("a batch of %d pictures has no %d equal parts" % (batch_size, part[1]))
    share = batch_size // part[1]
    sizes = (share,) + tuple(shape) + (4 if changes.previous else 3,)
    slots = range(share * part[0], share * (part[0] + 1))
    tasks = _tasks(
        sizes, slots, batch_size=batch_size, start=start, total=sum(lengths), locate=locate
    )
    make = partial(augment, policy=policy, changes=changes)
    return _generate(samples, tasks, make, seed=seed, workers=workers or os.cpu_count() or 1)


def _tasks(sizes, slots, *, batch_size, start, total, locate):
    """Yield (Batch to fill, slot in that Batch, position) without end.

    slots: of a batch of ``batch_size``, those that are filled here.
    """
    for number in itertools.count(start):
        positions = [number * batch_size + slot for slot in slots]
        batch = Batch(
            np.empty(sizes, np.uint8),
            np.empty(sizes[:3], np.uint8),
            [locate(position) for position in positions],
            (number + 1) * batch_size / total,
        )
        for slot, position in enumerate(positions):
            yield batch, slot, position


def _generate(samples, tasks, make, seed, workers):
    """Yield Batches whose pictures ``make`` (image, mask, random, shape) has made of samples."""
    local = threading.local()

    def prepare(task):
        batch, slot, position = task
        if not hasattr(local, "random"):
            local.random = np.random.RandomState()
        # Seeding takes a tenth of the time that a new generator takes.
        local.random.seed([seed, AUGMENTATION, position])
        data_set, index = batch.indices[slot]
        image, mask = samples[data_set][index]
        shape = batch.masks.shape[1:]
        batch.images[slot], batch.masks[slot] = make(image, mask, local.random, shape)
        return batch if slot == len(batch.masks) - 1 else None

    first = next(tasks)
    max_pending = AHEAD * len(first[0].masks)
    tasks = itertools.chain([first], tasks)
    prepared = parallel_map(prepare, tasks, threads=workers, max_pending=max_pending)
    with contextlib.closing(prepared):
        for batch in prepared:
            if batch:  # this is its last picture; results come in the order of the tasks
                yield batch


def _joined(lengths, seed):
    """Give the function position -> (dataset, sample) that shuffles all datasets together.

    Each epoch has its own order.
    """
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
    """Give the function position -> (dataset, sample) that mixes datasets by their ``shares``.

    Every block of BLOCK positions holds each dataset as often as its share says, in the block's
    own order. So it is known how often a dataset came before any position, without a count from
    the start.
    """

    @lru_cache(maxsize=2)
    def block_of(number):
        every = np.repeat(range(len(shares)), shares)
        data_sets = np.random.RandomState([seed, MIXTURE, number]).permutation(every)
        # For each position: how many earlier positions of this block have the same dataset.
        earlier = np.empty(BLOCK, int)
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
        asked = number * shares[data_set] + int(earlier[offset])
        epoch, turn = divmod(asked, lengths[data_set])
        return data_set, int(order(data_set, epoch)[turn])

    return locate


def _shares(weights, count):
    """Turn weights into whole numbers of positions that add up to BLOCK.

    They are rounded down. Then the largest remainders get one position more each, until the sum is
    BLOCK.
    """
    exact = np.array(weights, np.float64)
    usable = exact.shape == (count,) and np.isfinite(exact).all()
    if not usable or exact.min() < 0 or exact.sum() == 0:
        raise MmnetError("weights are %d numbers of at least 0, not all 0: %r" % (count, weights))
    exact *= BLOCK / exact.sum()
    shares = np.floor(exact).astype(int)
    shares[np.argsort(shares - exact, kind="stable")[: BLOCK - shares.sum()]] += 1
    if (shares[exact > 0] == 0).any():
        raise MmnetError(
            "weights %r: a share is below 1/%d, which would give none of its pictures"
            % (weights, BLOCK)
        )
    return shares.tolist()
