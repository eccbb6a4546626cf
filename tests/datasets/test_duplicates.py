"""Near-duplicates: what is found, and what is not."""

import cv2
import numpy as np
import pytest

from mmnet.datasets.duplicates import Match, compute_signature, find_matches, group_matches
from mmnet.datasets.synthetic import draw_portrait
from mmnet.io.images import decode_image, encode_jpeg


@pytest.fixture(scope="module")
def portraits():
    return [draw_portrait(np.random.RandomState([7, k]), (200, 150))[0] for k in range(12)]


CHANGES = {
    "smaller": lambda image: cv2.resize(image, (90, 120), interpolation=cv2.INTER_AREA),
    "encoded anew": lambda image: decode_image(encode_jpeg(image, 40), "it"),
    "darker": lambda image: (0.7 * image).astype(np.uint8),
    "grey": lambda image: np.dstack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)] * 3),
    "cropped": lambda image: np.ascontiguousarray(image[6:, :-5]),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_photo_is_known_again(portraits, name):
    signatures = [compute_signature(image) for image in portraits]
    changed = [compute_signature(CHANGES[name](portraits[index])) for index in (3, 8)]
    matches = find_matches(changed, signatures)
    assert [(one.first, one.second, one.mirrored) for one in matches] == [
        (0, 3, False),
        (1, 8, False),
    ]
    assert all(0.78 <= one.correlation <= 1 + 1e-5 for one in matches)


def test_a_mirrored_photo_is_known_again(portraits):
    signatures = [compute_signature(image) for image in portraits]
    signatures.append(compute_signature(np.ascontiguousarray(portraits[5][:, ::-1])))
    (match,) = find_matches(signatures)
    assert (match.first, match.second, match.mirrored) == (5, 12, True)


def test_others_are_not(portraits):
    assert find_matches([compute_signature(image) for image in portraits]) == []
    flat = [compute_signature(np.full((20, 20, 3), level, np.uint8)) for level in (0, 90, 255)]
    assert find_matches(flat) == [] and find_matches([]) == [] and find_matches(flat, []) == []


def test_groups_hold_together_what_matches_along_a_chain():
    matches = [Match(1, 3, 1.0, False), Match(3, 4, 1.0, False), Match(0, 5, 1.0, True)]
    assert group_matches(7, matches) == [[0, 5], [1, 3, 4], [2], [6]]
