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
def _native_closed(descriptor):
    """Send file descriptor 1 or 2 nowhere: TF 2.x greets from C++ before its log level is read, converters write notes
    between our results, and both would bury our one-line messages. Python's exceptions still come through;
    TF_CPP_MIN_LOG_LEVEL=0 in the environment brings it all back."""
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        yield
        return
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what still lies in C's buffers goes nowhere too
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)


with warnings.catch_warnings(), _native_closed(2):
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
    sys.stdout.flush()
    try:
        with warnings.catch_warnings(), _native_closed(2), _native_closed(1):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ["PATH"] = path


# What TensorFlow 1.15's TFLite does not do:
CONVERTS_GIVEN_RANGES = not tf.__version__.startswith("1.")  # int8 out of fake quantisation
TFLITE_THREADS = not tf.__version__.startswith("1.")  # more than one

__all__ = ["CONVERTS_GIVEN_RANGES", "TFLITE_THREADS", "quiet_converters", "tf"]
