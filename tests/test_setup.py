"""Tests of the packaging and of the lists of requirements."""

import ast
import glob
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from helpers import ROOT
from helpers.shell import run
from mmnet.commands.presets import list_presets

LIGHT_FOLDERS = ("io", "datasets", "datatools", "matting", "evaluation", "inference", "commands")
DISTRIBUTIONS = {  # module -> name on PyPI
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
}
BUILT = r"build/|mmnet\.egg-info/|PKG-INFO|setup\.cfg"  # files of a build
TRUSTED = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
BUILD = "import sys, setuptools.build_meta as build; build.build_{}(sys.argv[1])"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Return a copy named ``mmnet`` of the files that git tracks."""
    pytest.importorskip("setuptools", minversion="66.1")
    pytest.importorskip("wheel")
    result = run("git", "ls-files", "-z", cwd=ROOT)
    if result.returncode != 0:
        pytest.skip("not a clone")
    folder = tmp_path_factory.mktemp("parent") / "mmnet"
    for name in result.stdout.split("\0")[:-1]:
        if os.path.exists(os.path.join(ROOT, name)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.join(ROOT, name), str(folder / name))
    return folder


def build(kind, folder, target):
    """Build a wheel, editable wheel or sdist of a folder. Return its path."""
    target.mkdir()
    result = run(sys.executable, "-c", BUILD.format(kind), target, cwd=str(folder))
    assert result.returncode == 0, result.stderr
    (path,) = target.iterdir()
    return str(path)


def read_wheel(path):
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


@pytest.fixture(scope="module")
def wheel(clone, tmp_path_factory):
    """Return the files of the wheel: name -> content."""
    return read_wheel(build("wheel", clone, tmp_path_factory.mktemp("wheel") / "dist"))


def list_files(folder):
    """Return the paths of all files below a folder, except what builds leave there."""
    paths = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {path for path in paths if not re.match(BUILT, path)}


def test_sdist_is_complete_and_builds_the_same_wheel(clone, wheel, tmp_path):
    with tarfile.open(build("sdist", clone, tmp_path / "dist")) as sdist:
        sdist.extractall(str(tmp_path), **TRUSTED)
    (folder,) = tmp_path.glob("mmnet-*")
    assert list_files(folder) == list_files(clone) - {".gitignore"}
    assert read_wheel(build("wheel", folder, tmp_path / "wheel")) == wheel


def test_wheel_contains_every_file_of_the_package(clone, wheel):
    expected = {name for name in list_files(clone) if name.startswith("mmnet/")}
    expected |= {f"mmnet/configs/{name}.yaml" for name in list_presets()}
    assert {name for name in wheel if not name.startswith("mmnet-")} == expected
    assert not (clone / "mmnet" / "configs").exists()


def test_wheel_requires_the_listed_packages(wheel):
    (metadata,) = [text for name, text in wheel.items() if name.endswith("/METADATA")]
    lines = metadata.decode().replace("'", '"').splitlines()  # older versions write 'train'
    assert "License: Apache-2.0" in lines
    requirements = [line for line in lines if line.startswith("Requires-Dist: ")]
    extras = {line.split()[1] for line in lines if line.startswith("Provides-Extra")}
    listed = {name[: -len(".txt")] for name in os.listdir(os.path.join(ROOT, "requirements"))}
    assert extras == listed | {"train"}
    light = [line for line in requirements if "extra ==" not in line]
    assert len(light) == len(read_requirements("requirements-light.txt"))
    with_tensorflow = [line for line in requirements if "Requires-Dist: tensor" in line]
    assert all('extra == "train"' in line for line in with_tensorflow) and with_tensorflow


def read_requirements(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return [line.strip() for line in file if line[0] != "#"]


def test_lists_of_requirements_agree():
    only_light = ['onnxruntime==1.10.0; python_version < "3.8"']  # TensorFlow 1.15 runs .tflite
    light = read_requirements("requirements-light.txt")
    assert set(light) - set(read_requirements("requirements.txt")) == set(only_light)


def test_editable_installation_works_in_the_parent_folder(clone, tmp_path):
    site = tmp_path / "site"
    with zipfile.ZipFile(build("editable", clone, tmp_path / "wheels")) as wheel:
        wheel.extractall(str(site))
    code = f"import site; site.addsitedir({str(site)!r}); import mmnet; print(mmnet.__file__)"
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    command = [sys.executable, "-S", "-c", code]
    output = subprocess.check_output(command, cwd=str(clone.parent), env=environment)
    assert output.decode().strip() == str(clone / "mmnet" / "__init__.py")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-light.txt"])
def test_requirements_contain_every_import(name):
    listed = {re.match(r"[\w-]+", line).group().lower() for line in read_requirements(name)}
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
