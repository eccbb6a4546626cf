"""Show the progress of long work on stderr.

A terminal gets one line that renews itself. Any other stderr gets a plain line now and then.
"""

import contextlib
import datetime
import sys
import time

TERMINAL_SECONDS = 0.2  # the least time between two renewals of the line on a terminal
PLAIN_SECONDS = 10.0  # the least time between two plain lines

_state = {"shows": True}


def show_no_progress():
    """Be silent in this process from now on: of several that do the same, one tells."""
    _state["shows"] = False


def progress(items, total, what, unit="pictures", count=None):
    """Yield from ``items`` and show how far the work is. Work of a second or so shows nothing.

    Args:
        total: how many of ``unit`` there are in all; None where nobody knows.
        what: the name of the work, at the start of the line.
        unit: what is counted, in the plural.
        count: function item -> how many of ``unit`` it holds. None counts 1 for each item.
    """
    terminal = sys.stderr.isatty()
    start = time.monotonic()
    shown_at = start + (1.0 if terminal else 0.0)  # a terminal's first line waits a second longer
    done = 0
    has_shown = False
    for item in items:
        yield item
        done += count(item) if count else 1
        now = time.monotonic()
        if now - shown_at < (TERMINAL_SECONDS if terminal else PLAIN_SECONDS):
            continue
        shown_at = now
        rate = done / (now - start)
        line = "%s: %d %s, %.1f %s/s" % (what, done, unit, rate, unit)
        if total is not None:
            left = datetime.timedelta(seconds=round(max(0, total - done) / rate))
            line = "%s: %d / %d %s, %.1f %s/s, %s left" % (
                what,
                done,
                total,
                unit,
                rate,
                unit,
                left,
            )
        _show("\r\033[K" + line if terminal else line + "\n")
        has_shown = True
    if terminal and has_shown:
        _show("\r\033[K")


def _show(text):
    """Write to stderr; one that is full or closed does not end the work."""
    if not _state["shows"]:
        return
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
