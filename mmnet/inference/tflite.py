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
from typing import Any, Callable, Dict, Optional

import numpy as np

from mmnet.inference.card import read_card
from mmnet.inference.complexity import tflite_complexity
from mmnet.inference.predictor import Predictor
from mmnet.inference.runtimes import has_runtime
from mmnet.inference.signature import Arrays, Tensor, TensorModel, cast
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
    interpreter = make_interpreter(path, data, device.threads)
    if card.precision == "int8" and not has_runtime("tflite") and not tflite_supports_threads():
        log.warning("%s: TensorFlow 1.15 runs int8 far more slowly than float32", path)
    (input_details,) = interpreter.get_input_details()
    shape = [int(side) for side in input_details["shape"]]
    network = card.network.with_input(shape[1:3])
    if len(shape) != 4 or shape[0] != 1 or shape[3] != network.channels:
        raise MmnetError(f"{path}: takes {shape}, expected [1,H,W,{network.channels}]")
    if batch_size > 1:
        interpreter.resize_tensor_input(input_details["index"], [batch_size] + shape[1:])
        interpreter.allocate_tensors()
    return Predictor(
        partial(run_interpreter, interpreter, threading.Lock()),
        card._replace(network=network, operations=card.operations or count_operations(interpreter)),
        source=path,
        batch_size=batch_size,
        process=forbidden_after_fork(),
    )


def load_tflite(path: str, data: bytes, device: Device = Device()) -> TensorModel:
    """Load a TFLite model of any project."""
    interpreter = make_interpreter(path, data, device.threads)
    types = {np.dtype(details["dtype"]).name for details in interpreter.get_tensor_details()}
    precisions = ("int8", "float16")  # float32 values come from weights in these types
    facts = {
        "precision": next((name for name in precisions if name in types), "float32"),
        "operations": count_operations(interpreter),
        **tflite_complexity(interpreter),
    }
    return TensorModel(
        tuple(map(_describe_tensor, interpreter.get_input_details())),
        tuple(map(_describe_tensor, interpreter.get_output_details())),
        partial(run_tensors, interpreter, threading.Lock()),
        process=forbidden_after_fork(),
        facts=facts,
    )


def _describe_tensor(details):
    shape = details.get("shape_signature", details["shape"])
    lengths = tuple(int(length) if length >= 0 else None for length in shape)
    is_quantized = details["quantization"][0] != 0  # run_tensors converts the values
    dtype = "float32" if is_quantized else np.dtype(details["dtype"]).name
    return Tensor(details["name"], lengths, dtype)


def run_tensors(interpreter: Any, lock: Any, arrays: Arrays) -> Arrays:
    """Return the outputs of a model by name, for inputs by name. For ``lock`` see below."""
    with lock:
        details = {value["name"]: value for value in interpreter.get_input_details()}
        is_resized = False
        for name, array in arrays.items():
            if tuple(details[name]["shape"]) != array.shape:
                interpreter.resize_tensor_input(details[name]["index"], array.shape)
                is_resized = True
        if is_resized:
            interpreter.allocate_tensors()
        for name, array in arrays.items():
            interpreter.set_tensor(details[name]["index"], quantize(array, details[name]))
        interpreter.invoke()
        outputs = interpreter.get_output_details()
        values = [interpreter.get_tensor(output["index"]) for output in outputs]
    return {output["name"]: dequantize(*pair) for output, *pair in zip(outputs, values, outputs)}


def make_interpreter(path: str, data: bytes, threads: Optional[int]) -> Any:
    """Return the interpreter of a model. MmnetError: it cannot run here."""
    interpreter_class = find_interpreter(threads)
    with quiet_converters():
        try:
            interpreter = interpreter_class(model_content=data)
            interpreter.allocate_tensors()
        except (RuntimeError, TypeError, ValueError) as error:  # depends on TensorFlow's version
            raise MmnetError(f"{path}: not a TFLite model that runs here ({error})") from None
    return interpreter


def count_operations(interpreter: Any) -> Optional[Dict[str, int]]:
    """Return the operations of a model, type -> count. None: the interpreter is too old."""
    if not hasattr(interpreter, "_get_ops_details"):
        return None
    names = [details["op_name"] for details in interpreter._get_ops_details()]
    names = [name for name in names if name != "DELEGATE"]  # added by XNNPACK
    return dict(Counter(names).most_common())


def forbidden_after_fork() -> Optional[int]:
    """Return the id of this process if TFLite runs in no other, else None."""
    return None if has_runtime("tflite") or tflite_supports_threads() else os.getpid()


def run_interpreter(interpreter: Any, lock: Any, images: np.ndarray) -> np.ndarray:
    """Return the float32 output of a model for float32 images, also of a quantized model.

    ``lock`` is held meanwhile, because an interpreter serves one thread at a time.
    """
    (input_details,) = interpreter.get_input_details()
    (output_details,) = interpreter.get_output_details()
    tensor = quantize(images, input_details)
    with lock:
        interpreter.set_tensor(input_details["index"], tensor)
        interpreter.invoke()
        output = interpreter.get_tensor(output_details["index"])
    return dequantize(output, output_details)


def quantize(values: np.ndarray, details: Dict[str, Any]) -> np.ndarray:
    """Convert float32 values to the type of an input: value = scale * (integer - zero_point)."""
    dtype = np.dtype(details["dtype"]).name
    scale, zero_point = details["quantization"]
    return cast(values / scale + zero_point if scale and dtype != "float32" else values, dtype)


def dequantize(values: np.ndarray, details: Dict[str, Any]) -> np.ndarray:
    """Convert an output to float32."""
    scale, zero_point = details["quantization"]
    if values.dtype == np.float32 or not scale:  # labels have no scale
        return values
    return np.float32(scale) * (values.astype(np.float32) - zero_point)


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
