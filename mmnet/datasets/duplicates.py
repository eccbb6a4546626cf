"""Find near-duplicates: the same photo scaled, re-encoded, cropped or mirrored. No TensorFlow.

A perceptual hash selects candidates. The correlation of the thumbnails' details decides.
"""

import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmnet.datasets.cache import Samples
from mmnet.datasets.pairs import find_dataset, list_splits, pick_evenly
from mmnet.io.errors import MmnetError
from mmnet.io.images import read_image
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress

THUMBNAIL_SIZE = 48  # pixels
HASH_INPUT_SIZE = 32  # pixels
HASH_FREQUENCIES = 8  # lowest frequencies of each direction that enter the hash
MAX_HASH_DISTANCE = 18  # different signs among 63
MIN_CORRELATION = 0.85  # thumbnails below it are not compared further
# Correlation of the details. Selected on photos: docs/benchmarks.md, "Near-duplicates".
MIN_DETAIL_CORRELATION = 0.78
DETAIL_SIGMA = 4.0  # pixels; details are the thumbnail minus its Gaussian blur
MAX_SHIFT = 6  # pixels of the thumbnail by which two crops of a photo may differ
HASH_BLOCK_SIZE = 128  # hashes that are compared with all others at once
MAX_CHECKED = 1000  # images per split that are compared with the training images


class Match(NamedTuple):
    """Two images that show the same photo."""

    first: int  # index
    second: int  # index; larger than ``first`` if both belong to one list
    correlation: float  # correlation of the details, up to 1
    mirrored: bool


class Leak(NamedTuple):
    """A split that contains training images."""

    split: str  # dataset/split
    checked: int  # images of the split that were compared
    stems: List[str]  # images that are also training images


def grey_thumbnail(image: np.ndarray) -> np.ndarray:
    """Return the grey thumbnail, uint8 [THUMBNAIL_SIZE,THUMBNAIL_SIZE], of an image [H,W,3]."""
    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


def find_matches(
    thumbnails: Sequence[np.ndarray], others: Optional[Sequence[np.ndarray]] = None
) -> List[Match]:
    """Find near-duplicates in one list, or between two lists (``second`` indexes ``others``)."""
    within_one_list = others is None
    others = thumbnails if others is None else others
    if not thumbnails or not others:
        return []
    matches: Dict[Tuple[int, int], Match] = {}
    for mirrored in (False, True):
        candidates = np.array(others)[:, :, ::-1] if mirrored else np.array(others)
        for first, second in _find_candidates(np.array(thumbnails), candidates, within_one_list):
            correlation = _correlate_details(thumbnails[first], candidates[second])
            previous = matches.get((first, second))
            is_better = previous is None or correlation > previous.correlation
            if correlation >= MIN_DETAIL_CORRELATION and is_better:
                matches[first, second] = Match(first, second, correlation, mirrored)
    return [matches[key] for key in sorted(matches)]


def group_matches(number: int, matches: Sequence[Match]) -> List[List[int]]:
    """Group the indices 0..number - 1 so that matching images are in one group."""
    labels = np.arange(number)
    for match in matches:
        labels[labels == labels[match.second]] = labels[match.first]
    groups: Dict[int, List[int]] = {}
    for index, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(index)
    return list(groups.values())


def find_leaks(training_samples: Sequence[Samples]) -> List[Leak]:
    """Find training images in the other splits of the training datasets.

    It reads up to MAX_CHECKED images of each other split.
    """
    datasets = [samples.dataset for samples in training_samples]
    # A dataset without masks has no splits.
    own_splits = {(os.path.abspath(d.path), d.split) for d in datasets if d.split}
    splits = {(path, split) for path, _ in own_splits for split in list_splits(path)}
    other_splits = sorted(splits - own_splits)
    if not other_splits:
        return []
    title = "comparing the splits with the training images"
    images = [(samples, index) for samples in training_samples for index in range(len(samples))]

    def sample_thumbnail(location):
        samples, index = location
        return grey_thumbnail(samples[index][0])

    trained = list(progress(parallel_map(sample_thumbnail, images), len(images), title))
    leaks = []
    for path, split in other_splits:
        dataset = find_dataset(path, split)
        pairs = pick_evenly(dataset.pairs, min(MAX_CHECKED, len(dataset)))
        thumbnails = list(progress(parallel_map(_read_thumbnail, pairs), len(pairs), title))
        readable = [index for index, thumbnail in enumerate(thumbnails) if thumbnail is not None]
        matches = find_matches([thumbnails[index] for index in readable], trained)
        stems = sorted({pairs[readable[match.first]].stem for match in matches})
        if stems:
            leaks.append(Leak(f"{dataset.name}/{split}", len(readable), stems))
    return leaks


def _read_thumbnail(pair):
    try:
        return grey_thumbnail(read_image(pair.image))
    except (MmnetError, OSError):  # the evaluation of this split reports the file
        return None


def _find_candidates(thumbnails, others, within_one_list):
    """Yield (index, index of ``others``) with similar hashes and correlated thumbnails."""
    hashes = np.array([_hash_thumbnail(thumbnail) for thumbnail in thumbnails])
    other_hashes = np.array([_hash_thumbnail(other) for other in others])
    for start in range(0, len(hashes), HASH_BLOCK_SIZE):
        products = hashes[start : start + HASH_BLOCK_SIZE] @ other_hashes.T
        # The product of two hashes is the number of equal signs minus that of different signs.
        first, second = np.nonzero(products >= hashes.shape[1] - 2 * MAX_HASH_DISTANCE)
        first += start
        if within_one_list:
            ordered = first < second
            first, second = first[ordered], second[ordered]
        correlations = _correlate(thumbnails[first], others[second])
        selected = correlations >= MIN_CORRELATION
        yield from zip(first[selected].tolist(), second[selected].tolist())


def _hash_thumbnail(thumbnail):
    """Return float32 [63]: 1 for each low frequency that exceeds their median, else -1.

    This is the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash
    Functions", 2010.
    """
    size = (HASH_INPUT_SIZE, HASH_INPUT_SIZE)
    small = cv2.resize(thumbnail, size, interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(small.astype(np.float32))[:HASH_FREQUENCIES, :HASH_FREQUENCIES]
    frequencies = frequencies.ravel()[1:]  # without the mean
    return np.where(frequencies > np.median(frequencies), np.float32(1), np.float32(-1))


def _correlate(thumbnails, others):
    """Return float32 [n]: the correlation of each pair; 0 for thumbnails without contrast."""
    first = thumbnails.reshape(-1, THUMBNAIL_SIZE**2).astype(np.float32)
    second = others.reshape(-1, THUMBNAIL_SIZE**2).astype(np.float32)
    first -= first.mean(axis=1, keepdims=True)
    second -= second.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.einsum("ij,ij->i", first, second) / np.maximum(lengths, 1.0)


def _correlate_details(thumbnail, other):
    """Return the highest correlation of details if one thumbnail moves by up to MAX_SHIFT."""
    details, other_details = (
        array.astype(np.float32) - cv2.GaussianBlur(array.astype(np.float32), (0, 0), DETAIL_SIGMA)
        for array in (thumbnail, other)
    )
    inside = slice(MAX_SHIFT, -MAX_SHIFT), slice(MAX_SHIFT, -MAX_SHIFT)
    scores = (
        cv2.matchTemplate(details, other_details[inside], cv2.TM_CCOEFF_NORMED),
        cv2.matchTemplate(other_details, details[inside], cv2.TM_CCOEFF_NORMED),
    )
    return float(max(score.max() for score in scores))
