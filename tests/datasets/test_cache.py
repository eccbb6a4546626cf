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

from helpers import ROOT
from mmnet.datasets import cache as module
from mmnet.datasets import pairs as pairs_module
from mmnet.datasets.cache import CACHES, open_samples
from mmnet.datasets.pairs import Dataset, find_dataset
from mmnet.io import images as images_module
from mmnet.io.images import load_mask, read_image
from mmnet.io.resize import resize_bilinear

SHAPE = (40, 40)
SHAPES = [SHAPE, (48, 24)]


@pytest.fixture
def own_set(portraits, tmp_path):
    """A dataset whose files a test may change."""
    shutil.copytree(portraits, str(tmp_path / "own"))
    return find_dataset(str(tmp_path / "own"), "test")


@pytest.fixture
def decoded(monkeypatch):
    """The stems that were decoded, in order."""
    stems, read_pair = [], pairs_module.read_pair

    def counted(pair):
        stems.append(pair.stem)
        return read_pair(pair)

    for user in (pairs_module, module):  # the check of a first pass, and what reads without a cache
        monkeypatch.setattr(user, "read_pair", counted)
    return stems


@pytest.fixture
def opened(monkeypatch):
    """The paths of picture files that were read, in order."""
    paths, read_bytes = [], images_module.read_bytes

    def counted(path):
        paths.append(path)
        return read_bytes(path)

    monkeypatch.setattr(images_module, "read_bytes", counted)
    return paths


def caches(folder):
    return sorted(os.listdir(str(folder))) if os.path.isdir(str(folder)) else []


def stems_of(data_set):
    return [pair.stem for pair in data_set.pairs]


def files_of(data_set):
    return [path for pair in data_set.pairs for path in (pair.image, pair.mask)]


def assert_equal(samples, others):
    assert len(samples) == len(others)
    for sample, other in zip(samples, others):
        np.testing.assert_array_equal(sample[0], other[0])
        np.testing.assert_array_equal(sample[1], other[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_a_sample_is_its_pair_resized(portrait_set, tmp_path, cache, shape):
    samples = open_samples(portrait_set, shape, cache, folder=str(tmp_path))
    assert len(samples) == len(portrait_set) == 6 and samples.shape == shape
    assert samples.data_set is portrait_set
    for pair, (image, mask) in zip(portrait_set.pairs, samples):
        expected = np.rint(resize_bilinear(read_image(pair.image), shape, align_corners=True))
        assert image.dtype == mask.dtype == np.uint8
        np.testing.assert_array_equal(image, expected)
        alpha = resize_bilinear(load_mask(pair.mask), shape, align_corners=True)
        np.testing.assert_array_equal(mask, np.rint(alpha * 255))
        for picture in (image, mask):
            with pytest.raises(ValueError, match="read-only"):
                picture[0] = 0
    with pytest.raises(IndexError):
        samples[6]


def test_memory_decodes_at_once_and_once(portrait_set, decoded):
    samples = open_samples(portrait_set, SHAPE)
    assert sorted(decoded) == stems_of(portrait_set)
    samples[2], samples[2]
    list(samples)
    assert len(decoded) == 6


def test_memory_reads_each_file_exactly_once(portrait_set, opened):
    samples = open_samples(portrait_set, SHAPE, "memory")
    for _ in range(3):  # as training's epochs do
        list(samples)
    assert Counter(opened) == dict.fromkeys(files_of(portrait_set), 1)


def test_a_second_start_with_the_disk_cache_reads_nothing(portrait_set, tmp_path, opened):
    first = open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    list(first)
    assert Counter(opened) == dict.fromkeys(files_of(portrait_set), 1)
    del opened[:]
    second = open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    assert_equal(first, second)
    assert opened == []


def test_no_cache_decodes_each_time(portrait_set, decoded):
    samples = open_samples(portrait_set, SHAPE, "none")
    assert sorted(decoded) == stems_of(portrait_set)  # the check
    del decoded[:]
    samples[1], samples[1]
    assert decoded == [portrait_set.pairs[1].stem] * 2


def test_many_threads_may_ask_at_once(portrait_set):
    samples = open_samples(portrait_set, SHAPE)
    barrier = threading.Barrier(8)

    def read(seed):
        barrier.wait()
        return {index: samples[index] for index in np.random.RandomState(seed).permutation(6)}

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(read, range(8)))
    for answers in asked:
        found = [answers[index] for index in range(6)]
        assert_equal(found, open_samples(portrait_set, SHAPE, "none"))


def test_disk_is_built_once_and_for_all(portrait_set, tmp_path, decoded):
    first = open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path / "a cache"))
    assert len(decoded) == 6
    second = open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path / "a cache"))
    assert_equal(first, second)
    assert len(decoded) == 6
    assert len(caches(tmp_path / "a cache")) == 1


