"""Find near-duplicates: the same photo scaled, re-encoded, cropped or mirrored. No TensorFlow.

A perceptual hash selects candidates. The correlation of the thumbnails' details decides.
"""

import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmnet.datasets.cache import Samples
from mmnet.datasets.pairs import Pair, find_dataset, list_splits, pick_evenly
from mmnet.io.errors import MmnetError
from mmnet.io.images import read_image
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress

THUMBNAIL_SIZE = 48  # pixels
HASH_INPUT_SIZE = 32  # pixels
HASH_FREQUENCIES = 8  # lowest frequencies of each direction that enter the hash
MAX_HASH_DISTANCE = 18  # different bits among 63
MIN_CORRELATION = 0.85  # thumbnails below it are not compared further
# Correlation of the details. Selected on photos: docs/benchmarks.md, "Near-duplicates".
MIN_DETAIL_CORRELATION = 0.78
DETAIL_SIGMA = 4.0  # pixels; details are the thumbnail minus its Gaussian blur
MAX_SHIFT = 6  # pixels of the thumbnail by which two crops of a photo may differ
HASH_BLOCK_SIZE = 512  # hashes that are compared with all others at once
BIT_COUNTS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
MAX_CHECKED = 1000  # images per split that are compared with the training images


class Signature(NamedTuple):
    """The features of an image that are compared."""

    hash: np.ndarray  # uint8 [8]
    mirrored_hash: np.ndarray  # uint8 [8], of the mirrored image
    thumbnail: np.ndarray  # uint8 [THUMBNAIL_SIZE,THUMBNAIL_SIZE], grey


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


def compute_signature(image: np.ndarray) -> Signature:
    """Return the Signature of an image, uint8 [H,W,3]."""
    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    thumbnail = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return Signature(hash_thumbnail(thumbnail), hash_thumbnail(thumbnail[:, ::-1]), thumbnail)


