"""Samples: pairs that are decoded, resized to one shape and kept as uint8. No TensorFlow.

Decoding a photo takes much longer than augmenting it. The cache decodes each image once per run (in
memory), once for all runs (on disk), or each time (no cache). The first pass validates all pairs.
"""

import errno
import hashlib
import logging
import os
import shutil
import tempfile
from typing import Iterator, Optional, Tuple

import numpy as np
from humanfriendly import format_size

from mmnet.datasets.pairs import Dataset, DatasetValidator, read_pair
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import atomic_write, remove_abandoned
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear

CACHES = ("none", "memory", "disk")
FORMAT = 3  # part of the cache key; increase it if the bytes of a sample change
BYTES_PER_PIXEL = 4  # RGB and mask
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

log = logging.getLogger(__name__)


class Samples:
    """``samples[i]`` is (image uint8 [H,W,3], mask uint8 [H,W]), read-only. Thread-safe."""

    def __init__(self, dataset: Dataset, shape: Tuple[int, int], rows: Optional[np.ndarray] = None):
        """Keep decoded ``rows`` (uint8 [pairs, bytes of a sample]), or decode each time."""
        self.dataset, self.shape = dataset, tuple(shape)
        self._rows = rows

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tuple[np.ndarray, np.ndarray]:
        if self._rows is None:
            row = _make_row(*read_pair(self.dataset.pairs[index]), self.shape)
        else:
            row = self._rows[index]
        row.flags.writeable = False
        image, mask = np.split(row, [3 * self.shape[0] * self.shape[1]])
        return image.reshape(*self.shape, 3), mask.reshape(self.shape)


def open_samples(
    dataset: Dataset,
    shape: Tuple[int, int],
    cache: str = "memory",
    *,
    budget: Optional[int] = None,
    folder: Optional[str] = None,
) -> Samples:
    """Open the pairs of a dataset as samples, resized with aligned corners, and validate them.

    It decodes every pair once, unless a disk cache of these files (paths, times and sizes) and this
    shape exists.

    Args:
        cache: "none" decodes each time. "memory" keeps all samples, or switches to "disk" if they
            exceed the budget. "disk" keeps them in a memory-mapped file until a user deletes it.
        budget: bytes of memory. None sets no limit.
        folder: of the disk cache. None uses $XDG_CACHE_HOME/mmnet, or mmnet-<user id> in the
            system's temporary folder.

    Raises:
        MmnetError: no pairs, or unusable pairs (one message lists all of them).
        OSError: the disk is full, or the folder is not writable.
    """
    if not dataset.pairs and not dataset.problems:
        raise MmnetError(f"{os.path.join(dataset.path, dataset.split)}: contains no pairs")
    if cache not in CACHES:
        raise MmnetError(f"must be one of {', '.join(CACHES)}, not {cache!r}", "cache")
    rows_shape = len(dataset), _sample_bytes(shape)
    size = rows_shape[0] * rows_shape[1]
    description = (
        f"{len(dataset)} samples of {format_shape(shape)} ({format_size(size, binary=True)})"
    )
    if cache == "memory" and budget is not None and size > budget:
        limit = format_size(budget, binary=True)
        log.info("%s exceed the memory budget of %s: cached on disk", description, limit)
        cache = "disk"
    if cache == "disk":
        folder = folder or _default_folder()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, f"samples-{_cache_key(dataset, shape)}.bin")
        if not os.path.isfile(path) or os.path.getsize(path) != size:
            _build_file(path, dataset, shape, description)
        log.info("disk cache: %s in %s", description, path)
        return Samples(dataset, shape, np.memmap(path, np.uint8, "r", shape=rows_shape))
    rows = np.empty(rows_shape, np.uint8) if cache == "memory" else None
    for index, row in enumerate(_read_rows(dataset, shape)):
        if rows is not None:
            rows[index] = row
    return Samples(dataset, shape, rows)


def _read_rows(dataset, shape) -> Iterator[np.ndarray]:
    """Yield the row of every pair. After the last pair a MmnetError lists unusable pairs."""
    validator = DatasetValidator(dataset)
    zeros = np.zeros(_sample_bytes(shape), np.uint8)  # instead of an unusable pair

    def read_row(pair):
        sample = validator.read(pair)
        return zeros if sample is None or validator.failed else _make_row(*sample, shape)

    yield from progress(parallel_map(read_row, dataset.pairs), len(dataset), "decoding")
    validator.finish()


def _make_row(image, alpha, shape):
    """Return uint8 [H * W * BYTES_PER_PIXEL]: all bytes of the resized image, then of the mask."""
    image = resize_bilinear(image, shape, align_corners=True)
    alpha = resize_bilinear(alpha, shape, align_corners=True)
    row = np.empty(_sample_bytes(shape), np.uint8)
    row[: image.size] = np.rint(image).ravel()
    row[image.size :] = np.rint(alpha * 255).ravel()
    return row


def _sample_bytes(shape):
    return shape[0] * shape[1] * BYTES_PER_PIXEL


def _default_folder():
    if os.environ.get("XDG_CACHE_HOME"):
        return os.path.join(os.environ["XDG_CACHE_HOME"], "mmnet")
    folder = os.path.join(tempfile.gettempdir(), f"mmnet-{os.getuid()}")
    # Every user may write into the temporary folder.
    if os.path.lexists(folder) and os.lstat(folder).st_uid != os.getuid():
        message = f"{folder}: belongs to another user; set XDG_CACHE_HOME to another folder"
        raise PermissionError(message)
    return folder


def _cache_key(dataset, shape):
    """Return a name that changes with the path, time or size of any file, and with the shape."""
    digest = hashlib.sha256(repr((FORMAT, tuple(shape), sorted(dataset.problems))).encode())
    for pair in dataset.pairs:
        for path in pair.files:
            status = os.stat(path)
            entry = (os.path.abspath(path), status.st_mtime_ns, status.st_size)
            digest.update(repr(entry).encode())
    return digest.hexdigest()[:32]


def _build_file(path, dataset, shape, description):
    """Write all samples to a complete file. Several processes may write the same file."""
    folder = os.path.dirname(path)
    remove_abandoned(folder)
    try:
        if shutil.disk_usage(folder).free < len(dataset) * _sample_bytes(shape):
            raise OSError(errno.ENOSPC, "not enough space")
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            for row in _read_rows(dataset, shape):
                file.write(row)  # a full disk would be a bus error in a memory map
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in DISK_FULL:
            message = f"no space for {description}; use another folder or no cache"
            raise OSError(error.errno, message, folder) from None
        raise
