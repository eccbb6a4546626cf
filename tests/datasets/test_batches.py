"""Tests of mmnet.datasets.batches."""

import dataclasses
import itertools
import os
import shutil
import threading
from collections import Counter

import numpy as np
import pytest

from helpers import assert_raises
from mmnet.datasets.augmentation import POLICIES, AugmentOptions, sample_shape
from mmnet.datasets.batches import BATCHES_AHEAD, BLOCK_SIZE, generate_batches
from mmnet.datasets.cache import open_samples
from mmnet.datasets.pairs import find_dataset
from mmnet.io.errors import MmnetError

SHAPE, WIDE = (32, 32), (32, 64)
PUBLISHED = "resize_random_scale_crop_flip_rotate"
BOTH_SHAPES = pytest.mark.parametrize("shape", [SHAPE, WIDE])


class IndexSamples:
    """Samples whose pixels are their index modulo 256. ``read`` lists the indices read so far."""

    def __init__(self, count, shape=SHAPE):
        self.count, self.shape, self.read = count, shape, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        mask = np.full(self.shape, index % 256, np.uint8)
        return np.dstack([mask] * 3), mask


def take(count, *args, **options):
    generator = generate_batches(*args, **options)
    try:
        return list(itertools.islice(generator, count))
    finally:
        generator.close()


def take_indices(count, lengths, batch_size=8, seed=1, **options):
    """Return the locations of all images in ``count`` batches of tiny images."""
    samples = [IndexSamples(length, (1, 1)) for length in lengths]
    batches = take(count, samples, (1, 1), "resize_bilinear", batch_size, seed=seed, **options)
    return [location for batch in batches for location in batch.indices]


def assert_equal_batches(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others):
        np.testing.assert_array_equal(batch.images, other.images)
        np.testing.assert_array_equal(batch.masks, other.masks)
        assert batch.indices == other.indices and batch.epoch == other.epoch


@BOTH_SHAPES
def test_batch_has_shapes_and_types(portrait_set, shape):
    samples = open_samples(portrait_set, sample_shape(shape, PUBLISHED))
    batch, second = take(2, [samples], shape, PUBLISHED, 4, seed=3)
    assert batch.images.shape == (4, *shape, 3) and batch.masks.shape == (4, *shape)
    assert batch.images.dtype == batch.masks.dtype == np.uint8
    assert batch.epoch == 4 / 6 and second.epoch == 8 / 6
    assert all(dataset == 0 and 0 <= index < 6 for dataset, index in batch.indices)
    assert not np.shares_memory(batch.images, second.images)


@BOTH_SHAPES
def test_images_belong_to_their_indices(shape):
    samples = [IndexSamples(5, shape), IndexSamples(7, shape)]
    for batch in take(4, samples, shape, "resize_bilinear", 4, seed=0):
        for image, mask, (_, index) in zip(batch.images, batch.masks, batch.indices):
            assert (image == index).all() and (mask == index).all()