def hash_thumbnail(thumbnail: np.ndarray) -> np.ndarray:
    """Return a hash of 63 bits as uint8 [8]: the low frequencies that exceed their median.

    This is the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash
    Functions", 2010.
    """
    size = (HASH_INPUT_SIZE, HASH_INPUT_SIZE)
    small = cv2.resize(thumbnail, size, interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(small.astype(np.float32))[:HASH_FREQUENCIES, :HASH_FREQUENCIES]
    frequencies = frequencies.ravel()[1:]  # without the mean
    return np.packbits(np.append(frequencies > np.median(frequencies), False))


def find_matches(
    signatures: Sequence[Signature], others: Optional[Sequence[Signature]] = None
) -> List[Match]:
    """Find near-duplicates in one list, or between two lists (``second`` indexes ``others``)."""
    within_one_list = others is None
    others = signatures if others is None else others
    if not signatures or not others:
        return []
    matches: Dict[Tuple[int, int], Match] = {}
    for mirrored in (False, True):
        for first, second in _find_candidates(signatures, others, mirrored, within_one_list):
            other = others[second].thumbnail[:, ::-1] if mirrored else others[second].thumbnail
            correlation = _correlate_details(signatures[first].thumbnail, other)
            previous = matches.get((first, second))
            is_better = previous is None or correlation > previous.correlation
            if correlation >= MIN_DETAIL_CORRELATION and is_better:
                matches[first, second] = Match(first, second, correlation, mirrored)
    return [matches[key] for key in sorted(matches)]


def group_matches(number: int, matches: Sequence[Match]) -> List[List[int]]:
    """Group the indices 0..number - 1 so that matching images are in one group."""
    parents = list(range(number))

    def find_root(index):
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for match in matches:
        first, second = sorted((find_root(match.first), find_root(match.second)))
        parents[second] = first
    groups: Dict[int, List[int]] = {}
    for index in range(number):
        groups.setdefault(find_root(index), []).append(index)
    return list(groups.values())


def find_leaks(training_samples: Sequence[Samples]) -> List[Leak]:
    """Find training images in the other splits of the training datasets.

    It reads up to MAX_CHECKED images of each other split.
    """
    other_splits = _find_other_splits(training_samples)
    if not other_splits:
        return []
    title = "comparing the splits with the training images"
    images = [(samples, index) for samples in training_samples for index in range(len(samples))]
    trained = list(progress(parallel_map(_sample_signature, images), len(images), title))
    leaks = []
    for path, split in other_splits:
        dataset = find_dataset(path, split)
        pairs = pick_evenly(dataset.pairs, min(MAX_CHECKED, len(dataset)))
        results = progress(parallel_map(_read_signature, pairs), len(pairs), title)
        readable = [(pair, signature) for pair, signature in zip(pairs, results) if signature]
        matches = find_matches([signature for _, signature in readable], trained)
        stems = sorted({readable[match.first][0].stem for match in matches})
        if stems:
            leaks.append(Leak(f"{dataset.name}/{split}", len(readable), stems))
    return leaks


def _find_other_splits(training_samples):
    """Return the sorted (path, split) of the training datasets that are not trained on."""
    trained_splits = {}
    for samples in training_samples:
        dataset = samples.dataset
        if dataset.split:  # images without masks have no splits
            trained_splits.setdefault(os.path.abspath(dataset.path), set()).add(dataset.split)
    return sorted(
        (path, split)
        for path, own_splits in trained_splits.items()
        for split in list_splits(path)
        if split not in own_splits
    )


def _sample_signature(location):
    samples, index = location
    return compute_signature(samples[index][0])


def _read_signature(pair: Pair) -> Optional[Signature]:
    try:
        return compute_signature(read_image(pair.image))
    except (MmnetError, OSError):  # the evaluation of this split reports the file
        return None


def _find_candidates(signatures, others, mirrored, within_one_list):
    """Yield (index, index of ``others``) with similar hashes and correlated thumbnails."""
    hashes = np.array([signature.hash for signature in signatures])
    thumbnails = np.array([signature.thumbnail for signature in signatures])
    other_thumbnails = np.array([signature.thumbnail for signature in others])
    name = "mirrored_hash" if mirrored else "hash"
    other_hashes = np.array([getattr(signature, name) for signature in others])
    if mirrored:
        other_thumbnails = other_thumbnails[:, :, ::-1]
    for start in range(0, len(hashes), HASH_BLOCK_SIZE):
        distances = _hash_distances(hashes[start : start + HASH_BLOCK_SIZE], other_hashes)
        first, second = np.nonzero(distances <= MAX_HASH_DISTANCE)
        first += start
        if within_one_list:
            ordered = first < second
            first, second = first[ordered], second[ordered]
        correlations = _correlate(thumbnails[first], other_thumbnails[second])
        selected = correlations >= MIN_CORRELATION
        yield from zip(first[selected].tolist(), second[selected].tolist())


def _hash_distances(hashes, others):
    """Return uint8 [n,m]: the number of different bits of uint8 [n,8] and [m,8]."""
    distances = np.zeros((len(hashes), len(others)), np.uint8)
    for byte in range(hashes.shape[1]):
        distances += BIT_COUNTS[hashes[:, byte, None] ^ others[:, byte]]
    return distances


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
    details, other_details = _details(thumbnail), _details(other)
    inside = slice(MAX_SHIFT, -MAX_SHIFT), slice(MAX_SHIFT, -MAX_SHIFT)
    scores = (
        cv2.matchTemplate(details, other_details[inside], cv2.TM_CCOEFF_NORMED),
        cv2.matchTemplate(other_details, details[inside], cv2.TM_CCOEFF_NORMED),
    )
    return float(max(score.max() for score in scores))


def _details(thumbnail):
    thumbnail = thumbnail.astype(np.float32)
    return thumbnail - cv2.GaussianBlur(thumbnail, (0, 0), DETAIL_SIGMA)