def test_disk_is_keyed_by_time_length_path_and_shape(own_set, tmp_path):
    folder = tmp_path / "cache"

    def files_after(data_set, shape=SHAPE):
        open_samples(data_set, shape, "disk", folder=str(folder))
        return len(caches(folder))

    assert files_after(own_set) == files_after(own_set) == 1
    assert files_after(own_set, (41, 41)) == 2
    assert files_after(dataclasses.replace(own_set, pairs=own_set.pairs[::-1])) == 3
    status = os.stat(own_set.pairs[3].mask)
    os.utime(own_set.pairs[3].mask, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
    assert files_after(own_set) == 4
    status = os.stat(own_set.pairs[0].image)
    with open(own_set.pairs[0].image, "ab") as file:
        file.write(b"\0")
    os.utime(own_set.pairs[0].image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files_after(own_set) == 5
    # Two shapes of as many pixels are two caches.
    assert files_after(own_set, (24, 48)) == 6
    assert files_after(own_set, (48, 24)) == 7


def test_a_changed_file_is_seen(own_set, tmp_path):
    before = open_samples(own_set, SHAPE, "disk", folder=str(tmp_path / "cache"))[0]
    shutil.copy(own_set.pairs[1].image, own_set.pairs[0].image)
    after = open_samples(own_set, SHAPE, "disk", folder=str(tmp_path / "cache"))
    np.testing.assert_array_equal(after[0][0], after[1][0])
    assert (before[0] != after[0][0]).any()


KILLED = """
import itertools, os, signal, sys
from mmnet.datasets import pairs, cache as samples
count, read_pair = itertools.count(1), pairs.read_pair

def killed_at_the_fourth(pair):
    if next(count) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return read_pair(pair)

pairs.read_pair = killed_at_the_fourth
data_set = pairs.find_dataset(sys.argv[1], "test")
samples.open_samples(data_set, (40, 40), "disk", folder=sys.argv[2])
"""


def test_a_killed_build_is_not_used(portraits, portrait_set, tmp_path):
    result = subprocess.run([sys.executable, "-c", KILLED, portraits, str(tmp_path)], cwd=ROOT)
    assert result.returncode == -signal.SIGKILL
    left = caches(tmp_path)
    assert len(left) == 1 and left[0].startswith(".writing-samples-")
    samples = open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    assert_equal(samples, open_samples(portrait_set, SHAPE, "none"))
    # What is left may still be another run's, until it is old.
    assert len(caches(tmp_path)) == 2
    os.utime(str(tmp_path / left[0]), (0, 0))
    open_samples(portrait_set, (41, 41), "disk", folder=str(tmp_path))
    assert len(caches(tmp_path)) == 2 and left[0] not in caches(tmp_path)


def test_a_cut_off_cache_is_built_anew(portrait_set, tmp_path):
    open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    os.truncate(str(tmp_path / caches(tmp_path)[0]), 100)
    samples = open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    assert_equal(samples, open_samples(portrait_set, SHAPE, "none"))


def test_runs_that_build_at_once(portrait_set, tmp_path):
    barrier = threading.Barrier(3)

    def build(_):
        barrier.wait()
        return open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))

    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(build, range(3)))
    for samples in opened:
        assert_equal(samples, open_samples(portrait_set, SHAPE, "none"))
    assert len(caches(tmp_path)) == 1


@pytest.mark.parametrize("when", ["before", "while writing"])
def test_a_full_disk_is_one_clear_line(portrait_set, tmp_path, monkeypatch, when):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "before":
        usage = shutil.disk_usage(str(tmp_path))._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match="no room for 6 samples of 40x40, 37.5 KiB: name another folder"
    ) as caught:
        open_samples(portrait_set, SHAPE, "disk", folder=str(tmp_path))
    said = str(caught.value)
    assert caught.value.errno == errno.ENOSPC and "\n" not in said and str(tmp_path) in said
    assert caches(tmp_path) == []


