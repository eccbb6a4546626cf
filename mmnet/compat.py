"""The one import of TensorFlow: ``tf`` is the graph-mode v1 API of TensorFlow 1.15 and of TensorFlow 2.x alike.

Version switches of any kind belong here and nowhere else.
"""
import contextlib
import logging
import os
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

__all__ = ["tf"]
