"""Prepare training batches in threads, ahead of their use. No TensorFlow.

Batch k is a function of the seed, of k and of the datasets. A run that resumes at step k needs
nothing else, and the number of threads does not change the batches.
"""

import contextlib
import itertools
import threading
from functools import lru_cache
from typing import Callable, Generator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet.datasets.augmentation import AugmentOptions, augment, sample_shape
from mmnet.datasets.cache import Samples
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.parallel import parallel_map

BATCHES_AHEAD = 4  # batches that are prepared while the network processes one
BLOCK_SIZE = 1000  # images for which the weights of datasets hold exactly

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
        weights: sampling weight of each dataset, rounded to thousandths of their sum. They hold
            exactly per BLOCK_SIZE images. Each dataset is read repeatedly, each time in a new
            order. None shuffles all images together: each appears exactly once per epoch.
        options: further augmentation.
        workers: number of threads. None uses one per processor.
        rank: process of the group; it receives its equal part of each batch.
        group_size: number of processes.

    Raises:
        MmnetError: an argument is invalid. The generator raises the errors of single images.
    """
    _check_shapes(samples, sample_shape(shape, policy))
    if batch_size < 1 or batch_size % group_size:
        message = f"{batch_size}: must be a multiple of the number of processes, {group_size}"
        raise MmnetError(message, "batch_size")
    locate = _make_order([len(dataset) for dataset in samples], weights, seed)
    total = sum(map(len, samples))
    local = threading.local()

    def make_image(position):
        if not hasattr(local, "random"):
            local.random = np.random.RandomState()  # seeding is faster than a new generator
        local.random.seed([seed, AUGMENTATION, position])
        dataset, index = locate(position)
        return augment(*samples[dataset][index], local.random, shape, policy, options)

    def generate():
        size = batch_size // group_size
        firsts = (number * batch_size + rank * size for number in itertools.count(start))
        positions = (position for first in firsts for position in range(first, first + size))
        ahead = BATCHES_AHEAD * size
        results = parallel_map(make_image, positions, threads=workers, max_pending=ahead)
        with contextlib.closing(results):
            for number in itertools.count(start):
                images, masks = zip(*itertools.islice(results, size))
                first = number * batch_size + rank * size
                indices = [locate(position) for position in range(first, first + size)]
                epoch = (number + 1) * batch_size / total
                yield Batch(np.stack(images), np.stack(masks), indices, epoch)

    return generate()


def _check_shapes(samples, shape):
    if not samples:
        raise MmnetError("no dataset")
    for dataset_samples in samples:
        if dataset_samples.shape != shape:
            expected, actual = format_shape(shape), format_shape(dataset_samples.shape)
            raise MmnetError(f"the augmentation needs samples of {expected}, not {actual}")


def _make_order(lengths, weights, seed) -> Callable[[int], Location]:
    """Return the function position -> location for the images of all batches."""
    if weights is None or len(lengths) == 1:
        return _shuffle_together(lengths, seed)
    return _mix_by_weight(lengths, _block_shares(weights, len(lengths)), seed)


def _shuffle_together(lengths, seed):
    """Shuffle all images together. Each epoch has its own order."""
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


def _mix_by_weight(lengths, shares, seed):
    """Mix datasets by their shares of BLOCK_SIZE.

    Each block of BLOCK_SIZE positions contains dataset k exactly ``shares[k]`` times, in its own
    order. So the number of earlier images of a dataset is known without counting from the start.
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
    """Convert weights to whole numbers that sum to BLOCK_SIZE.

    They are rounded down. The largest remainders are then rounded up.
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
