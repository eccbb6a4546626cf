"""A small fuzz of every reader, with fixed seeds; scripts/fuzz.sh goes on for longer."""

import logging

import numpy as np
import pytest

from helpers import fuzz

KINDS = fuzz.seeds()


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_whole_files_are_read(name, tmp_path):
    ending, data, read = KINDS[name]
    path = tmp_path / ("whole" + ending)
    path.write_bytes(data)
    read(str(path))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_damaged_files_are_refused_or_read(name, tmp_path):
    kind, changed = KINDS[name], 0
    for seed in range(60):
        data = fuzz.mutate(kind[1], np.random.RandomState(seed))
        changed += data != kind[1]
        problem = fuzz.try_one(str(tmp_path), kind, data)
        assert problem is None, "seed %d: %s" % (seed, problem)
    assert changed > 50


def test_the_fuzz_finds_what_breaks(tmp_path):
    """It is a check that can fail."""

    def broken(path):
        raise KeyError(path)

    assert "KeyError" in fuzz.try_one(str(tmp_path), (".txt", b"", broken), b"x")
