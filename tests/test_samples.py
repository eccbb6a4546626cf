import errno
import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from conftest import ROOT
from mmnet.data import samples as module
from mmnet.data.images import load_mask, read_image, resize_bilinear
from mmnet.data.pairs import find_pairs
from mmnet.data.samples import map_ahead, open_samples

SIDE = 40


@pytest.fixture
def pairs(portraits):
    return find_pairs(portraits, "test")[0]


@pytest.fixture
def own_pairs(portraits, tmp_path):
    """Pairs whose files a test may change."""
    shutil.copytree(portraits, str(tmp_path / "own"))
    return find_pairs(str(tmp_path / "own"), "test")[0]


@pytest.fixture
def decoded(monkeypatch):
    """The stems that were decoded, in order."""
    stems, read_pair = [], module.read_pair
    monkeypatch.setattr(module, "read_pair", lambda pair: (stems.append(pair.stem), read_pair(pair))[1])
    return stems


def caches(folder):
    return sorted(os.listdir(str(folder))) if os.path.isdir(str(folder)) else []


def assert_equal(samples, others):
    assert len(samples) == len(others)
    for sample, other in zip(samples, others):
        np.testing.assert_array_equal(sample[0], other[0])
        np.testing.assert_array_equal(sample[1], other[1])


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_a_sample_is_its_pair_resized(pairs, tmp_path, cache):
    samples = open_samples(pairs, SIDE, cache, folder=str(tmp_path))
    assert len(samples) == len(pairs) == 6 and samples.side == SIDE
    for pair, (image, mask) in zip(pairs, samples):
        expected = np.rint(resize_bilinear(read_image(pair.image), (SIDE, SIDE), align_corners=True))
        assert image.dtype == mask.dtype == np.uint8
        np.testing.assert_array_equal(image, expected)
        alpha = resize_bilinear(load_mask(pair.mask), (SIDE, SIDE), align_corners=True)
        np.testing.assert_array_equal(mask, np.rint(alpha * 255))
        for picture in (image, mask):
            with pytest.raises(ValueError, match="read-only"):
                picture[0] = 0
    with pytest.raises(IndexError):
        samples[6]


def test_memory_decodes_when_first_asked_and_once(pairs, decoded):
    samples = open_samples(pairs, SIDE)
    assert decoded == []
    samples[2], samples[2]
    assert decoded == [pairs[2].stem]
    samples.fill()
    samples.fill()
    assert sorted(decoded) == [pair.stem for pair in pairs]
    list(samples)
    assert len(decoded) == 6


def test_no_cache_decodes_each_time(pairs, decoded):
    samples = open_samples(pairs, SIDE, "none")
    samples.fill()
    samples[1], samples[1]
    assert decoded == [pairs[1].stem] * 2


def test_many_threads_may_ask_at_once(pairs):
    samples = open_samples(pairs, SIDE)
    barrier = threading.Barrier(8)

    def read(seed):
        barrier.wait()
        return {index: samples[index] for index in np.random.RandomState(seed).permutation(6)}

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(read, range(8)))
    for answers in asked:
        assert_equal([answers[index] for index in range(6)], open_samples(pairs, SIDE, "none"))


def test_disk_is_built_once_and_for_all(pairs, tmp_path, decoded):
    first = open_samples(pairs, SIDE, "disk", folder=str(tmp_path / "a cache"))
    assert len(decoded) == 6
    second = open_samples(pairs, SIDE, "disk", folder=str(tmp_path / "a cache"))
    second.fill()
    assert_equal(first, second)
    assert len(decoded) == 6
    assert len(caches(tmp_path / "a cache")) == 1


