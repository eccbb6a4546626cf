"""Compute with threads and keep the order of the results. No TensorFlow."""

import contextlib
import os
import queue
import threading
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
        function: is called in the threads.
        items: is read in the caller's thread.
        threads: None uses one per processor.
        max_pending: results that may wait; None allows 4 per thread.
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

    An exception of ``items`` is raised here. Closing this generator stops the thread and closes
    ``items``.
    """
    end, stopped = object(), threading.Event()
    results: queue.Queue = queue.Queue(depth)  # pairs (item, exception)

    def put(item, error=None):
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                results.put((item, error), timeout=0.1)
                return

    def run():
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    break
            put(end)
        except BaseException as error:
            put(end, error)
        finally:
            items.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            item, error = results.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        stopped.set()
        thread.join()
