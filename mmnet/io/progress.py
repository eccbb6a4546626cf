"""Show the progress of long work on stderr.

A terminal shows one line, which is updated. Any other stderr gets a new line from time to time.
Progress is hidden if the level of the logger ``mmnet`` is above INFO.
"""

import contextlib
import datetime
import logging
import sys
import time
from typing import Any, Callable, Iterable, Iterator, Optional

from mmnet.io.terminal import escape_controls

TERMINAL_SECONDS = 0.2  # between two updates of the line on a terminal
PLAIN_SECONDS = 10.0  # between two lines on any other stderr
TERMINAL_DELAY = 1.0  # work that ends within this time shows nothing on a terminal
CLEAR_LINE = "\r\033[K"


def progress(
    items: Iterable[Any],
    total: Optional[int],
    description: str,
    unit: str = "images",
    count: Optional[Callable[[Any], int]] = None,
) -> Iterator[Any]:
    """Yield the items and show the progress.

    Args:
        total: number of units in all items, or None if unknown.
        description: start of the line.
        unit: name of the counted things, in the plural.
        count: item -> number of its units; default: one unit per item.
    """
    terminal = sys.stderr.isatty()
    interval = TERMINAL_SECONDS if terminal else PLAIN_SECONDS
    start = time.monotonic()
    next_time = start + (TERMINAL_DELAY if terminal else PLAIN_SECONDS)
    done, has_shown = 0, False
    for item in items:
        yield item
        done += count(item) if count else 1
        now = time.monotonic()
        if now >= next_time:
            next_time = now + interval
            line = f"{description}: {_format_progress(done, total, unit, done / (now - start))}"
            line = escape_controls(line)
            _show(CLEAR_LINE + line if terminal else line + "\n")
            has_shown = True
    if terminal and has_shown:
        _show(CLEAR_LINE)


def _format_progress(done, total, unit, rate):
    if total is None:
        return f"{done} {unit}, {rate:.1f} {unit}/s"
    time_left = datetime.timedelta(seconds=round(max(0, total - done) / rate))
    return f"{done} / {total} {unit}, {rate:.1f} {unit}/s, {time_left} left"


def _show(text):
    if logging.getLogger("mmnet").level > logging.INFO:
        return
    with contextlib.suppress(OSError):  # a full or closed stderr does not stop the work
        stream = getattr(sys.stderr, "unescaped", sys.stderr)  # CLEAR_LINE is a control sequence
        stream.write(text)
        stream.flush()
