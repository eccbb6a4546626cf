"""``pip install .`` gives the ``mmnet`` command; extras: dev (tests, figures), export (ONNX)."""
import os
import re

from setuptools import find_packages, setup

HERE = os.path.dirname(os.path.abspath(__file__))


def read(*path):
    with open(os.path.join(HERE, *path), encoding="utf-8") as file:
        return file.read()


setup(
    name="mmnet",
    version=re.search(r'__version__ = "(.+)"', read("mmnet", "__init__.py")).group(1),
    description="Real-time portrait matting on small devices: MMNet (arXiv 1904.03816) for TensorFlow 1.15 and 2.x",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["mmnet", "mmnet.*"]),
    python_requires=">=3.7,!=3.8.*,!=3.9.*,<3.14",  # no TensorFlow that we run on exists for 3.8 and 3.9
    # requirements.txt asks for opencv-python-headless: `import cv2` then works on a bare machine, where the package
    # opencv-python (the same module with windows) fails for want of libGL. Where cv2 is there already, either serves.
    install_requires=[line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")],
    extras_require={
        "dev": ["pytest>=7", "matplotlib>=3.5,<4"],  # and the figures
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