def test_disk_is_keyed_by_time_length_path_and_side(own_pairs, tmp_path):
    folder = tmp_path / "cache"

    def files_after(pairs, side=SIDE):
        open_samples(pairs, side, "disk", folder=str(folder))
        return len(caches(folder))

    assert files_after(own_pairs) == files_after(own_pairs) == 1
    assert files_after(own_pairs, SIDE + 1) == 2
    assert files_after(own_pairs[::-1]) == 3
    status = os.stat(own_pairs[3].mask)
    os.utime(own_pairs[3].mask, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
    assert files_after(own_pairs) == 4
    status = os.stat(own_pairs[0].image)
    with open(own_pairs[0].image, "ab") as file:
        file.write(b"\0")
    os.utime(own_pairs[0].image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files_after(own_pairs) == 5


def test_a_changed_file_is_seen(own_pairs, tmp_path):
    before = open_samples(own_pairs, SIDE, "disk", folder=str(tmp_path / "cache"))[0]
    shutil.copy(own_pairs[1].image, own_pairs[0].image)
    after = open_samples(own_pairs, SIDE, "disk", folder=str(tmp_path / "cache"))
    np.testing.assert_array_equal(after[0][0], after[1][0])
    assert (before[0] != after[0][0]).any()


def test_a_killed_build_is_not_used(portraits, pairs, tmp_path):
    code = """if True:
        import itertools, os, signal, sys
        from mmnet.data import pairs, samples
        count, read_pair = itertools.count(1), samples.read_pair
        samples.read_pair = lambda pair: os.kill(os.getpid(), signal.SIGKILL) if next(count) == 4 else read_pair(pair)
        samples.open_samples(pairs.find_pairs(sys.argv[1], "test")[0], 40, "disk", folder=sys.argv[2])"""
    result = subprocess.run([sys.executable, "-c", code, portraits, str(tmp_path)], cwd=ROOT)
    assert result.returncode == -signal.SIGKILL
    left = caches(tmp_path)
    assert len(left) == 1 and left[0].startswith(".writing-samples-")
    assert_equal(open_samples(pairs, SIDE, "disk", folder=str(tmp_path)), open_samples(pairs, SIDE, "none"))
    assert len(caches(tmp_path)) == 2  # what is left may still be another run's, until it is old
    os.utime(str(tmp_path / left[0]), (0, 0))
    open_samples(pairs, SIDE + 1, "disk", folder=str(tmp_path))
    assert len(caches(tmp_path)) == 2 and left[0] not in caches(tmp_path)


def test_a_cut_off_cache_is_built_anew(pairs, tmp_path):
    open_samples(pairs, SIDE, "disk", folder=str(tmp_path))
    os.truncate(str(tmp_path / caches(tmp_path)[0]), 100)
    assert_equal(open_samples(pairs, SIDE, "disk", folder=str(tmp_path)), open_samples(pairs, SIDE, "none"))


def test_runs_that_build_at_once(pairs, tmp_path):
    barrier = threading.Barrier(3)

    def build(_):
        barrier.wait()
        return open_samples(pairs, SIDE, "disk", folder=str(tmp_path))

    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(build, range(3)))
    for samples in opened:
        assert_equal(samples, open_samples(pairs, SIDE, "none"))
    assert len(caches(tmp_path)) == 1


@pytest.mark.parametrize("when", ["before", "while writing"])
def test_a_full_disk_is_one_clear_line(pairs, tmp_path, monkeypatch, when):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "before":
        usage = shutil.disk_usage(str(tmp_path))._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no room for 6 samples of side 40, 37.5 KiB: name another folder") as caught:
        open_samples(pairs, SIDE, "disk", folder=str(tmp_path))
    assert caught.value.errno == errno.ENOSPC and "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    assert caches(tmp_path) == []


def test_over_the_budget_goes_to_disk(pairs, tmp_path, caplog, decoded):
    need = 6 * SIDE * SIDE * 4
    caplog.set_level(logging.INFO)
    open_samples(pairs, SIDE, budget=need, folder=str(tmp_path))
    assert caches(tmp_path) == [] and not caplog.records
    samples = open_samples(pairs, SIDE, budget=need - 1, folder=str(tmp_path))
    assert len(caches(tmp_path)) == 1 and len(decoded) == 6
    assert sum("over the budget" in record.getMessage() for record in caplog.records) == 1
    assert_equal(samples, open_samples(pairs, SIDE, "none"))


def test_the_default_folder_is_the_users_own(pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    open_samples(pairs, SIDE, "disk")
    assert len(caches(tmp_path / "xdg" / "mmnet")) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_samples(pairs, SIDE, "disk")
    folder = tmp_path / ("mmnet-%d" % os.getuid())
    assert len(caches(folder)) == 1 and folder.stat().st_mode & 0o777 == 0o700
    foreign = os.getuid() + 1
    (tmp_path / ("mmnet-%d" % foreign)).mkdir()
    monkeypatch.setattr(os, "getuid", lambda: foreign)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        open_samples(pairs, SIDE, "disk")


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_what_is_wrong_with_a_file_names_it(own_pairs, tmp_path, cache):
    def read_all():
        open_samples(own_pairs, SIDE, cache, folder=str(tmp_path / "cache")).fill()
        open_samples(own_pairs, SIDE, cache, folder=str(tmp_path / "cache"))[4]

    with open(own_pairs[4].mask, "wb") as file:
        file.write(b"no picture")
    with pytest.raises(ValueError, match=os.path.basename(own_pairs[4].mask)):
        read_all()
    os.unlink(own_pairs[4].mask)
    with pytest.raises(FileNotFoundError, match=os.path.basename(own_pairs[4].mask)):
        read_all()
    assert caches(tmp_path / "cache") == []


def test_what_is_no_cache(pairs):
    with pytest.raises(ValueError, match="no pairs"):
        open_samples([], SIDE)
    with pytest.raises(ValueError, match="none, memory, disk, not 'ram'"):
        open_samples(pairs, SIDE, "ram")


def test_map_ahead_keeps_the_order_and_the_bound():
    taken = []

    def items():
        for number in itertools.count():
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, lambda number: number * number, items(), ahead=5)
        assert [next(results) for _ in range(20)] == [number * number for number in range(20)]
        assert len(taken) == 24
        results.close()
        assert list(map_ahead(pool, str, range(3), ahead=5)) == ["0", "1", "2"]
