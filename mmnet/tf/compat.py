"""Import TensorFlow, here alone, as ``tf``: the graph-mode v1 API of TensorFlow 1.15 and 2.x.

It is imported when the first of its names is asked for, which no module does while it is imported
itself: what runs without TensorFlow neither waits for it nor needs it. Every switch between
versions belongs here and nowhere else.
"""

import contextlib
import ctypes
import logging
import os
import sys
import sysconfig
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

from mmnet.io.errors import MmnetError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _native_closed(descriptor):
    """Discard what is written to file descriptor 1 or 2.

    TF 2.x writes a greeting from C++ before it reads its log level, and converters write notes
    between our results. Both would bury our one-line messages. Python's exceptions still come
    through. With TF_CPP_MIN_LOG_LEVEL=0 in the environment nothing is discarded.
    """
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        yield
        return
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # discards the contents of C's buffers too
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)


@lru_cache(maxsize=None)
def _tensorflow():
    """The module; ValueError, saying what to install, where there is none."""
    with warnings.catch_warnings(), _native_closed(2):
        # While TF 1.15 is imported, it warns six times about the future of numpy.
        warnings.simplefilter("ignore")
        try:
            import tensorflow.compat.v1 as module
        except ImportError as error:
            raise MmnetError(
                "this needs TensorFlow (%s): sh scripts/setup.sh, or pip install mmnet; without it "
                "predict, evaluate and benchmark run a .tflite or an .onnx" % error
            ) from None
        # This comes before the next call, which warns about itself.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        module.disable_v2_behavior()
    return module


class _Lazy:
    """Stands for the module."""

    def __getattr__(self, name):
        return getattr(_tensorflow(), name)


if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf
else:
    tf = _Lazy()


@contextlib.contextmanager
def quiet_converters():
    """Silence TensorFlow Lite and tf2onnx, and let the TFLite converter find its program.

    TF 1.15's converter starts toco_from_protos by its bare name. pip installs that program among
    the scripts, so their folder is put on PATH meanwhile.
    """
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + path
    for name in ("tf2onnx", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.stdout.flush()
    try:
        with warnings.catch_warnings(), _native_closed(2), _native_closed(1):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ["PATH"] = path


def converts_given_ranges():
    """Whether TFLite's converter makes int8 of fake quantisation; TensorFlow 1.15's does not."""
    return _is_version_2()


def tflite_threads():
    """Whether TensorFlow's TFLite runs more than one thread; TensorFlow 1.15's does not."""
    return _is_version_2()


def _is_version_2():
    return not tf.__version__.startswith("1.")


def runtimes():
    """What is installed to run models, with versions: ``["TensorFlow 2.21.0", ...]``."""
    try:
        from importlib.metadata import PackageNotFoundError, version
    except ImportError:  # Python 3.7
        from pkg_resources import DistributionNotFound as PackageNotFoundError
        from pkg_resources import get_distribution

        def version(name):
            return get_distribution(name).version

    found = []
    for name, package in (
        ("TensorFlow", "tensorflow"),
        ("LiteRT", "ai-edge-litert"),
        ("ONNX Runtime", "onnxruntime"),
    ):
        with contextlib.suppress(PackageNotFoundError):
            found.append("%s %s" % (name, version(package)))
    return found


def is_out_of_memory(error):
    """Return whether an exception reports that memory is exhausted. Does not import TensorFlow."""
    if isinstance(error, MemoryError):
        return True
    if "tensorflow" not in sys.modules:
        return False
    return isinstance(error, tf.errors.ResourceExhaustedError)
