"""Refuse work that needs more memory than the machine has, before it is allocated."""

import contextlib
import ctypes
import os
import resource
import threading
from typing import Iterator, Optional

from mmnet.io.errors import MmnetError

GIB = 1 << 30  # bytes
PAGES_OF_DATA = 5  # field of /proc/self/statm

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt

_limit_lock = threading.Lock()


def machine_memory() -> Optional[int]:
    """Return the memory of this machine in bytes, or None if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def check_memory(subject: str, needed_bytes: float) -> None:
    """Raise MmnetError if ``subject`` needs more memory than this machine has."""
    available = machine_memory()
    if available is not None and needed_bytes > available:
        raise MmnetError(
            f"{subject}: needs about {needed_bytes / GIB:.1f} GiB of memory, but this machine has "
            f"{available / GIB:.1f} GiB"
        )


def reuse_memory() -> None:
    """Let glibc keep up to 1 GiB of freed memory for the next arrays.

    Otherwise the system clears the memory of every large array again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have no such function
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, GIB)
        mallopt(M_TRIM_THRESHOLD, GIB)


@contextlib.contextmanager
def limit_growth(size: int) -> Iterator[None]:
    """Let the process allocate at most ``size`` more bytes in the block, if the system is Linux."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[PAGES_OF_DATA])
    except OSError:
        yield
        return
    with _limit_lock:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = size + pages * resource.getpagesize()
        limits = [value for value in (limit, soft, hard) if value != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
