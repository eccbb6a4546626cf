import dataclasses
import itertools
import os
import shutil
import threading
import time
from collections import Counter

import numpy as np
import pytest

from mmnet.datasets.augmentation import POLICIES, sample_shape
from mmnet.datasets.batches import BLOCK_SIZE, generate_batches
from mmnet.datasets.cache import open_samples
from mmnet.datasets.pairs import find_dataset

SHAPE, WIDE = (32, 32), (32, 64)
PUBLISHED = "resize_random_scale_crop_flip_rotate"


class Numbers:
    """Samples of one value, their own number modulo 256."""

    def __init__(self, count, shape=SHAPE):
        self.count, self.shape = count, shape

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        mask = np.full(self.shape, index % 256, np.uint8)
        return np.dstack([mask] * 3), mask


def take(count, *args, **options):
    generator = generate_batches(*args, **options)
    try:
        return list(itertools.islice(generator, count))
    finally:
        generator.close()


def numbers(count, lengths, batch_size=8, seed=1, shape=(1, 1), **options):
    """The indices of ``count`` batches of tiny pictures, flat."""
    data_sets = [Numbers(length, shape) for length in lengths]
    taken = take(count, data_sets, shape, "resize_bilinear", batch_size, seed=seed, **options)
    return [index for batch in taken for index in batch.indices]


def assert_equal(batches_, others):
    assert len(batches_) == len(others)
    for batch, other in zip(batches_, others):
        np.testing.assert_array_equal(batch.images, other.images)
        np.testing.assert_array_equal(batch.masks, other.masks)
        assert batch.indices == other.indices and batch.epoch == other.epoch


@pytest.fixture(scope="module")
def samples(portrait_set):
    return open_samples(portrait_set, sample_shape(SHAPE, PUBLISHED))


@pytest.mark.parametrize("shape", [SHAPE, WIDE])
def test_a_batch(portrait_set, shape):
    samples = open_samples(portrait_set, sample_shape(shape, PUBLISHED))
    batch, second = take(2, [samples], shape, PUBLISHED, 4, seed=3)
    assert batch.images.shape == (4,) + shape + (3,) and batch.masks.shape == (4,) + shape
    assert batch.images.dtype == batch.masks.dtype == np.uint8
    assert batch.epoch == 4 / 6 and second.epoch == 8 / 6
    assert all(data_set == 0 and 0 <= index < 6 for data_set, index in batch.indices)
    assert not np.shares_memory(batch.images, second.images)


@pytest.mark.parametrize("shape", [SHAPE, WIDE])
def test_pictures_belong_to_their_indices(shape):
    data_sets = [Numbers(5, shape), Numbers(7, shape)]
    for batch in take(4, data_sets, shape, "resize_bilinear", 4, seed=0):
        assert batch.masks.shape == (4,) + shape
        for image, mask, (_, index) in zip(batch.images, batch.masks, batch.indices):
            assert (image == index).all() and (mask == index).all()


def test_every_picture_exactly_once_an_epoch_and_none_dropped():
    given = numbers(35, [7, 3], batch_size=4)  # 14 epochs of 10 pictures in batches of 4
    everything = sorted([(0, index) for index in range(7)] + [(1, index) for index in range(3)])
    epochs = [given[start : start + 10] for start in range(0, 140, 10)]
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 14  # each in an order of its own


def test_a_batch_larger_than_the_data_set():
    counts = Counter(numbers(1, [3], batch_size=32))
    assert sorted(counts.values()) == [10, 11, 11]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("weights", [None, [1, 3]])
@pytest.mark.parametrize("shape", [SHAPE, WIDE])
def test_same_seed_same_batches_whatever_the_workers(portrait_set, policy, weights, shape):
    pairs = portrait_set.pairs
    parts = [dataclasses.replace(portrait_set, pairs=part) for part in (pairs[:4], pairs[4:])]
    data_sets = [open_samples(part, sample_shape(shape, policy)) for part in parts]

    def taken(count, seed=7, **options):
        return take(count, data_sets, shape, policy, 5, seed=seed, weights=weights, **options)

    unbroken = taken(6)
    for workers in (1, 5):
        assert_equal(taken(6, workers=workers), unbroken)
    assert_equal(taken(2, start=4), unbroken[4:])
    other = taken(6, seed=8)
    assert any((batch.images != another.images).any() for batch, another in zip(unbroken, other))


def test_a_late_start_costs_nothing():
    begun = time.time()
    late = numbers(1, [7, 3], start=10**8) + numbers(1, [7, 3], start=10**8, weights=[1, 2])
    assert len(late) == 16 and time.time() - begun < 1
    early = numbers(3, [7, 300], start=1000 * 3, weights=[1, 2])
    assert early[8:] == numbers(2, [7, 300], start=3001, weights=[1, 2])


def test_a_picture_is_augmented_anew_each_time(samples):
    pictures = {}
    for batch in take(9, [samples], SHAPE, PUBLISHED, 4, seed=0):
        for image, index in zip(batch.images, batch.indices):
            pictures.setdefault(index, set()).add(image.tobytes())
    assert [len(different) for different in pictures.values()] == [6] * 6


