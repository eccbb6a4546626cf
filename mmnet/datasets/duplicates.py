"""Near-duplicates among pictures: the same photo again, scaled, encoded anew or mirrored.

A perceptual hash finds candidates, a correlation decides. No TensorFlow.
"""

from typing import NamedTuple

import cv2
import numpy as np

SIDE = 48  # pixels of the thumbnail
HASHED = 32  # of what the hash is made of
LOW = 8  # so many frequencies of each direction go into the hash
DIFFERENT_BITS = 18  # of 63, up to which two hashes may be of one photo
ALIKE = 0.85  # correlation of two thumbnails, below which nothing more is looked at
# The correlation of two thumbnails' details decides. (Of 66 candidates among 8,747 photos, those
# above .78 were one photo, or two of a moment, and those below were not, but for two.)
SAME = 0.78
COARSE = 4.0  # pixels, sigma of the blur without which the details are left
SHIFT = 6  # pixels of the thumbnail by which one may be cropped differently
BLOCK = 512  # hashes that are compared with all others at once
BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


class Signature(NamedTuple):
    """What of a picture is compared."""

    hash: np.ndarray  # uint8 [8]
    mirrored: np.ndarray  # uint8 [8], the hash of the mirrored picture
    thumbnail: np.ndarray  # uint8 [SIDE,SIDE], grey


class Match(NamedTuple):
    """Two pictures that show the same photo."""

    first: int  # index
    second: int  # index; above the first where both are of one list
    correlation: float  # of their thumbnails' details, up to 1
    mirrored: bool


def signature_of(image):
    """The Signature of uint8 [H,W,3]."""
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    thumbnail = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return Signature(hash_of(thumbnail), hash_of(thumbnail[:, ::-1]), thumbnail)


def hash_of(thumbnail):
    """A hash of 63 bits, uint8 [8]: which low frequencies are above their median.

    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010 (its DCT
    hash).
    """
    small = cv2.resize(thumbnail, (HASHED, HASHED), interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(small.astype(np.float32))[:LOW, :LOW].ravel()[1:]
    return np.packbits(np.append(frequencies > np.median(frequencies), False))


def find_matches(signatures, others=None):
    """Every Match among Signatures, or between them and ``others`` (the second index is theirs)."""
    within = others is None
    others = signatures if within else others
    if not signatures or not others:
        return []
    own, thumbnails = _stacked(signatures, "hash"), _stacked(signatures, "thumbnail")
    their_thumbnails = _stacked(others, "thumbnail")
    found = {}
    for mirrored, hashes in (
        (False, _stacked(others, "hash")),
        (True, _stacked(others, "mirrored")),
    ):
        for start in range(0, len(own), BLOCK):
            distances = _distances(own[start : start + BLOCK], hashes)
            first, second = np.nonzero(distances <= DIFFERENT_BITS)
            first += start
            if within:
                first, second = first[first < second], second[first < second]
            pictures = their_thumbnails[second]
            if mirrored:
                pictures = pictures[:, :, ::-1]
            alike = _correlations(thumbnails[first], pictures) >= ALIKE
            for one, other, picture in zip(first[alike], second[alike], pictures[alike]):
                key, value = (int(one), int(other)), _shared_details(thumbnails[one], picture)
                if value >= SAME and (key not in found or value > found[key].correlation):
                    found[key] = Match(*key, value, mirrored)
    return [found[key] for key in sorted(found)]


def groups_of(count, matches):
    """``count`` pictures in groups that matches hold together: a list of lists of indices."""
    leader = list(range(count))

    def find(index):
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for match in matches:
        first, second = sorted((find(match.first), find(match.second)))
        leader[second] = first
    groups = {}
    for index in range(count):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())


def _distances(hashes, others):
    """uint8 [n,m]: in how many bits uint8 [n,8] and [m,8] differ."""
    different = np.zeros((len(hashes), len(others)), np.uint8)
    for byte in range(hashes.shape[1]):
        different += BITS[hashes[:, byte, None] ^ others[:, byte]]
    return different


def _correlations(pictures, others):
    """float32 [n] of uint8 [n,SIDE,SIDE] and the like, pair by pair; 0 for one without contrast."""
    first, second = (
        each.reshape(len(each), SIDE * SIDE).astype(np.float32) for each in (pictures, others)
    )
    first -= first.mean(axis=1, keepdims=True)
    second -= second.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.einsum("ij,ij->i", first, second) / np.maximum(lengths, 1.0)


def _shared_details(thumbnail, other):
    """The highest correlation of two thumbnails' details, one of them moved by up to SHIFT."""
    pictures = []
    for each in (thumbnail, other):
        each = each.astype(np.float32)
        pictures.append(each - cv2.GaussianBlur(each, (0, 0), COARSE))
    inside = (slice(SHIFT, -SHIFT),) * 2
    pairs = (pictures, pictures[::-1])
    scores = [cv2.matchTemplate(a, b[inside], cv2.TM_CCOEFF_NORMED) for a, b in pairs]
    return float(max(score.max() for score in scores))


def _stacked(signatures, name):
    return np.array([getattr(one, name) for one in signatures])
