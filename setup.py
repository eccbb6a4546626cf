"""Package metadata. ``pip install .`` installs the command ``mmnet``."""

import glob
import os
import re
import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = os.path.dirname(os.path.abspath(__file__))


def read(*path):
    with open(os.path.join(HERE, *path), encoding="utf-8") as file:
        return file.read()


def requirements():
    lines = read("requirements.txt").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def description():
    """Return the README without images, because their paths are relative to the repository."""
    lines = read("README.md").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("!["))


class BuildWithPresets(build_py):
    """Copy the presets of configs/ into the wheel as mmnet/configs. A clone reads configs/."""

    editable_mode = False  # set by newer versions of setuptools

    def run(self):
        super().run()
        if not self.editable_mode:
            folder = os.path.join(self.build_lib, "mmnet", "configs")
            os.makedirs(folder, exist_ok=True)
            for path in glob.glob(os.path.join(HERE, "configs", "*.yaml")):
                shutil.copy(path, folder)


setup(
    name="mmnet",
    version=re.search(r'__version__ = "(.+)"', read("mmnet", "__init__.py")).group(1),
    description="Real-time portrait matting on small devices: MMNet (arXiv 1904.03816) for "
    "TensorFlow 1.15 and 2.x",
    long_description=description(),
    long_description_content_type="text/markdown",
    author="The mmnet authors",
    url="https://arxiv.org/abs/1904.03816",
    license="Apache-2.0",
    classifiers=[
        "Programming Language :: Python :: 3.7",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
    packages=find_packages(include=["mmnet", "mmnet.*"]),
    # With this line an editable installation adds the clone to sys.path. Otherwise it adds an
    # import hook, and a folder named mmnet in the current folder hides the package.
    package_dir={"": "."},
    cmdclass={"build_py": BuildWithPresets},
    package_data={
        "mmnet": ["py.typed"],
        "mmnet.datatools": ["report.html"],
        "mmnet.demo": ["page.html"],
        "mmnet.export": ["web/*"],
        "mmnet.evaluation": ["report.html"],
        "mmnet.weights": ["registry.json", "persons/*", "fast/*", "video/*"],
    },
    # No supported TensorFlow exists for Python 3.8 and 3.9.
    python_requires=">=3.7,!=3.8.*,!=3.9.*,<3.14",
    # opencv-python-headless is the module cv2 of opencv-python without windows. It needs no libGL,
    # which servers and slim images lack.
    install_requires=requirements(),
    extras_require={
        "dev": [
            "pytest>=7",
            "pytest-xdist>=3",
            "hypothesis>=6,<7",
            "matplotlib>=3.5,<4",  # figures
            "pillow-heif>=0.10",  # tests of the extra "heif"
            'av>=17,<20; python_version >= "3.10"',  # tests of the extra "video"
            "aiohttp>=3.8,<4",  # tests of the extra "demo"
            'playwright>=1.40; python_version >= "3.10"',  # browser tests
            'mypy==1.18.2; python_version >= "3.10"',
            'types-PyYAML; python_version >= "3.10"',
            'ruff==0.17.6; python_version >= "3.10"',
            'mkdocs>=1.6,<2; python_version >= "3.10"',  # tests of the extra "docs"
        ],
        "docs": ['mkdocs>=1.6,<2; python_version >= "3.10"'],  # mkdocs build --strict
        "demo": ["aiohttp>=3.8,<4"],  # mmnet demo
        "heif": ["pillow-heif>=0.10"],  # photos in HEIC and AVIF
        # Built during installation (cmake, g++) for the installed TensorFlow: 1.15 or 2.15.
        "horovod": ['horovod==0.28.1; python_version < "3.12"'],
        "video": ['av>=17,<20; python_version >= "3.10"'],  # clips; PyAV has no wheel for 3.7
        "export": [
            'tf2onnx==1.16.1; python_version < "3.8"',
            'onnx==1.14.1; python_version < "3.8"',
            'onnxruntime==1.10.0; python_version < "3.8"',
            'packaging; python_version < "3.8"',
            'tf2onnx>=1.17,<2; python_version >= "3.10"',
            'onnxruntime>=1.20,<2; python_version >= "3.10"',
        ],
    },
    entry_points={"console_scripts": ["mmnet = mmnet.cli:main"]},
)