def test_weights_are_kept_in_every_thousand():
    given = numbers(BLOCK_SIZE // 8 * 4, [50, 9], weights=[1, 3])
    for start in range(0, 4 * BLOCK_SIZE, BLOCK_SIZE):
        counts = Counter(data_set for data_set, _ in given[start : start + BLOCK_SIZE])
        assert counts == {0: 250, 1: 750}
    first, second = given[:BLOCK_SIZE], given[BLOCK_SIZE : 2 * BLOCK_SIZE]
    assert [number for number, _ in first] != [number for number, _ in second]
    starts = range(0, 4 * BLOCK_SIZE, 40)
    shares = [sum(data_set for data_set, _ in given[start : start + 40]) for start in starts]
    assert np.mean(shares) == 30 and 1 < np.std(shares) < 5  # mixed, not in a fixed pattern
    for data_set, length in ((0, 50), (1, 9)):
        own = [index for number, index in given if number == data_set]
        rounds = [own[start : start + length] for start in range(0, len(own) - length + 1, length)]
        assert all(sorted(each) == list(range(length)) for each in rounds)
        assert len(set(map(tuple, rounds))) > 1


def test_weights_that_do_not_divide_and_zero():
    counts = Counter(
        data_set for data_set, _ in numbers(BLOCK_SIZE // 8, [5, 5, 5], weights=[1, 1, 1])
    )
    assert sorted(counts.values()) == [333, 333, 334]
    assert {data_set for data_set, _ in numbers(20, [5, 5], weights=[0, 0.1])} == {1}
    assert numbers(5, [9], weights=[2]) == numbers(5, [9])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"weights": [1]}, "2 numbers"),
        ({"weights": [1, -1]}, "weights"),
        ({"weights": [0, 0]}, "weights"),
        ({"weights": [1, float("nan")]}, "weights"),
        ({"weights": [1, 5000]}, "below 1/1000"),
        ({"batch_size": 0}, "batch_size: 0"),
        ({"seed": -1}, "seed: -1"),
        ({"seed": 1 << 32}, "seed: 4294967296"),
        ({"start": -1}, "start: -1"),
        ({"workers": 0}, "workers: 0"),
    ],
)
def test_what_does_not_fit_is_said_at_once(options, message):
    options = dict({"batch_size": 4, "seed": 0}, **options)
    with pytest.raises(ValueError, match=message):
        generate_batches([Numbers(5), Numbers(5)], SHAPE, "resize_bilinear", **options)


def test_samples_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="32x32 needs samples of 37x37, not 32x32"):
        generate_batches([Numbers(5)], SHAPE, PUBLISHED, 4, seed=0)
    with pytest.raises(ValueError, match="32x64 needs samples of 37x74, not 74x37"):
        generate_batches([Numbers(5, (37, 74)), Numbers(5, (74, 37))], WIDE, PUBLISHED, 4, seed=0)
    with pytest.raises(ValueError, match="'strong'"):
        generate_batches([Numbers(5)], SHAPE, "strong", 4, seed=0)
    with pytest.raises(ValueError, match="no dataset"):
        generate_batches([], SHAPE, PUBLISHED, 4, seed=0)


def test_no_more_than_a_few_batches_ahead():
    asked = []

    class Counting(Numbers):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    generator = generate_batches([Counting(100)], SHAPE, "resize_bilinear", 4, seed=0, workers=3)
    assert asked == []
    next(generator)
    time.sleep(0.1)
    assert 4 <= len(asked) <= 5 * 4
    generator.close()


def test_closing_ends_the_threads():
    before = set(threading.enumerate())
    generator = generate_batches([Numbers(100)], SHAPE, "resize_bilinear", 4, seed=0, workers=3)
    next(generator)
    assert set(threading.enumerate()) - before
    generator.close()
    assert not set(threading.enumerate()) - before
    # Dropped, not closed:
    next(generate_batches([Numbers(100)], SHAPE, "resize_bilinear", 4, seed=0, workers=3))
    assert not set(threading.enumerate()) - before


def test_closing_does_not_wait_for_what_was_only_planned():
    asked = []

    class Slow(Numbers):
        def __getitem__(self, index):
            asked.append(index)
            time.sleep(0.01)
            return super().__getitem__(index)

    generator = generate_batches([Slow(100)], SHAPE, "resize_bilinear", 8, seed=0, workers=1)
    next(generator)
    generator.close()
    assert len(asked) < 16  # of the 39 that were planned


def test_a_file_that_is_gone_reaches_the_loop_by_name(portraits, tmp_path):
    shutil.copytree(portraits, str(tmp_path / "own"))
    data_set = find_dataset(str(tmp_path / "own"), "test")
    samples = open_samples(data_set, SHAPE, "none")
    gone = data_set.pairs[3].image
    os.unlink(gone)
    before = set(threading.enumerate())
    generator = generate_batches([samples], SHAPE, "resize_bilinear", 4, seed=0)
    with pytest.raises(ValueError, match="No such file.*" + os.path.basename(gone)):
        for _ in range(3):
            next(generator)
    assert not set(threading.enumerate()) - before
