"""Tests of mmnet.datasets.cache."""

import dataclasses
import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from helpers import ROOT, assert_message, assert_raises
from mmnet.datasets.cache import BYTES_PER_PIXEL, CACHES, open_samples
from mmnet.datasets.pairs import DIFFERENT_SIZES, NO_IMAGE, NO_MASK, UNREADABLE, find_dataset
from mmnet.io import images as images_module
from mmnet.io import masks as masks_module
from mmnet.io.errors import MmnetError
from mmnet.io.images import read_image
from mmnet.io.masks import load_mask
from mmnet.io.resize import resize_bilinear

SHAPE = (40, 40)
ALL_CACHES = pytest.mark.parametrize("cache", CACHES)


@pytest.fixture
def own_dataset(portraits, tmp_path):
    """A dataset whose files a test may change."""
    shutil.copytree(portraits, str(tmp_path / "own"))
    return find_dataset(str(tmp_path / "own"), "test")


@pytest.fixture
def read_paths(monkeypatch):
    """The paths of image files that were read, in order."""
    paths, read_bytes = [], images_module.read_bytes

    def record_and_read(path):
        paths.append(path)
        return read_bytes(path)

    for module in (images_module, masks_module):
        monkeypatch.setattr(module, "read_bytes", record_and_read)
    return paths


def list_caches(folder):
    return sorted(os.listdir(str(folder))) if os.path.isdir(str(folder)) else []


def list_files(dataset):
    return [path for pair in dataset.pairs for path in pair.files]


def assert_equal_samples(samples, others):
    assert len(samples) == len(others)
    for (image, mask), (other_image, other_mask) in zip(samples, others):
        np.testing.assert_array_equal(image, other_image)
        np.testing.assert_array_equal(mask, other_mask)


@pytest.mark.parametrize("shape", [SHAPE, (48, 24)])
@ALL_CACHES
def test_samples_are_resized_pairs(portrait_set, tmp_path, cache, shape):
    samples = open_samples(portrait_set, shape, cache, folder=str(tmp_path))
    assert len(samples) == len(portrait_set) == 6 and samples.shape == shape
    assert samples.dataset is portrait_set
    for pair, (image, mask) in zip(portrait_set.pairs, samples):
        expected = np.rint(resize_bilinear(read_image(pair.image), shape, align_corners=True))
        np.testing.assert_array_equal(image, expected)
        alpha = resize_bilinear(load_mask(pair.mask), shape, align_corners=True)
        np.testing.assert_array_equal(mask, np.rint(alpha * 255))
        for array in (image, mask):
            assert array.dtype == np.uint8 and not array.flags.writeable
    with pytest.raises(IndexError):
        samples[6]


@pytest.mark.parametrize("cache, later_reads", [("none", 2), ("memory", 0), ("disk", 0)])
def test_files_are_validated_once_and_then_cached(
    portrait_set, tmp_path, read_paths, cache, later_reads
):
    samples = open_samples(portrait_set, SHAPE, cache, folder=str(tmp_path))
    assert Counter(read_paths) == dict.fromkeys(list_files(portrait_set), 1)
    del read_paths[:]
    samples[1], samples[1]
    assert read_paths == portrait_set.pairs[1].files * later_reads


def test_disk_cache_is_built_once(portrait_set, tmp_path, read_paths):
    folder = tmp_path / "a cache"
    first = open_samples(portrait_set, SHAPE, "disk", folder=str(folder))
    del read_paths[:]
    second = open_samples(portrait_set, SHAPE, "disk", folder=str(folder))
    assert_equal_samples(first, second)
    assert read_paths == [] and len(list_caches(folder)) == 1


def test_samples_are_thread_safe(portrait_set):
    samples = open_samples(portrait_set, SHAPE)
    expected = open_samples(portrait_set, SHAPE, "none")
    barrier = threading.Barrier(8)

    def read(seed):
        barrier.wait()
        return {index: samples[index] for index in np.random.RandomState(seed).permutation(6)}

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(read, range(8)):
            assert_equal_samples([results[index] for index in range(6)], expected)


