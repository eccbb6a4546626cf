"""Very many photos: which of them a process takes, and tar files that hold their results."""

import contextlib
import io
import os
import re
import sys
import tarfile
import threading
import zlib
from typing import NamedTuple

from mmnet.io.files import atomic_write


class Shard(NamedTuple):
    """One of ``count`` parts of a list of photos."""

    index: int
    count: int

    def holds(self, name):
        """Whether a photo is in this part; its name alone decides, whatever else is listed."""
        return zlib.crc32(name.encode("utf-8", "surrogateescape")) % self.count == self.index

    def __str__(self):
        return "%dof%d" % (self.index, self.count)


class TarShardWriter:
    """Tar files of results, ``results-<shard>-<number>.tar``, each of so many photos; a context.

    A file has its name once it is whole, so what is there is complete, and readers may take it.

    Attributes:
        done: stems of the photos whose results are there already.
    """

    def __init__(self, folder, shard, photos_each):
        self._folder, self._each = folder, photos_each
        self._prefix = "results-%s-" % str(shard)
        self._lock, self._tar, self._photos = threading.Lock(), None, 0
        os.makedirs(folder, exist_ok=True)
        own = re.compile(re.escape(self._prefix) + r"(\d+)\.tar")
        found = sorted(filter(own.fullmatch, os.listdir(folder)))
        self._number = 1 + max((int(own.fullmatch(name).group(1)) for name in found), default=-1)
        self.done = set()
        for name in found:
            with tarfile.open(os.path.join(folder, name)) as tar:
                self.done.update(member.pax_headers["comment"] for member in tar)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._lock:
            self._finish()

    def add(self, stem, files):
        """Add the results of a photo (name -> bytes); name -> where it is: ``x.tar:name``."""
        with self._lock:
            if self._tar is None:
                self._begin()
            try:
                for name, data in files.items():
                    member = tarfile.TarInfo(name)
                    member.size, member.pax_headers = len(data), {"comment": stem}
                    self._tar.addfile(member, io.BytesIO(data))
            except BaseException:  # a part of a photo's results is in it: it gets no name
                self._tar = None
                self._file.__exit__(*sys.exc_info())
                raise
            added = {name: "%s:%s" % (self._path(), name) for name in files}
            self._photos += 1
            if self._photos == self._each:
                self._finish()
            return added

    def _path(self):
        return os.path.join(self._folder, "%s%06d.tar" % (self._prefix, self._number))

    def _begin(self):
        self._file = contextlib.ExitStack()
        temporary = self._file.enter_context(atomic_write(self._path()))
        self._tar = tarfile.TarFile(temporary, "w", format=tarfile.PAX_FORMAT)
        self._file.callback(self._tar.fileobj.close)
        self._photos = 0

    def _finish(self):
        """Give the file under construction its name."""
        if self._tar is None:
            return
        with self._file:
            tar, self._tar = self._tar, None
            tar.close()
        self._number += 1
