"""The installed programs that run models. Nothing is imported to find them. No TensorFlow."""

import importlib
import importlib.util
import sys
from typing import List

PACKAGES = {"TensorFlow": "tensorflow", "LiteRT": "ai-edge-litert", "ONNX Runtime": "onnxruntime"}
MODULES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime"}  # kind of model file -> module


def has_runtime(kind: str) -> bool:
    """Return whether a .tflite or .onnx can be run without TensorFlow."""
    return importlib.util.find_spec(MODULES[kind]) is not None


def runtime_versions() -> List[str]:
    """Return the installed runtimes, for example ``["TensorFlow 2.21.0"]``."""
    # Both modules import slowly, and only benchmark needs them.
    if sys.version_info < (3, 8):
        packages = importlib.import_module("pkg_resources").working_set
        versions = {package.key: package.version for package in packages}
    else:
        packages = importlib.import_module("importlib.metadata").distributions()
        versions = {package.name: package.version for package in packages}
    return [f"{name} {versions[key]}" for name, key in PACKAGES.items() if key in versions]
