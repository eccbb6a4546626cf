"""Import TensorFlow, here alone, as ``tf``: the graph-mode v1 API of TensorFlow 1.15 and 2.x.

Every switch between versions belongs here and nowhere else.
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


with warnings.catch_warnings(), _native_closed(2):
    # While TF 1.15 is imported, it warns six times about the future of numpy.
    warnings.simplefilter("ignore")
    import tensorflow.compat.v1 as tf

    # This comes before the next call, which warns about itself.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    tf.disable_v2_behavior()


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


# TensorFlow Lite of TensorFlow 1.15 can do neither of these.
CONVERTS_GIVEN_RANGES = not tf.__version__.startswith("1.")  # it makes int8 of fake quantisation
TFLITE_THREADS = not tf.__version__.startswith("1.")  # it runs more than one thread

__all__ = ["CONVERTS_GIVEN_RANGES", "TFLITE_THREADS", "quiet_converters", "tf"]
