"""The installed programs that run models. Nothing is imported to find them. No TensorFlow."""

import contextlib
import importlib.util
from typing import List

PACKAGES = {"TensorFlow": "tensorflow", "LiteRT": "ai-edge-litert", "ONNX Runtime": "onnxruntime"}
MODULES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime"}  # kind of model file -> module


def has_runtime(kind: str) -> bool:
    """Return whether a .tflite or .onnx can be run without TensorFlow."""
    return importlib.util.find_spec(MODULES[kind]) is not None


def runtime_versions() -> List[str]:
    """Return the installed runtimes, for example ``["TensorFlow 2.21.0"]``."""
    try:
        from importlib.metadata import PackageNotFoundError, version
    except ImportError:  # Python 3.7
        from pkg_resources import DistributionNotFound as PackageNotFoundError
        from pkg_resources import get_distribution

        def version(name):
            return get_distribution(name).version

    versions = []
    for name, package in PACKAGES.items():
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{name} {version(package)}")
    return versions
