"""Compute with threads and keep the order of the results. No TensorFlow."""

import contextlib
import itertools
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Deque, Generator, Iterable, Optional


def parallel_map(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    threads: Optional[int] = None,
    max_pending: Optional[int] = None,
) -> Generator:
    """Yield ``function(item)`` per item, in order. A pool of threads computes the results.

    Unlike ``ThreadPoolExecutor.map``, ``items`` may be endless, and closing the generator cancels
    the calls that have not started.

    Args:
        function: runs in the pool.
        items: are read in the caller's thread.
        threads: size of the pool; default: one per processor.
        max_pending: calls that are started in advance; default: 4 per thread.
    """
    threads = threads or os.cpu_count() or 1
    max_pending = max_pending or 4 * threads
    pending: Deque[Future] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= max_pending:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def prefetch(items: Generator, depth: int) -> Generator:
    """Yield from a generator that runs in a thread of its own, up to ``depth`` items in advance.

    Closing this generator also closes ``items``.
    """
    end = object()
    results = parallel_map(
        lambda _: next(items, end), itertools.count(), threads=1, max_pending=depth
    )
    with contextlib.closing(items), contextlib.closing(results):
        yield from itertools.takewhile(lambda item: item is not end, results)