def test_disk_cache_key_depends_on_files_and_shape(own_dataset, tmp_path):
    folder = tmp_path / "cache"

    def count_caches(dataset, shape=SHAPE):
        open_samples(dataset, shape, "disk", folder=str(folder))
        return len(list_caches(folder))

    assert count_caches(own_dataset) == count_caches(own_dataset) == 1
    assert count_caches(own_dataset, (41, 41)) == 2
    assert count_caches(dataclasses.replace(own_dataset, pairs=own_dataset.pairs[::-1])) == 3
    mask, image = own_dataset.pairs[3].mask, own_dataset.pairs[0].image
    os.utime(mask, ns=(0, os.stat(mask).st_mtime_ns + 1000))
    assert count_caches(own_dataset) == 4
    modified = os.stat(image).st_mtime_ns
    with open(image, "ab") as file:
        file.write(b"\0")
    os.utime(image, ns=(0, modified))
    assert count_caches(own_dataset) == 5
    # Two shapes with the same number of pixels have different caches.
    assert count_caches(own_dataset, (24, 48)) == 6
    assert count_caches(own_dataset, (48, 24)) == 7


BUILD_AND_DIE = """
import itertools, os, signal, sys
from mmnet.datasets import cache, pairs
count, read_image = itertools.count(1), pairs.read_image

def die_at_the_fourth_image(path):
    if next(count) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return read_image(path)

pairs.read_image = die_at_the_fourth_image
dataset = pairs.find_dataset(sys.argv[1], "test")
cache.open_samples(dataset, (40, 40), "disk", folder=sys.argv[2])
"""


def test_disk_cache_ignores_killed_build(portraits, portrait_set, tmp_path):
    command = [sys.executable, "-c", BUILD_AND_DIE, portraits, str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    (abandoned,) = list_caches(tmp_path)
    assert abandoned.startswith(".writing-")
    samples = open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    assert_equal_samples(samples, open_samples(portrait_set, SHAPE, "none"))
    # A recent file may belong to another running process; an old one is deleted.
    assert len(list_caches(tmp_path)) == 2
    os.utime(str(tmp_path / abandoned), (0, 0))
    open_samples(portrait_set, (41, 41), "disk", folder=str(tmp_path))
    assert len(list_caches(tmp_path)) == 2 and abandoned not in list_caches(tmp_path)


def test_disk_cache_replaces_truncated_file(portrait_set, tmp_path):
    open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    os.truncate(str(tmp_path / list_caches(tmp_path)[0]), 100)
    samples = open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    assert_equal_samples(samples, open_samples(portrait_set, SHAPE, "none"))


def test_disk_cache_is_built_by_several_threads_at_once(portrait_set, tmp_path):
    barrier = threading.Barrier(3)

    def build(_):
        barrier.wait()
        return open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))

    with ThreadPoolExecutor(3) as pool:
        for samples in pool.map(build, range(3)):
            assert_equal_samples(samples, open_samples(portrait_set, SHAPE, "none"))
    assert len(list_caches(tmp_path)) == 1


@pytest.mark.parametrize("moment", ["before", "while writing"])
def test_full_disk_is_reported_and_leaves_no_file(portrait_set, tmp_path, monkeypatch, moment):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "before":
        usage = shutil.disk_usage(str(tmp_path))._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    else:
        monkeypatch.setattr(os, "fsync", fail)
    with assert_raises(OSError, "6 samples of 40x40", "37.5 KiB", tmp_path) as caught:
        open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    assert caught.value.errno == errno.ENOSPC and "\n" not in str(caught.value)
    assert list_caches(tmp_path) == []


