"""Open .tflite files as Predictors. The card describes the model, because the file does not.

The Python interpreter trusts every offset in a file, and a damaged file can end the process.
Therefore only files whose SHA-256 equals that in their card reach the interpreter.
"""

import hashlib
import logging
import os
import sys
import threading
from collections import Counter
from functools import partial
from typing import Any, Callable, Optional

import numpy as np

from mmnet.inference.card import read_card
from mmnet.inference.predictor import Predictor
from mmnet.inference.runtimes import has_runtime
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.io.optional import install_command
from mmnet.tf.compat import quiet_converters, tf, tflite_supports_threads
from mmnet.tf.device import Device

log = logging.getLogger(__name__)


def open_tflite(path: str, device: Device = Device(), batch_size: int = 1) -> Predictor:
    """Open a TFLite model of ``mmnet export``. Of the device, only ``threads`` is used."""
    data = read_bytes(path)
    card = read_card(path, hashlib.sha256(data).hexdigest())
    interpreter_class = find_interpreter(device.threads)
    if card.precision == "int8" and not has_runtime("tflite") and not tflite_supports_threads():
        log.warning("%s: TensorFlow 1.15 runs int8 far more slowly than float32", path)
    with quiet_converters():
        try:
            interpreter = interpreter_class(model_content=data)
            interpreter.allocate_tensors()
        except (RuntimeError, TypeError, ValueError) as error:  # depends on TensorFlow's version
            raise MmnetError(f"{path}: not a TFLite model that runs here ({error})") from None
    (input_details,) = interpreter.get_input_details()
    shape = [int(side) for side in input_details["shape"]]
    network = card.network.with_input(shape[1:3])
    if len(shape) != 4 or shape[0] != 1 or shape[3] != network.channels:
        raise MmnetError(f"{path}: takes {shape}, expected [1,H,W,{network.channels}]")
    if batch_size > 1:
        interpreter.resize_tensor_input(input_details["index"], [batch_size] + shape[1:])
        interpreter.allocate_tensors()
    operations = None
    if hasattr(interpreter, "_get_ops_details"):
        names = [details["op_name"] for details in interpreter._get_ops_details()]
        names = [name for name in names if name != "DELEGATE"]  # added by XNNPACK
        operations = dict(Counter(names).most_common())
    return Predictor(
        partial(run_interpreter, interpreter, threading.Lock()),
        card._replace(network=network, operations=operations),
        source=path,
        batch_size=batch_size,
        process=None if has_runtime("tflite") or tflite_supports_threads() else os.getpid(),
    )


def run_interpreter(interpreter: Any, lock: Any, images: np.ndarray) -> np.ndarray:
    """Return the float32 output of a model for float32 images, also of a quantized model.

    ``lock`` is held meanwhile, because an interpreter serves one thread at a time.
    """
    (input_details,) = interpreter.get_input_details()
    (output_details,) = interpreter.get_output_details()
    tensor, dtype = images, input_details["dtype"]
    if dtype != np.float32:  # value = scale * (integer - zero_point)
        scale, zero_point = input_details["quantization"]
        limits = np.iinfo(dtype)
        tensor = np.rint(images / scale + zero_point).clip(limits.min, limits.max).astype(dtype)
    with lock:
        interpreter.set_tensor(input_details["index"], tensor)
        interpreter.invoke()
        output = interpreter.get_tensor(output_details["index"])
    if output.dtype != np.float32:
        scale, zero_point = output_details["quantization"]
        output = np.float32(scale) * (output.astype(np.float32) - zero_point)
    return output


def find_interpreter(threads: Optional[int] = None) -> Callable[..., Any]:
    """Return the constructor of an interpreter, from ai_edge_litert or else from TensorFlow.

    MmnetError: no interpreter is installed, or it cannot use this number of threads.
    """
    if has_runtime("tflite"):
        from ai_edge_litert.interpreter import Interpreter

        return partial(Interpreter, num_threads=threads)
    try:
        interpreter_class = tf.lite.Interpreter
    except (AttributeError, ValueError):  # without TensorFlow, or removed from it
        command = install_command("train" if sys.version_info < (3, 10) else "")
        raise MmnetError(f"running a .tflite needs ai-edge-litert: {command}") from None
    if tflite_supports_threads():
        return partial(interpreter_class, num_threads=threads)
    if threads in (None, 1):
        return interpreter_class
    raise MmnetError(
        f"{threads}: TFLite of TensorFlow {tf.__version__} runs on one thread", "threads"
    )
