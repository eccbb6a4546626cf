"""The one import of TensorFlow: ``tf`` is the graph-mode v1 API of TensorFlow 1.15 and of TensorFlow 2.x alike.

Version switches of any kind belong here and nowhere else.
"""
import contextlib
import ctypes
import logging
import os
import sys
import sysconfig
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _native_stderr_closed():
    """Send file descriptor 2 nowhere: TF 2.x greets from C++ before its log level is read, and would bury our one-line
    messages. Python's exceptions still come through; TF_CPP_MIN_LOG_LEVEL=0 in the environment brings it all back."""
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        yield
        return
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with warnings.catch_warnings(), _native_stderr_closed():
    warnings.simplefilter("ignore")  # TF 1.15 warns about numpy's future six times while it is imported
    import tensorflow.compat.v1 as tf

    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # before the next call, which warns about itself
    tf.disable_v2_behavior()


@contextlib.contextmanager
def quiet_converters():
    """TensorFlow Lite and tf2onnx without their chatter, and TF 1.15's TFLite converter able to find the program that
    it starts by its bare name (toco_from_protos, which pip puts among the scripts)."""
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + path
    for name in ("tf2onnx", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), _native_stderr_closed(), _native_stdout_closed():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ["PATH"] = path


@contextlib.contextmanager
def _native_stdout_closed():
    """Send file descriptor 1 nowhere: TF 1.15's int8 calibration writes notes there, between our results. They lie in
    C's buffer until it is flushed."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


__all__ = ["quiet_converters", "tf"]
