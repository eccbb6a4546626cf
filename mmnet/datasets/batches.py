"""Prepare training batches in threads, ahead of their use. No TensorFlow.

Batch k is a function of the seed, of k and of the datasets. A run that resumes at step k needs
nothing else, and the number of threads does not change the batches.
"""

import contextlib
import itertools
import os
import threading
from functools import lru_cache
from typing import Any, Callable, Generator, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet.datasets.augmentation import AugmentOptions, augment, sample_shape
from mmnet.datasets.cache import Samples
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.parallel import parallel_map

BATCHES_AHEAD = 4  # batches that are prepared while the network processes one
BLOCK_SIZE = 1000  # positions in which the weights of datasets hold exactly

# These numbers are mixed with the seed, so each purpose has its own random numbers. The order of
# shuffled datasets uses [seed, epoch] alone.
AUGMENTATION, DATASET_CHOICE, DATASET_ORDER = 1, 2, 3

Location = Tuple[int, int]  # (dataset, sample)


class Batch(NamedTuple):
    """Training images and masks."""

    images: np.ndarray  # uint8 [N,H,W,3], or [N,H,W,4] with options.previous_alpha
    masks: np.ndarray  # uint8 [N,H,W]
    indices: List[Location]  # one per image
    epoch: float  # images drawn so far, including this batch / images in all datasets


def generate_batches(
    samples: Sequence[Samples],
    shape: Tuple[int, int],
    policy: str,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    weights: Optional[Sequence[float]] = None,
    options: AugmentOptions = AugmentOptions(),
    workers: Optional[int] = None,
    rank: int = 0,
    group_size: int = 1,
) -> Generator[Batch, None, None]:
    """Generate training batches without end. Closing the generator stops its threads.

    No image is dropped: batches continue across epochs and are always full.

    Args:
        samples: one Samples per dataset, of the shape ``sample_shape(shape, policy)``.
        shape: (height, width) of the images.
        policy: a name of augmentation.POLICIES.
        batch_size: images per step, summed over all processes.
        seed: 0 to 2**32 - 1.
        start: number of the first batch.
        weights: sampling weight of each dataset, of any sum. They are rounded to thousandths and
            hold exactly in each 1000 images. Each dataset is read repeatedly, each time in a new
            order. None shuffles all images together: each appears exactly once per epoch.
        options: further augmentation.
        workers: number of threads. None uses one per processor.
        rank: process of the group; it receives its equal part of each batch.
        group_size: number of processes.

    Raises:
        MmnetError: an argument is out of range, or samples have another shape. The generator
            raises the errors of single images, with the file name.
    """
    _check_samples(samples, shape, policy)
    _check_numbers(batch_size=batch_size, seed=seed, start=start, workers=workers)
    if batch_size % group_size:
        message = f"{batch_size} is not a multiple of the number of processes, {group_size}"
        raise MmnetError(message, "batch_size")
    lengths = [len(dataset_samples) for dataset_samples in samples]
    if weights is None or len(samples) == 1:
        locate = _shuffle_together(lengths, seed)
    else:
        locate = _mix_by_weight(lengths, _block_shares(weights, len(samples)), seed)
    rank_size = batch_size // group_size

    def empty_batches():
        for number in itertools.count(start):
            first = number * batch_size + rank * rank_size
            indices = [locate(position) for position in range(first, first + rank_size)]
            images = np.empty((rank_size, *shape, 4 if options.previous_alpha else 3), np.uint8)
            masks = np.empty((rank_size, *shape), np.uint8)
            epoch = (number + 1) * batch_size / sum(lengths)
            yield first, Batch(images, masks, indices, epoch)

    def make_sample(location, random):
        image, mask = samples[location[0]][location[1]]
        return augment(image, mask, random, shape, policy, options)

    max_pending = BATCHES_AHEAD * rank_size
    return _fill_batches(empty_batches(), make_sample, seed, workers, max_pending)


