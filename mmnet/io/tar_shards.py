"""Split long lists of photos into shards, and store results in tar files. No TensorFlow."""

import contextlib
import dataclasses
import io
import os
import re
import threading
import zlib
from typing import Any, Dict, Set

from mmnet.io.errors import MmnetError
from mmnet.io.files import atomic_write, open_regular
from mmnet.io.lazy import lazy_import

tarfile = lazy_import("tarfile")


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a list of photos."""

    index: int
    count: int

    def contains(self, name: str) -> bool:
        """Return whether a photo belongs to this shard."""
        return shard_index(name, self.count) == self.index

    def __str__(self):
        return f"{self.index}of{self.count}"


def shard_index(name: str, count: int) -> int:
    """Return the index of the shard of a photo. It depends on the photo's name only."""
    return zlib.crc32(name.encode("utf-8", "surrogateescape")) % count


class TarShardWriter:
    """Writes results to ``results-<shard>-<number>.tar``. It is a context manager and thread-safe.

    A tar file gets its name when it is complete, so other programs may read it at once. The
    attribute ``finished_stems`` holds the stems of the photos in the tar files of earlier runs.
    """

    def __init__(self, folder: str, shard: Shard, photos_per_file: int):
        """Create the folder. Raise MmnetError if it contains damaged or foreign tar files."""
        self._folder, self._photos_per_file = folder, photos_per_file
        self._prefix = f"results-{shard}-"
        self._lock = threading.Lock()
        self._tar: Any = None
        self._next_number = 0
        self.finished_stems: Set[str] = set()
        os.makedirs(folder, exist_ok=True)
        pattern = re.compile(re.escape(self._prefix) + "([0-9]{6,})[.]tar")
        for match in filter(None, map(pattern.fullmatch, sorted(os.listdir(folder)))):
            self.finished_stems.update(read_stems(os.path.join(folder, match.group())))
            self._next_number = max(self._next_number, int(match.group(1)) + 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._lock:
            if self._tar is not None:
                self._finish_file()

    def add(self, stem: str, files: Dict[str, bytes]) -> Dict[str, str]:
        """Add the results of one photo (file name -> contents) to a tar file.

        Returns:
            File name -> its place, for example ``results-0of1-000000.tar:a.png``.
        """
        with self._lock:
            tar = self._tar or self._start_file()
            try:
                for name, data in files.items():
                    member = tarfile.TarInfo(name)
                    member.size, member.pax_headers = len(data), {"comment": stem}
                    tar.addfile(member, io.BytesIO(data))
            except BaseException:
                self._tar = None
                with self._cleanup:  # deletes the tar file, which contains only a part of the photo
                    raise
            self._photos += 1
            if self._photos == self._photos_per_file:
                self._finish_file()
            return {name: f"{self._path}:{name}" for name in files}

    def _start_file(self):
        self._path = os.path.join(self._folder, f"{self._prefix}{self._next_number:06d}.tar")
        self._photos = 0
        self._cleanup = contextlib.ExitStack()
        temporary = self._cleanup.enter_context(atomic_write(self._path))
        tar = tarfile.TarFile(temporary, "w", format=tarfile.PAX_FORMAT)
        self._tar = self._cleanup.enter_context(tar)
        return self._tar

    def _finish_file(self):
        self._tar = None
        self._cleanup.close()
        self._next_number += 1


def read_stems(path: str) -> Set[str]:
    """Return the stems of the photos in a tar file of TarShardWriter.

    Raises:
        MmnetError: the file is truncated, damaged, of another program, or not a regular file.
    """
    problem = "was not written by mmnet"
    with open_regular(path) as file:
        try:
            stems = set()
            with tarfile.TarFile(fileobj=file) as tar:
                for member in tar:
                    stem = member.pax_headers["comment"]
                    if not (stem and member.isreg() and member.name.startswith(stem)):
                        raise ValueError(member.name)
                    stems.add(stem)
                # tarfile ignores everything after a damaged header.
                file.seek(tar.offset)
                end = file.read(2 * tarfile.RECORDSIZE)
            is_complete = len(end) >= 2 * tarfile.BLOCKSIZE and not any(end)
            if is_complete and stems and file.tell() % tarfile.RECORDSIZE == 0:
                return stems
            problem = "is truncated or damaged"
        except Exception:  # damaged headers raise errors of many types in tarfile
            pass
    raise MmnetError(f"{path}: {problem}; move it away, or use another output folder")
