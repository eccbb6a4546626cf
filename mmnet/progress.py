"""Progress of long work on stderr: one line that renews itself on a terminal, a plain line now and then elsewhere."""
import datetime
import sys
import time

TERMINAL_SECONDS = 0.2  # between two renewals
PLAIN_SECONDS = 10.0


def progress(items, total, what, unit="pictures", count=None):
    """Yield from ``items`` while saying how far it is; work shorter than a second or so stays silent.

    Args:
        total: of ``unit``. count: item -> how many of ``unit`` it is; None counts 1 each.
    """
    terminal = sys.stderr.isatty()
    start = time.monotonic()
    said = start + (1.0 if terminal else 0.0)
    done = 0
    shown = False
    for item in items:
        yield item
        done += count(item) if count else 1
        now = time.monotonic()
        if now - said < (TERMINAL_SECONDS if terminal else PLAIN_SECONDS):
            continue
        said = now
        rate = done / (now - start)
        left = datetime.timedelta(seconds=round((total - done) / rate))
        line = "%s: %d / %d %s, %.1f %s/s, %s left" % (what, done, total, unit, rate, unit, left)
        sys.stderr.write("\r\033[K" + line if terminal else line + "\n")
        sys.stderr.flush()
        shown = True
    if terminal and shown:
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
