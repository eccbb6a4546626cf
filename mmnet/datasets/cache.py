"""Samples: pairs decoded once, resized to one square side and kept as uint8. No TensorFlow.

Decoding a portrait of 800 x 600 and resizing it takes some twenty-five times as long as augmenting
it, so every picture is decoded once a run (kept in memory), once and for all (kept on disk), or
each time it is asked for. The pass that decodes them for the first time also checks them.
"""

import errno
import hashlib
import logging
import math
import os
import shutil
import tempfile
import uuid

import cv2
import numpy as np
from humanfriendly import format_size

from mmnet.datasets.pairs import Check, list_pictures, read_pair
from mmnet.io.errors import MmnetError
from mmnet.io.files import remove_abandoned
from mmnet.io.images import read_image
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear

CACHES = ("none", "memory", "disk")
BUDGET = 2 << 30  # bytes of memory
FORMAT = 2  # goes into the cache's key: raise it when the bytes of a sample change

log = logging.getLogger(__name__)


def open_samples(data_set, shape, cache="memory", budget=BUDGET, folder=None):
    """Give the pairs of a dataset as samples of one shape, checked, corners aligned.

    Every pair is decoded once here, unless a cache on disk already holds them: of these very files
    (path, time, length) in this shape.

    Args:
        shape: (height, width). cache: "none" decodes again each time; "memory" keeps all, or goes
            over to disk where they need more than ``budget`` bytes; "disk" keeps all in one
            memory-mapped file, which stays until it is deleted.
        folder: of the file on disk; None is $XDG_CACHE_HOME/mmnet, or mmnet-<user id> in the
            system's temporary folder.

    Returns:
        Samples.

    Raises:
        ValueError: no pairs, another cache; or pairs that cannot be used, all of them in one
            message. OSError: no room on disk, or the folder is not writable.
    """
    if not data_set.pairs and not data_set.problems:
        raise MmnetError("no pairs to take samples from")
    if cache not in CACHES:
        raise MmnetError("cache is one of %s, not %r" % (", ".join(CACHES), cache))
    need = len(data_set) * _sample_bytes(shape)
    if cache == "memory" and need > budget:
        log.info(
            "%d samples of %dx%d need %s, over the budget of %s in memory: they go to disk",
            len(data_set),
            shape[0],
            shape[1],
            format_size(need, binary=True),
            format_size(budget, binary=True),
        )
        cache = "disk"
    if cache == "disk":
        return Samples(data_set, shape, _disk_rows(data_set, shape, folder or _default_folder()))
    if cache == "memory":
        rows = np.empty((len(data_set), _sample_bytes(shape)), np.uint8)
        for index, row in enumerate(_checked_rows(data_set, shape, "decoding")):
            rows[index] = row
        return Samples(data_set, shape, rows)
    for _ in _checked_rows(data_set, shape, "checking"):
        pass
    return Samples(data_set, shape)


class Samples:
    """``samples[i]`` is (image uint8 [H,W,3], mask uint8 [H,W]), read-only; from any thread."""

    def __init__(self, data_set, shape, rows=None):
        """rows: uint8 [pairs, H x W x 4], image then mask, or None for no cache."""
        self.data_set, self.shape = data_set, tuple(shape)
        self._rows = rows

    def __len__(self):
        return len(self.data_set)

    def __getitem__(self, index):
        if self._rows is None:
            row = _row(*read_pair(self.data_set.pairs[index]), self.shape)
        else:
            row = self._rows[index]
        row.flags.writeable = False
        area = self.shape[0] * self.shape[1]
        return row[: 3 * area].reshape(self.shape + (3,)), row[3 * area :].reshape(self.shape)


def read_backgrounds(folder, shape):
    """Every picture of a folder, for augment to put persons before: list of uint8 [h,w,3].

    Those that are larger than ``shape`` (height, width) are made so small that they just cover it.

    Raises:
        ValueError: no picture in the folder, or one that cannot be read.
    """
    names = list_pictures(folder)
    if not names:
        raise MmnetError("no pictures (jpg, jpeg, png, webp) in %s" % folder)

    def read(name):
        image = read_image(os.path.join(folder, name))
        scale = max(side / own for side, own in zip(shape, image.shape))
        if scale >= 1:
            return image
        size = [math.ceil(own * scale) for own in image.shape[1::-1]]
        return cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA)

    return list(progress(parallel_map(read, names), len(names), "reading backgrounds"))


