"""A .tflite as a Predictor. What it takes and gives says its card, for the file does not."""

import logging
import threading
from functools import partial

import numpy as np

from mmnet.inference.card import read_card
from mmnet.inference.complexity import count_operations
from mmnet.inference.flatbuffer import need_sound
from mmnet.inference.predictor import Complexity, Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.tf.compat import quiet_converters, tf, tflite_supports_threads
from mmnet.tf.device import Device

log = logging.getLogger(__name__)


def open_tflite(path, device=Device(), batch=1):
    """A TFLite model of ``mmnet export``.

    Args:
        device: its ``threads``; None leaves it to the interpreter. batch: pictures a run.

    Raises:
        ValueError: no TFLite model, one of another shape than its card says, no card, or no
            interpreter is installed.
    """
    card = read_card(path)  # compares the file's hash, before an interpreter sees it
    need_sound(read_bytes(path), path)
    with quiet_converters():
        interpreter_class = tflite_interpreter(device.threads)
    if card.precision == "int8" and is_slow_with_int8(interpreter_class):
        log.warning(
            "%s: the TFLite interpreter of TensorFlow %s runs int8 some 90 times as slowly as "
            "float32; one of TensorFlow 2.x, or ai-edge-litert, does not",
            path,
            tf.__version__,
        )
    with quiet_converters():
        try:
            interpreter = interpreter_class(model_path=path)
            interpreter.allocate_tensors()
        except (RuntimeError, TypeError, ValueError) as error:  # by TensorFlow's version
            raise MmnetError(
                "%s is not a TFLite model that runs here (%s)" % (path, error)
            ) from None
    (taken,) = interpreter.get_input_details()
    shape = [int(side) for side in taken["shape"]]
    network = card.network._replace(shape=tuple(shape[1:3]))
    if len(shape) != 4 or shape[0] != 1 or shape[3] != network.channels:
        raise MmnetError("%s takes %s, not [1,H,W,%d]" % (path, shape, network.channels))
    if batch > 1:
        interpreter.resize_tensor_input(taken["index"], [batch] + shape[1:])
        interpreter.allocate_tensors()
    complexity = None
    if card.parameters is not None and card.multiply_adds is not None:
        complexity = Complexity(card.parameters, card.multiply_adds)
    return Predictor(
        partial(run, interpreter, threading.Lock()),
        card._replace(network=network),
        source=path,
        operations=operations_of(interpreter),
        complexity=complexity,
        batch=batch,
    )


def run(interpreter, turn, images):
    """The model's output for its own input, both float32 whatever it computes in.

    turn: a lock, for an interpreter serves one thread at a time.
    """
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    tensor = images
    if taken["dtype"] != np.float32:  # value = scale (tensor - zero)
        scale, zero = taken["quantization"]
        limits = np.iinfo(taken["dtype"])
        tensor = np.rint(images / scale + zero).clip(limits.min, limits.max).astype(taken["dtype"])
    with turn:
        interpreter.set_tensor(taken["index"], tensor)
        interpreter.invoke()
        output = interpreter.get_tensor(given["index"])
    if output.dtype != np.float32:
        scale, zero = given["quantization"]
        output = np.float32(scale) * (output.astype(np.float32) - zero)
    return output


def operations_of(interpreter):
    """Types of operations -> count, or None where the interpreter cannot tell."""
    if not hasattr(interpreter, "_get_ops_details"):
        return None
    names = [details["op_name"] for details in interpreter._get_ops_details()]
    return count_operations(
        name for name in names if name != "DELEGATE"
    )  # XNNPACK's, not in the file


def tflite_interpreter(threads=None):
    """The class that runs .tflite: ai_edge_litert's, or TensorFlow's, which is to lose its own."""
    try:
        from ai_edge_litert.interpreter import Interpreter

        return partial(Interpreter, num_threads=threads)
    except ImportError:
        pass
    try:
        Interpreter = tf.lite.Interpreter
    except (AttributeError, ValueError) as error:  # none in this TensorFlow, or no TensorFlow
        raise MmnetError(
            "running a .tflite needs ai-edge-litert (%s): pip install ai-edge-litert" % error
        ) from None
    if tflite_supports_threads():
        return partial(Interpreter, num_threads=threads)
    if threads in (None, 1):
        return Interpreter
    raise MmnetError(
        "TensorFlow %s's TFLite runs on one thread, not %d" % (tf.__version__, threads)
    )


def is_slow_with_int8(interpreter_class):
    """Whether it is TensorFlow 1.15's, the only one that takes no number of threads."""
    return not isinstance(interpreter_class, partial)
