"""Tests of mmnet.datasets.duplicates."""

import cv2
import numpy as np
import pytest

from helpers.layouts import draw_pair, write_file, write_pair
from mmnet.datasets.cache import open_samples
from mmnet.datasets.duplicates import (
    MIN_DETAIL_CORRELATION,
    Leak,
    Match,
    find_leaks,
    find_matches,
    grey_thumbnail,
    group_matches,
)
from mmnet.datasets.pairs import find_dataset
from mmnet.datasets.synthetic import draw_portrait
from mmnet.io.images import decode_image, encode_jpeg, encode_png


@pytest.fixture(scope="module")
def portraits():
    return [draw_portrait(np.random.RandomState([7, k]), (200, 150))[0] for k in range(12)]


@pytest.fixture(scope="module")
def thumbnails(portraits):
    return [grey_thumbnail(image) for image in portraits]


CHANGES = {
    "smaller": lambda image: cv2.resize(image, (90, 120), interpolation=cv2.INTER_AREA),
    "re-encoded": lambda image: decode_image(encode_jpeg(image, 40), "jpeg"),
    "darker": lambda image: (0.7 * image).astype(np.uint8),
    "grey": lambda image: np.dstack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)] * 3),
    "cropped": lambda image: np.ascontiguousarray(image[6:, :-5]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_find_matches_recognizes_changed_photo(portraits, thumbnails, name):
    changed = [grey_thumbnail(CHANGES[name](portraits[index])) for index in (3, 8)]
    matches = find_matches(changed, thumbnails)
    expected = [(0, 3, False), (1, 8, False)]
    assert [(match.first, match.second, match.mirrored) for match in matches] == expected
    assert all(MIN_DETAIL_CORRELATION <= match.correlation <= 1 + 1e-5 for match in matches)


def test_find_matches_recognizes_mirrored_photo(portraits, thumbnails):
    mirrored = grey_thumbnail(np.ascontiguousarray(portraits[5][:, ::-1]))
    (match,) = find_matches(thumbnails + [mirrored])
    assert (match.first, match.second, match.mirrored) == (5, 12, True)


def test_find_matches_ignores_different_photos_and_images_without_contrast(thumbnails):
    assert find_matches(thumbnails) == []
    flat = [grey_thumbnail(np.full((20, 20, 3), level, np.uint8)) for level in (0, 90, 255)]
    assert find_matches(flat) == [] and find_matches([]) == [] and find_matches(flat, []) == []


def test_group_matches_follows_chains():
    matches = [Match(1, 3, 1.0, False), Match(3, 4, 1.0, False), Match(0, 5, 1.0, True)]
    assert group_matches(7, matches) == [[0, 5], [1, 3, 4], [2], [6]]


def test_find_leaks_finds_training_images_in_other_splits(tmp_path):
    for number in range(3):
        write_pair(tmp_path, f"train/image/{number}.jpg", f"train/mask/{number}.png", number)
    samples = open_samples(find_dataset(str(tmp_path), "train"), (40, 40))
    assert find_leaks([samples]) == []

    image, mask = (np.ascontiguousarray(array[::2, ::2]) for array in draw_pair(0))
    write_file(tmp_path, "test/image/copy.jpg", encode_jpeg(image, 80))
    write_file(tmp_path, "test/mask/copy.png", encode_png(mask))
    write_pair(tmp_path, "test/image/new.jpg", "test/mask/new.png", 4)
    write_file(tmp_path, "test/image/broken.jpg", b"no image")
    write_file(tmp_path, "test/mask/broken.png", encode_png(mask))
    assert find_leaks([samples]) == [Leak(f"{tmp_path.name}/test", 2, ["copy"])]