def _fill_batches(
    empty_batches: Iterator[Tuple[int, Batch]],
    make_sample: Callable[[Location, np.random.RandomState], Any],
    seed: int,
    workers: Optional[int],
    max_pending: int,
) -> Generator[Batch, None, None]:
    """Yield batches whose images threads have made, in order.

    Args:
        empty_batches: (position of the first image, Batch).
        make_sample: (location, random) -> (image, mask).
        seed: is mixed with the position of each image.
        workers: number of threads.
        max_pending: images in preparation.
    """
    local = threading.local()

    def fill(task):
        batch, slot, position = task
        if not hasattr(local, "random"):
            local.random = np.random.RandomState()  # seeding is faster than a new generator
        local.random.seed([seed, AUGMENTATION, position])
        batch.images[slot], batch.masks[slot] = make_sample(batch.indices[slot], local.random)
        is_last = slot == len(batch.masks) - 1
        return batch if is_last else None

    tasks = (
        (batch, slot, first + slot)
        for first, batch in empty_batches
        for slot in range(len(batch.masks))
    )
    results = parallel_map(
        fill, tasks, threads=workers or os.cpu_count() or 1, max_pending=max_pending
    )
    with contextlib.closing(results):
        for batch in results:  # results have the order of the tasks
            if batch is not None:
                yield batch


def _check_samples(samples, shape, policy):
    if not samples:
        raise MmnetError("no dataset")
    expected = sample_shape(shape, policy)
    for dataset_samples in samples:
        if dataset_samples.shape != expected:
            raise MmnetError(
                f"{policy} at {format_shape(shape)} needs samples of {format_shape(expected)}, not "
                f"{format_shape(dataset_samples.shape)}"
            )


def _check_numbers(batch_size, seed, start, workers):
    if batch_size < 1:
        raise MmnetError(f"{batch_size}: must be at least 1", "batch_size")
    if not 0 <= seed < 1 << 32:
        raise MmnetError(f"{seed}: must be from 0 to {(1 << 32) - 1}", "seed")
    if start < 0:
        raise MmnetError(f"{start}: must be at least 0", "start")
    if workers is not None and workers < 1:
        raise MmnetError(f"{workers}: must be at least 1", "workers")


def _shuffle_together(lengths: Sequence[int], seed: int) -> Callable[[int], Location]:
    """Return position -> location for shuffled datasets. Each epoch has its own order."""
    ends = np.cumsum(lengths)
    total = int(ends[-1])

    @lru_cache(maxsize=2)
    def epoch_order(epoch):
        return np.random.RandomState([seed, epoch]).permutation(total)

    def locate(position):
        index = int(epoch_order(position // total)[position % total])
        dataset = int(np.searchsorted(ends, index, side="right"))
        return dataset, index - int(ends[dataset]) + lengths[dataset]

    return locate


def _mix_by_weight(
    lengths: Sequence[int], shares: Sequence[int], seed: int
) -> Callable[[int], Location]:
    """Return position -> location for datasets that are mixed by their ``shares``.

    Every block of BLOCK_SIZE positions contains dataset k exactly ``shares[k]`` times, in the
    block's own order. So the number of earlier images of a dataset is known without counting from
    the start.
    """

    @lru_cache(maxsize=2)
    def block(number):
        unordered = np.repeat(range(len(shares)), shares)
        datasets = np.random.RandomState([seed, DATASET_CHOICE, number]).permutation(unordered)
        earlier = np.empty(BLOCK_SIZE, int)  # earlier positions of the block with this dataset
        for dataset, share in enumerate(shares):
            earlier[datasets == dataset] = range(share)
        return datasets, earlier

    @lru_cache(maxsize=2 * len(lengths))
    def epoch_order(dataset, epoch):
        random = np.random.RandomState([seed, DATASET_ORDER, dataset, epoch])
        return random.permutation(lengths[dataset])

    def locate(position):
        number, offset = divmod(position, BLOCK_SIZE)
        datasets, earlier = block(number)
        dataset = int(datasets[offset])
        drawn = number * shares[dataset] + int(earlier[offset])
        epoch, index = divmod(drawn, lengths[dataset])
        return dataset, int(epoch_order(dataset, epoch)[index])

    return locate


def _block_shares(weights: Sequence[float], number: int) -> List[int]:
    """Convert weights to whole numbers of positions that sum to BLOCK_SIZE.

    They are rounded down. The largest remainders then get one position more each.
    """
    exact = np.array(weights, np.float64)
    is_valid = exact.shape == (number,) and np.isfinite(exact).all()
    if not is_valid or exact.min() < 0 or exact.sum() == 0:
        message = f"{weights}: must be {number} numbers of at least 0, one of them above 0"
        raise MmnetError(message, "dataset_weights")
    exact *= BLOCK_SIZE / exact.sum()
    shares = np.floor(exact).astype(int)
    shares[np.argsort(shares - exact, kind="stable")[: BLOCK_SIZE - shares.sum()]] += 1
    if (shares[exact > 0] == 0).any():
        message = f"{weights}: a share below 1/{BLOCK_SIZE} would use no image of its dataset"
        raise MmnetError(message, "dataset_weights")
    return shares.tolist()
