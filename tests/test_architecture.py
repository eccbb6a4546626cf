"""The rooms of the house: who may import whom, and no setting that nothing reads."""
import ast
import dataclasses
import glob
import os
import subprocess
import sys

import pytest

from conftest import ROOT
from mmnet import config

FILES = sorted(glob.glob(os.path.join(ROOT, "mmnet", "**", "*.py"), recursive=True))
LEVELS = {"": 0, "data": 1, "networks": 1, "training": 2, "scoring": 2, "delivery": 3, "cli": 4, "__main__": 4}


def room_of(module):
    """``mmnet.data.pairs`` -> ``data``; ``mmnet.cli`` -> ``cli``; the foundations -> ````."""
    part = (module.split(".") + [""])[1]
    return part if part in LEVELS else ""


def imports_of(path):
    """Every module that a file imports; ``from mmnet import config`` counts as ``mmnet.config``."""
    with open(path) as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            for name in node.names:
                yield node.module + "." + name.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: os.path.relpath(path, ROOT))
def test_imports(path):
    relative = os.path.relpath(path, ROOT)
    module = relative[:-len(".py")].replace(os.sep, ".")
    imports = set(imports_of(path))
    assert relative == os.path.join("mmnet", "compat.py") or not any(
        name.split(".")[0] in ("tensorflow", "tf_slim", "keras") for name in imports), "TensorFlow comes through compat.py"
    for name in imports:
        if name.split(".")[0] == "mmnet":
            assert LEVELS[room_of(name)] <= LEVELS[room_of(module)], "%s imports %s" % (module, name)
    if room_of(module) in ("data", "scoring"):
        assert "mmnet.compat" not in imports and "mmnet.checkpoint" not in imports, "data and scoring need no TensorFlow"


def test_data_and_scoring_load_without_tensorflow():
    modules = [os.path.relpath(path, ROOT)[:-3].replace(os.sep, ".") for path in FILES
               if os.path.basename(os.path.dirname(path)) in ("data", "scoring") and not path.endswith("__init__.py")]
    assert len(modules) >= 6
    load_without(["tensorflow"], modules)


def test_offline_scoring_needs_numpy_and_opencv_only():
    load_without(["tensorflow", "humanfriendly", "overload", "yaml"], [
        "mmnet." + name for name in ("data.images", "data.pairs", "scoring.metrics", "scoring.evaluate",
                                     "scoring.report", "files", "progress")])


def load_without(blocked, modules):
    code = "import sys; sys.modules.update(dict.fromkeys(%r)); import %s" % (blocked, ", ".join(modules))
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_setting_is_read():
    read = set()
    for path in FILES:
        with open(path) as file:
            read |= {node.attr for node in ast.walk(ast.parse(file.read())) if isinstance(node, ast.Attribute)
                     and isinstance(node.value, ast.Name) and node.value.id == "settings"}
    for verb in config.VERBS.values():
        for field in dataclasses.fields(verb):
            assert field.name in read, "%s.%s is never read" % (verb.__name__, field.name)


def test_npu_bridge_is_named_only_in_backend():
    named = set()
    for path in FILES:
        with open(path) as file:
            named |= {os.path.relpath(path, ROOT)} if "npu_bridge" in file.read() else set()
    assert named == {os.path.join("mmnet", "backend.py")}
