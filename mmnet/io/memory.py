"""Refuse work that needs more memory than the machine has, before it is allocated."""

import os
from typing import Optional

from humanfriendly import format_size

from mmnet.io.errors import MmnetError


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
        needed = format_size(int(needed_bytes), binary=True)
        raise MmnetError(
            f"{subject}: needs about {needed} of memory, but this machine has "
            f"{format_size(available, binary=True)}"
        )
