"""What every Python that a test starts does first: its network "mmnet" is the brief one too.

conftest.py puts this folder on PYTHONPATH.
"""

import importlib.abc
import importlib.util
import os
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Finder(importlib.abc.MetaPathFinder):
    """Makes the network brief as soon as it has been imported."""

    def find_spec(self, name, path, target=None):
        if name != "mmnet.networks.mmnet":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_shorten(module):
            load(module)
            sys.path.append(TESTS)
            import brief

            brief.use(brief.BRIEF)

        spec.loader.exec_module = load_and_shorten
        return spec


sys.meta_path.insert(0, Finder())
