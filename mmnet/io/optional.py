"""Import optional packages."""

import importlib
from typing import Any

from mmnet.io.errors import MmnetError


def import_optional(name: str, purpose: str, installation: str) -> Any:
    """Import a package. MmnetError: PURPOSE needs it, and ``pip install`` INSTALLATION adds it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"{purpose} needs {name} ({error}): pip install {installation}"
        raise MmnetError(message) from None
