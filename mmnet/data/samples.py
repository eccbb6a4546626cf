"""Samples: pairs decoded once, resized to one square side and kept as uint8. No TensorFlow.

Decoding a portrait of 800 x 600 and resizing it takes some twenty-five times as long as augmenting it, so every
picture is decoded once a run (kept in memory), once and for all (kept on disk), or each time it is asked for.
"""
import errno
import hashlib
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from humanfriendly import format_size

from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import read_pair
from mmnet.progress import progress

CACHES = ("none", "memory", "disk")
BUDGET = 2 << 30  # bytes of memory
FORMAT = 1  # goes into the cache's key: raise it when the bytes of a sample change
ABANDONED_SECONDS = 3600  # a file under construction that nobody wrote to for so long was left by a kill

log = logging.getLogger(__name__)


def open_samples(pairs, side, cache="memory", budget=BUDGET, folder=None):
    """Give the pairs as samples of one side, resized with corners aligned.

    Args:
        pairs: list of data.pairs.Pair.
        cache: "none" decodes each time; "memory" keeps what was asked for, or goes over to disk where all samples need
            more than ``budget`` bytes; "disk" keeps all samples in one memory-mapped file, which is built here when
            there is none of these very files (path, time, length) at this side. Such files stay until they are deleted.
        folder: of the file on disk; None is $XDG_CACHE_HOME/mmnet, or mmnet-<user id> in the system's temporary folder.

    Returns:
        Samples.

    Raises:
        ValueError: no pairs, another cache, an unreadable picture. FileNotFoundError: a picture is gone. OSError: no
            room on disk, or the folder is not writable.
    """
    if not pairs:
        raise ValueError("no pairs to take samples from")
    if cache not in CACHES:
        raise ValueError("cache is one of %s, not %r" % (", ".join(CACHES), cache))
    count, length = len(pairs), _sample_bytes(side)
    if cache == "memory" and count * length > budget:
        log.info("%d samples of side %d need %s, over the budget of %s in memory: they go to disk", count, side,
                 format_size(count * length, binary=True), format_size(budget, binary=True))
        cache = "disk"
    if cache == "disk":
        return Samples(pairs, side, _disk_rows(pairs, side, folder or _default_folder()), np.ones(count, bool))
    if cache == "memory":  # the system gives the memory when it is written to, not here
        return Samples(pairs, side, np.empty((count, length), np.uint8), np.zeros(count, bool))
    return Samples(pairs, side)


class Samples:
    """``samples[i]`` is (image uint8 [side,side,3], mask uint8 [side,side]), read-only; any thread may ask for it."""

    def __init__(self, pairs, side, rows=None, filled=None):
        """rows: uint8 [pairs, side x side x 4], image then mask, or None for no cache. filled: bool [pairs]."""
        self.pairs, self.side = pairs, side
        self._rows, self._filled = rows, filled

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        row = _read_row(self.pairs[index], self.side) if self._rows is None else self._kept_row(index)
        row.flags.writeable = False
        area = self.side * self.side
        return row[:3 * area].reshape(self.side, self.side, 3), row[3 * area:].reshape(self.side, self.side)

    def fill(self):
        """Decode what the memory cache does not hold yet, with all processors."""
        if self._rows is None or self._filled.all():
            return
        missing = np.flatnonzero(~self._filled).tolist()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = map_ahead(pool, self._kept_row, missing, ahead=4 * (os.cpu_count() or 1))
            for _ in progress(decoded, len(missing), "decoding"):
                pass

    def _kept_row(self, index):
        if not self._filled[index]:  # two threads at once write the same bytes, and nobody reads them before the mark
            self._rows[index] = _read_row(self.pairs[index], self.side)
            self._filled[index] = True
        return self._rows[index]


def map_ahead(pool, function, items, ahead):
    """Yield ``function(item)`` in order while the pool works on up to ``ahead`` items.

    Unlike ``pool.map``, ``items`` may be endless, and no more than ``ahead`` results are held. Closing it cancels what
    has not begun.
    """
    pending = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _sample_bytes(side):
    return side * side * 4


def _read_row(pair, side):
    """uint8 [side x side x 4]: the bytes of the image, then those of the mask."""
    image, alpha = read_pair(pair)
    image = resize_bilinear(image, (side, side), align_corners=True)
    alpha = resize_bilinear(alpha, (side, side), align_corners=True)
    row = np.empty(_sample_bytes(side), np.uint8)
    row[:image.size] = np.rint(image).ravel()
    row[image.size:] = np.rint(alpha * 255).ravel()
    return row


def _disk_rows(pairs, side, folder):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, "samples-%s.bin" % _key(pairs, side))
    shape = (len(pairs), _sample_bytes(side))
    if not os.path.isfile(path) or os.path.getsize(path) != shape[0] * shape[1]:
        _build(path, pairs, side)
    log.info("%d samples of side %d are in %s (%s)", len(pairs), side, path,
             format_size(os.path.getsize(path), binary=True))
    return np.memmap(path, np.uint8, "r", shape=shape)


def _default_folder():
    if os.environ.get("XDG_CACHE_HOME"):
        return os.path.join(os.environ["XDG_CACHE_HOME"], "mmnet")
    folder = os.path.join(tempfile.gettempdir(), "mmnet-%d" % os.getuid())
    if os.path.lexists(folder) and os.lstat(folder).st_uid != os.getuid():  # anybody may write into the folder above
        raise PermissionError("%s belongs to somebody else: set XDG_CACHE_HOME or name a folder for the cache" % folder)
    return folder


def _key(pairs, side):
    """Names the content without reading it: another path, time or length of any file is another cache."""
    digest = hashlib.sha256(repr((FORMAT, side)).encode())
    for pair in pairs:
        for path in (pair.image, pair.mask):
            status = os.stat(path)
            digest.update(repr((os.path.abspath(path), status.st_mtime_ns, status.st_size)).encode())
    return digest.hexdigest()[:32]


def _build(path, pairs, side):
    """Write all samples under a temporary name, then rename: a file under its own name is whole.

    Runs that build the same file at once do not meet: each has its own temporary name, and the last one to finish puts
    equal bytes in the place of equal bytes.
    """
    folder, name = os.path.split(path)
    _remove_abandoned(folder)
    temporary = os.path.join(folder, ".writing-%s-%s" % (name, uuid.uuid4().hex[:8]))
    threads = os.cpu_count() or 1
    need = len(pairs) * _sample_bytes(side)
    try:
        if shutil.disk_usage(folder).free < need:
            raise OSError(errno.ENOSPC, "not enough room")
        with ThreadPoolExecutor(threads) as pool, open(temporary, "xb") as file:
            rows = map_ahead(pool, lambda pair: _read_row(pair, side), pairs, ahead=4 * threads)
            for row in progress(rows, len(pairs), "decoding"):
                file.write(row)  # not through a memory map, where a full disk is a bus error
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(error.errno, "no room for %d samples of side %d, %s: name another folder, or no cache" % (
                len(pairs), side, format_size(need, binary=True)), folder) from None
        raise


def _remove_abandoned(folder):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith(".writing-samples-"):
            try:
                if time.time() - os.path.getmtime(path) > ABANDONED_SECONDS:
                    os.unlink(path)
            except FileNotFoundError:  # another run was first
                pass
