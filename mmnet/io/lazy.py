"""Import modules when they are first used, so that commands start quickly. No TensorFlow."""

import importlib
from typing import Any


class LazyModule:
    """Stands for a module, and imports it when an attribute is first read."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)  # the next access is direct
        return value


def lazy_import(name: str) -> Any:
    """Return a module that is imported when it is first used. Most commands do not need it."""
    return LazyModule(name)