def _checked_rows(data_set, shape, what):
    """Yield the row of every pair while they are checked, with all processors.

    Of a pair that cannot be used it is zeros, and the end raises ValueError with all of those.
    """
    check = Check(data_set)
    nothing = np.zeros(_sample_bytes(shape), np.uint8)

    def row_of(pair):
        pictures = check.read(pair)
        return nothing if pictures is None or check.failed else _row(*pictures, shape)

    yield from progress(parallel_map(row_of, data_set.pairs), len(data_set.pairs), what)
    check.finish()


def _sample_bytes(shape):
    return shape[0] * shape[1] * 4


def _row(image, alpha, shape):
    """uint8 [H x W x 4]: the bytes of the image, then those of the mask."""
    image = resize_bilinear(image, shape, align_corners=True)
    alpha = resize_bilinear(alpha, shape, align_corners=True)
    row = np.empty(_sample_bytes(shape), np.uint8)
    row[: image.size] = np.rint(image).ravel()
    row[image.size :] = np.rint(alpha * 255).ravel()
    return row


def _disk_rows(data_set, shape, folder):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, "samples-%s.bin" % _key(data_set, shape))
    rows = (len(data_set), _sample_bytes(shape))
    if not os.path.isfile(path) or os.path.getsize(path) != rows[0] * rows[1]:
        _build(path, data_set, shape)
    log.info(
        "%d samples of %dx%d are in %s (%s)",
        len(data_set),
        shape[0],
        shape[1],
        path,
        format_size(os.path.getsize(path), binary=True),
    )
    return np.memmap(path, np.uint8, "r", shape=rows)


def _default_folder():
    if os.environ.get("XDG_CACHE_HOME"):
        return os.path.join(os.environ["XDG_CACHE_HOME"], "mmnet")
    folder = os.path.join(tempfile.gettempdir(), "mmnet-%d" % os.getuid())
    # Anybody may write into the folder above.
    if os.path.lexists(folder) and os.lstat(folder).st_uid != os.getuid():
        raise PermissionError(
            "%s belongs to somebody else: set XDG_CACHE_HOME or name a folder for the cache"
            % folder
        )
    return folder


def _key(data_set, shape):
    """Names the content unread: another path, time or length of any file is another cache."""
    digest = hashlib.sha256(repr((FORMAT, tuple(shape), sorted(data_set.problems))).encode())
    for pair in data_set.pairs:
        for path in pair.files:
            status = os.stat(path)
            entry = (os.path.abspath(path), status.st_mtime_ns, status.st_size)
            digest.update(repr(entry).encode())
    return digest.hexdigest()[:32]


def _build(path, data_set, shape):
    """Write all samples under a temporary name, then rename: a file under its own name is whole.

    Runs that build the same file at once do not meet: each has its own temporary name, and the last
    one to finish puts equal bytes in the place of equal bytes.
    """
    folder, name = os.path.split(path)
    remove_abandoned(folder)
    temporary = os.path.join(folder, ".writing-%s-%s" % (name, uuid.uuid4().hex[:8]))
    need = len(data_set) * _sample_bytes(shape)
    try:
        if shutil.disk_usage(folder).free < need:
            raise OSError(errno.ENOSPC, "not enough room")
        with open(temporary, "xb") as file:
            for row in _checked_rows(data_set, shape, "decoding"):
                file.write(row)  # not through a memory map, where a full disk is a bus error
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if isinstance(error, OSError) and error.errno in full:
            raise OSError(
                error.errno,
                "no room for %d samples of %dx%d, %s: name another folder, or no cache"
                % (len(data_set), shape[0], shape[1], format_size(need, binary=True)),
                folder,
            ) from None
        raise
