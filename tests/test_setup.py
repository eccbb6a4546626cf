"""Tests of setup.py and of the lists of requirements."""

import ast
import glob
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from helpers import ROOT
from helpers.shell import run

FILES = ("setup.py", "pyproject.toml", "README.md", "requirements.txt")
LIGHT_FOLDERS = ("io", "datasets", "datatools", "matting", "evaluation", "inference", "commands")
DISTRIBUTIONS = {  # module -> name on PyPI
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
}


@pytest.fixture
def clone(tmp_path):
    """Return a clone named ``mmnet`` that contains what setup.py reads."""
    pytest.importorskip("setuptools")
    folder = tmp_path / "parent" / "mmnet"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("mmnet/commands", "configs"):
        shutil.copytree(os.path.join(ROOT, name), str(folder / name), ignore=ignored)
    for name in FILES + ("mmnet/__init__.py",):
        shutil.copy(os.path.join(ROOT, name), str(folder / name))
    return folder


def test_wheel_contains_the_presets(clone, tmp_path):
    build = ["setup.py", "-q", "build_py", "--build-lib", tmp_path / "site"]
    result = run(sys.executable, *build, cwd=str(clone))
    assert result.returncode == 0, result.stderr
    presets = os.listdir(os.path.join(ROOT, "configs"))
    assert sorted(os.listdir(str(tmp_path / "site/mmnet/configs"))) == sorted(presets)
    assert not (clone / "mmnet" / "configs").exists()


def test_editable_installation_works_in_the_parent_folder(clone, tmp_path):
    pytest.importorskip("setuptools.command.editable_wheel", reason="needs setuptools 64")
    build = "import sys, setuptools.build_meta as build; build.build_editable(sys.argv[1])"
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    result = run(sys.executable, "-c", build, wheels, cwd=str(clone))
    assert result.returncode == 0, result.stderr
    zipfile.ZipFile(str(next(wheels.glob("*.whl")))).extractall(str(site))
    code = f"import site; site.addsitedir({str(site)!r}); import mmnet; print(mmnet.__file__)"
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    command = [sys.executable, "-S", "-c", code]
    output = subprocess.check_output(command, cwd=str(clone.parent), env=environment)
    assert output.decode().strip() == str(clone / "mmnet" / "__init__.py")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-light.txt"])
def test_requirements_contain_every_import(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        listed = {re.match(r"[\w-]+", line).group().lower() for line in file if line[0] != "#"}
    modules = set()
    for folder in ("",) + LIGHT_FOLDERS:
        for path in glob.glob(os.path.join(ROOT, "mmnet", folder, "*.py")):
            with open(path, encoding="utf-8") as file:
                modules |= set(find_top_imports(ast.parse(file.read())))
    needed = {DISTRIBUTIONS.get(module, module) for module in modules - standard_modules()}
    assert {"numpy", "deprecation", "opencv-python-headless"} <= needed
    assert not needed - listed - {"mmnet"}


def find_top_imports(tree):
    """Yield the packages that a module imports when it is imported itself."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def standard_modules():
    """Return the names of Python's own modules."""
    folder = os.path.dirname(os.__file__)
    names = os.listdir(folder) + os.listdir(os.path.join(folder, "lib-dynload"))
    return set(sys.builtin_module_names) | {name.split(".")[0] for name in names}
