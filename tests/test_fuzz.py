"""A short fuzz test of all readers with fixed seeds. scripts/fuzz.sh runs a long one."""

import logging

import numpy as np
import pytest

from helpers import assert_message, fuzz

KINDS = fuzz.file_kinds()


@pytest.fixture(autouse=True)
def no_logging():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_reader_accepts_valid_file(name, tmp_path):
    kind = KINDS[name]
    path = tmp_path / ("valid" + kind.extension)
    path.write_bytes(kind.data)
    assert kind.read(str(path)) is not None


@pytest.mark.parametrize("name", sorted(KINDS))
def test_reader_accepts_or_rejects_damaged_file(name, tmp_path):
    kind, changed = KINDS[name], 0
    for seed in range(60):
        data = fuzz.mutate(kind.data, np.random.RandomState(seed))
        changed += data != kind.data
        problem = fuzz.find_problem(str(tmp_path), kind, data)
        assert problem is None, f"seed {seed}: {problem}"
    assert changed > 50


def test_find_problem_reports_broken_reader(tmp_path):
    def read(path):
        raise KeyError(path)

    kind = fuzz.FileKind(".txt", b"", read)
    assert_message(fuzz.find_problem(str(tmp_path), kind, b"x"), "KeyError")