def test_over_the_budget_goes_to_disk(portrait_set, tmp_path, caplog, decoded):
    need = 6 * SHAPE[0] * SHAPE[1] * 4
    caplog.set_level(logging.INFO)
    open_samples(portrait_set, SHAPE, budget=need, folder=str(tmp_path))
    assert caches(tmp_path) == [] and not caplog.records
    del decoded[:]
    samples = open_samples(portrait_set, SHAPE, budget=need - 1, folder=str(tmp_path))
    assert len(caches(tmp_path)) == 1 and len(decoded) == 6
    assert sum("over the budget" in record.getMessage() for record in caplog.records) == 1
    assert_equal(samples, open_samples(portrait_set, SHAPE, "none"))


def test_the_default_folder_is_the_users_own(portrait_set, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    open_samples(portrait_set, SHAPE, "disk")
    assert len(caches(tmp_path / "xdg" / "mmnet")) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_samples(portrait_set, SHAPE, "disk")
    folder = tmp_path / ("mmnet-%d" % os.getuid())
    assert len(caches(folder)) == 1 and folder.stat().st_mode & 0o777 == 0o700
    foreign = os.getuid() + 1
    (tmp_path / ("mmnet-%d" % foreign)).mkdir()
    monkeypatch.setattr(os, "getuid", lambda: foreign)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        open_samples(portrait_set, SHAPE, "disk")


@pytest.mark.parametrize("cache", CACHES)
def test_what_is_wrong_with_a_file_names_it(own_set, tmp_path, cache):
    def read_all():
        open_samples(own_set, SHAPE, cache, folder=str(tmp_path / "cache"))

    pair = own_set.pairs[4]
    with open(pair.mask, "wb") as file:
        file.write(b"no picture")
    with pytest.raises(ValueError, match=os.path.basename(pair.mask)):
        read_all()
    os.unlink(pair.mask)
    # The disk's key already needs the file; the others find out with everything else.
    missing = FileNotFoundError if cache == "disk" else ValueError
    with pytest.raises(missing, match="No such file.*" + os.path.basename(pair.mask)):
        read_all()
    assert caches(tmp_path / "cache") == []


def test_a_file_that_goes_later_is_named(own_set):
    samples = open_samples(own_set, SHAPE, "none")
    os.unlink(own_set.pairs[4].mask)
    with pytest.raises(ValueError, match=os.path.basename(own_set.pairs[4].mask)):
        samples[4]


@pytest.mark.parametrize("cache", CACHES)
def test_everything_wrong_is_said_at_once(own_set, tmp_path, cache, decoded):
    pairs = own_set.pairs
    os.unlink(pairs[0].mask)
    os.unlink(pairs[1].image)
    for path in (pairs[2].image, pairs[5].mask):
        with open(path, "wb") as file:
            file.write(b"no picture")
    cv2.imwrite(pairs[3].mask, np.eye(30, 20, dtype=np.uint8))
    data_set = find_dataset(own_set.path, "test")
    with pytest.raises(ValueError) as caught:
        open_samples(data_set, SHAPE, cache, folder=str(tmp_path / "cache"))
    said = str(caught.value)
    assert "\n" not in said and said.startswith(os.path.join(own_set.path, "test") + ": ")
    assert "1 images without a mask (portrait0_0000.jpg)" in said
    assert "1 masks without an image (portrait0_0001.png)" in said
    assert "2 unreadable files (" in said
    for path in (pairs[2].image, pairs[5].mask):
        assert "%s: not a JPEG" % path in said
    assert "1 pairs of different sizes" in said
    assert "portrait0_0003.jpg 200x150 with mask 30x20" in said
    assert sorted(decoded) == stems_of(data_set)  # once each, all of them
    assert caches(tmp_path / "cache") == []


def test_no_pair_at_all_says_why(own_set, tmp_path):
    for pair in own_set.pairs:
        os.unlink(pair.mask)
    data_set = find_dataset(own_set.path, "test")
    for cache in CACHES:
        with pytest.raises(ValueError, match="6 images without a mask"):
            open_samples(data_set, SHAPE, cache, folder=str(tmp_path / "cache"))


def test_what_is_no_cache(portrait_set):
    with pytest.raises(ValueError, match="no pairs"):
        open_samples(Dataset("nowhere", "test", []), SHAPE)
    with pytest.raises(ValueError, match="none, memory, disk, not 'ram'"):
        open_samples(portrait_set, SHAPE, "ram")
