"""Input of a training: datasets, samples, batches and the alphas of a teacher."""

import logging
import os
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from mmnet.datasets.augmentation import AugmentOptions, sample_shape
from mmnet.datasets.backgrounds import read_backgrounds
from mmnet.datasets.batches import Batch, generate_batches
from mmnet.datasets.cache import Samples, open_samples
from mmnet.datasets.duplicates import find_leaks
from mmnet.datasets.pairs import Dataset, find_dataset, find_unlabelled_images, pick_evenly
from mmnet.distributed.group import Group
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError, summarize_names
from mmnet.io.images import list_images
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network

RANGE_IMAGES = 100  # on which the ranges of activations are measured

log = logging.getLogger(__name__)


class DataConfig(NamedTuple):
    """Training images, their augmentation and their cache."""

    paths: Sequence[str]  # datasets, or folders with images without masks
    split: str = "train"
    weights: Optional[Sequence[float]] = None  # per dataset; None: shuffle all images together
    batch_size: int = 32  # images per step, summed over all processes
    policy: str = "resize_random_scale_crop_flip_rotate"  # a name of augmentation.POLICIES
    augment: AugmentOptions = AugmentOptions()
    backgrounds_path: Optional[str] = None
    cache: str = "memory"  # a name of cache.CACHES
    cache_budget: int = 4 << 30  # bytes of memory
    seed: int = 0  # for weights, order of images and augmentation


def find_datasets(data: DataConfig, *, needs_masks: bool) -> List[Dataset]:
    """Find the datasets of a training.

    A path without the split, but with images, is a folder of images without masks.
    """
    datasets = []
    for path in data.paths:
        has_split = os.path.isdir(os.path.join(path, data.split))
        if has_split or not os.path.isdir(path) or not list_images(path):
            datasets.append(find_dataset(path, data.split))
        elif needs_masks:
            raise MmnetError(
                f"{path}: has no split {data.split}; images without masks need a teacher",
                "dataset_path",
            )
        else:
            datasets.append(find_unlabelled_images(path))
    return datasets


def open_data(
    datasets: Sequence[Dataset], data: DataConfig, network: Network, *, processes_on_host: int
) -> List[Samples]:
    """Decode and validate all images. The processes of a host share the memory budget."""
    shape = sample_shape(network.shape, data.policy)
    budget = data.cache_budget // processes_on_host
    images = sum(map(len, datasets))
    return [
        open_samples(dataset, shape, data.cache, budget=budget * len(dataset) // images)
        for dataset in datasets
    ]


def warn_of_leaks(samples: Sequence[Samples]) -> None:
    """Warn if images of the other splits are also training images."""
    for leak in find_leaks(samples):
        problem = f"training images among {leak.checked} checked images"
        log.warning("%s: %s", leak.split, summarize_names(problem, leak.stems))


def select_range_images(samples: Sequence[Samples], network: Network) -> np.ndarray:
    """Return about RANGE_IMAGES images of all datasets: float32 [N,H,W,C], 0..255."""
    number = max(1, RANGE_IMAGES // len(samples))
    images = [
        dataset_samples[index][0]
        for dataset_samples in samples
        for index in pick_evenly(range(len(dataset_samples)), number)
    ]
    return np.stack([resize_bilinear(x, network.shape, align_corners=True) for x in images])


def start_batches(
    samples: Sequence[Samples], data: DataConfig, network: Network, *, start: int, group: Group
):
    """Start the threads that prepare batches, from batch number ``start`` on."""
    augment = data.augment._replace(previous_alpha=network.channels == 4)
    if data.backgrounds_path:
        shape = sample_shape(network.shape, data.policy)
        augment = augment._replace(backgrounds=read_backgrounds(data.backgrounds_path, shape))
    return generate_batches(
        samples,
        network.shape,
        data.policy,
        data.batch_size,
        seed=data.seed,
        start=start,
        weights=data.weights,
        options=augment,
        rank=group.rank,
        group_size=group.size,
    )


def compute_teacher_alphas(
    teacher: Predictor, batch: Batch, datasets: Sequence[Dataset]
) -> np.ndarray:
    """Return the teacher's alphas [N,H,W]. They replace the masks of images without a mask."""
    alphas = teacher(batch.images[..., :3])
    for slot, (dataset_index, index) in enumerate(batch.indices):
        if datasets[dataset_index].pairs[index].mask is None:
            batch.masks[slot] = np.rint(255 * alphas[slot])
    return alphas