def test_every_image_appears_once_per_epoch():
    locations = take_indices(35, [7, 3], batch_size=4)  # 14 epochs of 10 images
    every_location = sorted([(0, index) for index in range(7)] + [(1, index) for index in range(3)])
    epochs = [locations[start : start + 10] for start in range(0, 140, 10)]
    assert all(sorted(epoch) == every_location for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 14  # each epoch has its own order
    counts = Counter(take_indices(1, [3], batch_size=32))  # a batch larger than the dataset
    assert sorted(counts.values()) == [10, 11, 11]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("weights", [None, [1, 3]], ids=["shuffled", "weighted"])
@BOTH_SHAPES
def test_batches_depend_on_seed_and_step_only(portrait_set, policy, weights, shape):
    pairs = portrait_set.pairs
    parts = [dataclasses.replace(portrait_set, pairs=part) for part in (pairs[:4], pairs[4:])]
    samples = [open_samples(part, sample_shape(shape, policy)) for part in parts]

    def take_batches(count, seed=7, **options):
        return take(count, samples, shape, policy, 5, seed=seed, weights=weights, **options)

    batches = take_batches(6)
    for workers in (1, 5):
        assert_equal_batches(take_batches(6, workers=workers), batches)
    assert_equal_batches(take_batches(2, start=4), batches[4:])
    others = take_batches(6, seed=8)
    assert any((batch.images != other.images).any() for batch, other in zip(batches, others))


def test_ranks_receive_equal_parts_of_each_batch(portrait_set):
    samples = [open_samples(portrait_set, sample_shape(SHAPE, PUBLISHED))]
    options = AugmentOptions(previous_alpha=True)
    batches = take(3, samples, SHAPE, PUBLISHED, 4, seed=2, options=options)
    assert batches[0].images.shape == (4, *SHAPE, 4)
    for rank in range(2):
        parts = take(
            3, samples, SHAPE, PUBLISHED, 4, seed=2, options=options, rank=rank, group_size=2
        )
        own = slice(2 * rank, 2 * rank + 2)
        for part, batch in zip(parts, batches):
            np.testing.assert_array_equal(part.images, batch.images[own])
            assert part.indices == batch.indices[own] and part.epoch == batch.epoch


def test_late_start_equals_late_batches():
    for weights in (None, [1, 2]):  # the test ends, so nothing counts from the start
        assert len(take_indices(1, [7, 3], start=10**8, weights=weights)) == 8
    batches = take_indices(3, [7, 300], start=3000, weights=[1, 2])
    assert batches[8:] == take_indices(2, [7, 300], start=3001, weights=[1, 2])


def test_augmentation_changes_with_each_use(portrait_set):
    samples = [open_samples(portrait_set, sample_shape(SHAPE, PUBLISHED))]
    images = {}
    for batch in take(9, samples, SHAPE, PUBLISHED, 4, seed=0):
        for image, location in zip(batch.images, batch.indices):
            images.setdefault(location, set()).add(image.tobytes())
    assert [len(different) for different in images.values()] == [6] * 6


def test_weights_hold_exactly_in_each_block_and_datasets_are_read_completely():
    locations = take_indices(BLOCK_SIZE // 8 * 4, [50, 9], weights=[1, 3])
    datasets = [dataset for dataset, _ in locations]
    blocks = [
        datasets[start : start + BLOCK_SIZE] for start in range(0, 4 * BLOCK_SIZE, BLOCK_SIZE)
    ]
    assert all(Counter(block) == {0: 250, 1: 750} for block in blocks)
    assert blocks[0] != blocks[1]
    sums = [sum(datasets[start : start + 40]) for start in range(0, 4 * BLOCK_SIZE, 40)]
    assert np.mean(sums) == 30 and 1 < np.std(sums) < 5  # mixed, without a fixed pattern
    for dataset, length in ((0, 50), (1, 9)):
        indices = [index for number, index in locations if number == dataset]
        starts = range(0, len(indices) - length + 1, length)
        epochs = [indices[start : start + length] for start in starts]
        assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
        assert len(set(map(tuple, epochs))) > 1  # in new orders


def test_weights_are_rounded():
    locations = take_indices(BLOCK_SIZE // 8, [5, 5, 5], weights=[1, 1, 1])
    assert sorted(Counter(dataset for dataset, _ in locations).values()) == [333, 333, 334]
    assert {dataset for dataset, _ in take_indices(20, [5, 5], weights=[0, 0.1])} == {1}
    assert take_indices(5, [9], weights=[2]) == take_indices(5, [9])


@pytest.mark.parametrize(
    "options, tokens",
    [
        ({"weights": [1]}, ["[1]", "2 numbers"]),
        ({"weights": [1, -1]}, ["[1, -1]"]),
        ({"weights": [0, 0]}, ["[0, 0]"]),
        ({"weights": [1, float("nan")]}, ["nan"]),
        ({"weights": [1, 5000]}, ["5000", "1/1000"]),
        ({"batch_size": 0}, ["batch_size", "0"]),
        ({"batch_size": 3, "group_size": 2}, ["batch_size", "3", "2"]),
    ],
    ids=str,
)
def test_generate_batches_refuses_arguments_at_once(options, tokens):
    options = dict({"batch_size": 4, "seed": 0}, **options)
    with assert_raises(MmnetError, *tokens):
        generate_batches([IndexSamples(5), IndexSamples(5)], SHAPE, "resize_bilinear", **options)


@pytest.mark.parametrize(
    "samples, shape, policy, tokens",
    [
        ([IndexSamples(5)], SHAPE, PUBLISHED, ["37x37"]),
        ([IndexSamples(5, (37, 74)), IndexSamples(5, (74, 37))], WIDE, PUBLISHED, ["37x74"]),
        ([IndexSamples(5)], SHAPE, "strong", ["'strong'"]),
    ],
    ids=["square", "wide", "unknown policy"],
)
def test_generate_batches_refuses_samples(samples, shape, policy, tokens):
    with assert_raises(MmnetError, *tokens):
        generate_batches(samples, shape, policy, 4, seed=0)


def test_few_batches_are_prepared_ahead():
    samples = IndexSamples(100)
    generator = generate_batches([samples], SHAPE, "resize_bilinear", 4, seed=0, workers=3)
    assert samples.read == []
    next(generator)
    generator.close()  # the threads have ended
    assert 4 <= len(samples.read) <= 4 * (BATCHES_AHEAD + 1)


def test_closing_ends_the_threads():
    threads = set(threading.enumerate())
    generator = generate_batches([IndexSamples(100)], SHAPE, "resize_bilinear", 4, seed=0)
    next(generator)
    assert set(threading.enumerate()) - threads
    generator.close()
    assert not set(threading.enumerate()) - threads
    # A generator without references is closed, too.
    next(generate_batches([IndexSamples(100)], SHAPE, "resize_bilinear", 4, seed=0))
    assert not set(threading.enumerate()) - threads


def test_closing_cancels_images_that_have_not_started():
    first_batch, close = threading.Event(), threading.Event()

    class WaitingSamples(IndexSamples):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            if len(self.read) > 8:  # the second batch waits for the end of the test
                first_batch.set()
                close.wait(60)
            return sample

    samples = WaitingSamples(100)
    generator = generate_batches([samples], SHAPE, "resize_bilinear", 8, seed=0, workers=1)
    next(generator)
    assert first_batch.wait(60)
    threading.Timer(0.3, close.set).start()
    generator.close()
    assert len(samples.read) < 8 * BATCHES_AHEAD  # the pending images were cancelled


def test_error_of_an_image_names_its_file(portraits, tmp_path):
    shutil.copytree(portraits, str(tmp_path / "own"))
    dataset = find_dataset(str(tmp_path / "own"), "test")
    samples = open_samples(dataset, SHAPE, "none")
    os.unlink(dataset.pairs[3].image)
    threads = set(threading.enumerate())
    generator = generate_batches([samples], SHAPE, "resize_bilinear", 4, seed=0)
    with assert_raises(MmnetError, dataset.pairs[3].image):
        for _ in range(3):
            next(generator)
    assert not set(threading.enumerate()) - threads
