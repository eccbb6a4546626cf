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
        policy: a name of augmentation.POLICIES.
        batch_size: images per step, summed over all processes.
        seed: 0 to 2**32 - 1.
        start: number of the first batch.
        weights: sampling weight of each dataset, rounded to thousandths of their sum. They hold
            exactly per BLOCK_SIZE images. Each dataset is read repeatedly, each time in a new
            order. None shuffles all images together: each appears exactly once per epoch.
        workers: number of threads. None uses one per processor.
        rank: process of the group; it receives its equal part of each batch.

    Raises:
        MmnetError: an argument is invalid. The generator raises the errors of single images.
    """
    needed_shape = sample_shape(shape, policy)
    if any(dataset_samples.shape != needed_shape for dataset_samples in samples):
        raise MmnetError(f"the augmentation needs samples of {format_shape(needed_shape)}")
    if batch_size < 1 or batch_size % group_size:
        message = f"{batch_size}: must be a multiple of the {group_size} processes"
        raise MmnetError(message, "batch_size")
    size, local = batch_size // group_size, threading.local()
    lengths = [len(dataset_samples) for dataset_samples in samples]
    locate = _shuffle_together(lengths, seed)
    if weights is not None and len(lengths) > 1:
        locate = _mix_by_weight(lengths, _block_shares(weights, len(lengths)), seed)

    def positions_of(number):
        first = number * batch_size + rank * size
        return range(first, first + size)

    def make_image(position):
        if not hasattr(local, "random"):
            local.random = np.random.RandomState()  # seeding is faster than a new generator
        local.random.seed([seed, AUGMENTATION, position])
        dataset, index = locate(position)
        return augment(*samples[dataset][index], local.random, shape, policy, options)

    def generate():
        positions = itertools.chain.from_iterable(map(positions_of, itertools.count(start)))
        ahead = BATCHES_AHEAD * size
        results = parallel_map(make_image, positions, threads=workers, max_pending=ahead)
        with contextlib.closing(results):
            for number in itertools.count(start):
                images, masks = zip(*itertools.islice(results, size))
                indices = list(map(locate, positions_of(number)))
                epoch = (number + 1) * batch_size / sum(lengths)
                yield Batch(np.stack(images), np.stack(masks), indices, epoch)

    return generate()


def _shuffle_together(lengths, seed) -> Callable[[int], Location]:
    """Return position -> location. All images are shuffled together in every epoch."""
    locations = [(dataset, index) for dataset, end in enumerate(lengths) for index in range(end)]

    @lru_cache(maxsize=2)
    def epoch_order(epoch):
        return np.random.RandomState([seed, epoch]).permutation(len(locations))

    def locate(position):
        epoch, offset = divmod(position, len(locations))
        return locations[epoch_order(epoch)[offset]]

    return locate


def _mix_by_weight(lengths, shares, seed) -> Callable[[int], Location]:
    """Return position -> location. Dataset k has ``shares[k]`` of each BLOCK_SIZE positions."""
    # Each block has its own order, but the same number of images of a dataset. So the number of
    # earlier images is known without counting from the start.

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


def _block_shares(weights, number):
    """Round weights to whole numbers that sum to BLOCK_SIZE: the largest remainders up."""
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
