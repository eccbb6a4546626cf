"""Tests of mmnet.io.parallel."""

import itertools

import pytest

from helpers import assert_raises
from mmnet.io.parallel import parallel_map, prefetch


def recorded(items, requested):
    """Yield the items, and append each one to the list ``requested``."""
    for item in items:
        requested.append(item)
        yield item


def test_parallel_map_keeps_order_and_limits_pending_calls():
    requested = []
    items = recorded(itertools.count(), requested)
    results = parallel_map(lambda number: number * number, items, threads=2, max_pending=5)
    assert [next(results) for _ in range(20)] == [number * number for number in range(20)]
    assert len(requested) == 24
    results.close()
    assert list(parallel_map(str, range(3), max_pending=5)) == ["0", "1", "2"]


def test_parallel_map_raises_error_of_function():
    results = parallel_map(lambda number: 1 // number, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_prefetch_stops_when_closed():
    requested = []
    items = prefetch(recorded(range(1000), requested), 3)
    assert [next(items) for _ in range(5)] == list(range(5))
    items.close()
    assert len(requested) < 12


def test_prefetch_raises_error_of_generator():
    def broken():
        yield 1
        raise ValueError("a broken pipe")

    with assert_raises(ValueError, "a broken pipe"):
        list(prefetch(broken(), 2))