def test_memory_cache_over_budget_moves_to_disk(portrait_set, tmp_path, caplog, read_paths):
    caplog.set_level(logging.INFO)
    needed = 6 * SHAPE[0] * SHAPE[1] * BYTES_PER_PIXEL
    open_samples(portrait_set, SHAPE, budget=needed, folder=str(tmp_path))
    assert list_caches(tmp_path) == [] and not caplog.records
    del read_paths[:]
    samples = open_samples(portrait_set, SHAPE, budget=needed - 1, folder=str(tmp_path))
    assert len(list_caches(tmp_path)) == 1 and len(read_paths) == 12
    assert_message(caplog.text, "6 samples of 40x40", "budget")
    assert_equal_samples(samples, open_samples(portrait_set, SHAPE, "none"))


def test_default_folder_belongs_to_the_user(portrait_set, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    open_samples(portrait_set, SHAPE, "disk")
    assert len(list_caches(tmp_path / "xdg" / "mmnet")) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_samples(portrait_set, SHAPE, "disk")
    folder = tmp_path / f"mmnet-{os.getuid()}"
    assert len(list_caches(folder)) == 1 and folder.stat().st_mode & 0o777 == 0o700
    other_user = os.getuid() + 1
    other_folder = tmp_path / f"mmnet-{other_user}"
    other_folder.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: other_user)
    with assert_raises(PermissionError, other_folder, "XDG_CACHE_HOME"):
        open_samples(portrait_set, SHAPE, "disk")


@ALL_CACHES
def test_deleted_file_is_named(own_dataset, tmp_path, cache):
    folder, mask = str(tmp_path / "cache"), own_dataset.pairs[4].mask
    os.unlink(mask)
    # The key of the disk cache needs the file; the other caches report it with all problems.
    with assert_raises(FileNotFoundError if cache == "disk" else MmnetError, mask):
        open_samples(own_dataset, SHAPE, cache, folder=folder)
    assert list_caches(folder) == []


@ALL_CACHES
def test_all_problems_are_reported_together(own_dataset, tmp_path, cache, read_paths):
    pairs = own_dataset.pairs
    os.unlink(pairs[0].mask)
    os.unlink(pairs[1].image)
    for path in (pairs[2].image, pairs[5].mask):
        with open(path, "wb") as file:
            file.write(b"no image")
    cv2.imwrite(pairs[3].mask, np.eye(30, 20, dtype=np.uint8))
    dataset = find_dataset(own_dataset.path, "test")
    with assert_raises(
        MmnetError,
        os.path.join(own_dataset.path, "test"),
        f"1 {NO_MASK} (portrait0_0000.jpg)",
        f"1 {NO_IMAGE} (portrait0_0001.png)",
        f"2 {UNREADABLE} (",
        pairs[2].image,
        pairs[5].mask,
        f"1 {DIFFERENT_SIZES} (portrait0_0003.jpg 200x150 with mask 30x20)",
    ) as caught:
        open_samples(dataset, SHAPE, cache, folder=str(tmp_path / "cache"))
    assert "\n" not in str(caught.value)
    assert {pair.image for pair in dataset.pairs} <= set(read_paths)
    assert max(Counter(read_paths).values()) == 1
    assert list_caches(tmp_path / "cache") == []


@ALL_CACHES
def test_dataset_without_pairs_reports_its_problems(own_dataset, tmp_path, cache):
    for pair in own_dataset.pairs:
        os.unlink(pair.mask)
    dataset = find_dataset(own_dataset.path, "test")
    with assert_raises(MmnetError, f"6 {NO_MASK}"):
        open_samples(dataset, SHAPE, cache, folder=str(tmp_path / "cache"))


def test_open_samples_refuses_empty_dataset_and_unknown_cache(portrait_set):
    with assert_raises(MmnetError, "pairs"):
        open_samples(dataclasses.replace(portrait_set, pairs=[]), SHAPE)
    with assert_raises(MmnetError, "cache", "none, memory, disk", "'ram'"):
        open_samples(portrait_set, SHAPE, "ram")
