"""Import TensorFlow as ``tf``: the graph-mode API of version 1, from TensorFlow 1.15 or 2.x.

This is the only module that imports TensorFlow or depends on its version. TensorFlow is imported
when ``tf`` is first used, so modules that import this one also run without TensorFlow.
"""

import contextlib
import ctypes
import logging
import os
import sys
import sysconfig
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Iterator

from mmnet.io.errors import MmnetError
from mmnet.io.optional import install_command

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # environment variable that TensorFlow's C++ code reads
os.environ.setdefault(LOG_LEVEL, "3")


@contextlib.contextmanager
def _discard_stream(descriptor):
    """Discard the output of C++ code to file descriptor 1 or 2, unless the LOG_LEVEL is 0."""
    if os.environ[LOG_LEVEL] == "0":
        yield
        return
    stream = os.dup(descriptor)
    null_device = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null_device, descriptor)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # also discards the buffers of C
        os.dup2(stream, descriptor)
        os.close(stream)
        os.close(null_device)


@lru_cache(maxsize=None)
def _import_tensorflow():
    with warnings.catch_warnings(), _discard_stream(2):
        warnings.simplefilter("ignore")  # TF 1.15 warns about the future of numpy
        try:
            import tensorflow.compat.v1 as module
        except ImportError as error:
            raise MmnetError(
                f"this needs TensorFlow ({error}): {install_command('train')}; "
                "without TensorFlow, predict, evaluate and benchmark run .tflite and .onnx files"
            ) from None
        # Set before disable_v2_behavior, which logs a warning about itself.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        module.disable_v2_behavior()
    return module


class _LazyModule:
    """Imports TensorFlow when an attribute is first read."""

    def __getattr__(self, name):
        return getattr(_import_tensorflow(), name)


if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf
else:
    tf = _LazyModule()


@contextlib.contextmanager
def quiet_converters() -> Iterator[None]:
    """Silence TensorFlow Lite and tf2onnx, and add the environment's scripts to PATH.

    The TFLite converter of TF 1.15 runs the script toco_from_protos without a path.
    """
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + path
    for name in ("tf2onnx", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.stdout.flush()
    try:
        with warnings.catch_warnings(), _discard_stream(2), _discard_stream(1):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ["PATH"] = path


def _is_version_2():
    return not tf.__version__.startswith("1.")


def converts_fake_quantization() -> bool:
    """Return whether the TFLite converter turns fake quantization into int8 (not in TF 1.15)."""
    return _is_version_2()


def converts_shared_weights() -> bool:
    """Return whether the TFLite converter keeps weights that two operations share (not in 1.15)."""
    return _is_version_2()


def tflite_supports_threads() -> bool:
    """Return whether TensorFlow's TFLite uses more than one thread (not in TF 1.15)."""
    return _is_version_2()


def reason_of(error: BaseException) -> str:
    """Return the line of TensorFlow's message that states the reason, without tracebacks."""
    lines = str(error).partition("\n\t [[")[0].splitlines()
    return lines[-1] if lines else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception reports that memory is exhausted. Does not import TensorFlow."""
    return isinstance(error, MemoryError) or (
        "tensorflow" in sys.modules and isinstance(error, tf.errors.ResourceExhaustedError)
    )
