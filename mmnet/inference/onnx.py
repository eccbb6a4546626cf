"""Open .onnx files as Predictors. Their metadata, or else their card, describes the model."""

import hashlib
import os
import re
import weakref
from collections import Counter
from typing import Any, Dict, List, Optional

import numpy as np

from mmnet.inference.card import Card, check_own_card, parse_card, read_card
from mmnet.inference.complexity import onnx_complexity
from mmnet.inference.predictor import Predictor
from mmnet.inference.signature import Arrays, Tensor, TensorModel, cast
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.io.optional import import_optional
from mmnet.networks.inference_graph import INPUT, OUTPUT
from mmnet.networks.views import largest_shape
from mmnet.tf.device import Device

# The key "location" of values in another file, after its length (two encodings of it).
EXTERNAL_DATA = re.compile(rb"[\x00\x08]location")
ONNX_BATCHES = "a batch of several images in an .onnx"
# Sessions of the parent process. Their destructors would wait for threads that a fork did not copy.
INHERITED: List[Any] = []
TYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}  # in ONNX Runtime -> in numpy
TYPES.update({f"tensor({name})": name for name in ("float16", "uint8", "int8", "int32", "int64")})


def open_onnx(path: str, device: Device = Device(), batch_size: int = 1) -> Predictor:
    """Open an ONNX model of ``mmnet export``. Of the device, only ``threads`` is used.

    A batch size above 1 needs the package onnx in addition to onnxruntime.
    """
    data = read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    check_own_card(path, sha256)
    session = make_session(path, data, device, batch_size)
    shapes = {value.name: value.shape for value in session.get_inputs()}
    if INPUT not in shapes or OUTPUT not in [value.name for value in session.get_outputs()]:
        raise MmnetError(f"{path}: has no input {INPUT} or no output {OUTPUT}; see mmnet card")
    card = _find_card(path, sha256, session.get_modelmeta().custom_metadata_map)
    shape = list(shapes[INPUT])
    if len(shape) != 4 or shape[0] != batch_size or shape[3] not in (3, 4):
        raise MmnetError(f"{path}: takes {shape}, expected [{batch_size},H,W,3 or 4]")
    network = card.network._replace(channels=shape[3]).with_input(shape[1:3])
    return Predictor(
        lambda images: session.run([OUTPUT], {INPUT: images})[0],
        card._replace(network=network, sha256=sha256, operations=_count_nodes(data)),
        source=path,
        batch_size=batch_size,
        process=os.getpid(),
    )


def load_onnx(path: str, data: bytes, device: Device = Device()) -> TensorModel:
    """Load an ONNX model of any project."""
    session = make_session(path, data, device)
    inputs = tuple(map(_describe_tensor, session.get_inputs()))
    outputs = tuple(map(_describe_tensor, session.get_outputs()))
    types, names = {tensor.name: tensor.dtype for tensor in inputs}, [out.name for out in outputs]

    def run(arrays: Arrays) -> Arrays:
        feed = {name: cast(array, types[name]) for name, array in arrays.items()}
        return dict(zip(names, session.run(names, feed)))

    return TensorModel(inputs, outputs, run, process=os.getpid(), facts=_measure(data))


def _describe_tensor(value):
    shape = tuple(length if isinstance(length, int) else None for length in value.shape)
    return Tensor(value.name, shape, TYPES.get(value.type, "float32"))


def make_session(path: str, data: bytes, device: Device = Device(), batch_size: int = 1) -> Any:
    """Return the session of a model. MmnetError: it cannot run here."""
    onnxruntime = import_optional("onnxruntime", "running an .onnx", "export")
    if EXTERNAL_DATA.search(data):  # onnxruntime would read the file
        raise MmnetError(f"{path}: stores values in other files")
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.intra_op_num_threads = device.threads or 0
        model = set_batch_size(data, batch_size) if batch_size > 1 else data
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except MmnetError:
        raise
    except Exception as error:  # onnxruntime and onnx raise classes of their own
        raise MmnetError(f"{path}: not an ONNX model that runs here ({error})") from None
    reference = weakref.ref(session)
    os.register_at_fork(after_in_child=lambda: INHERITED.append(reference()))
    return session


def set_batch_size(data: bytes, batch_size: int) -> bytes:
    """Convert an ONNX model for one image to a model for ``batch_size`` images."""
    onnx = import_optional("onnx", ONNX_BATCHES, "export")
    model = onnx.load_model_from_string(data)
    for value in list(model.graph.input) + list(model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch_size
    del model.graph.value_info[:]  # shapes of intermediate values for one image
    shapes = {node.input[-1] for node in model.graph.node if node.op_type in ("Reshape", "Resize")}
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.name in shapes and values.dtype == np.int64 and len(values) == 4:
            values = np.array([batch_size, *values[1:]], np.int64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return model.SerializeToString()


def _find_card(path: str, sha256: str, metadata: Dict[str, str]) -> Card:
    """Return the Card in the metadata of a model, else the card beside its file."""
    if not {"preprocess", "output_type"} <= metadata.keys():
        return read_card(path, sha256)
    record: Dict[str, Any] = {name: metadata[name] for name in ("preprocess", "output_type")}
    record["precision"] = "float32"
    if metadata.get("views"):
        views = metadata["views"].split()
        record["network"] = {"views": views, "shape": largest_shape(views)}
    for name in ("parameters", "multiply_adds"):
        if metadata.get(name, "").isdigit():
            record[name] = int(metadata[name])
    return parse_card(record, path)


def _count_nodes(data: bytes) -> Optional[Dict[str, int]]:
    return _measure(data, complexity=False).get("operations")


def _measure(data: bytes, complexity: bool = True) -> Dict[str, Any]:
    """Return the operations of a model, and its complexity: fields of the card."""
    try:
        import onnx  # optional: onnxruntime runs the model without it
    except ImportError:
        return {}
    model = onnx.load_model_from_string(data)
    operations = dict(Counter(node.op_type for node in model.graph.node).most_common())
    return {"operations": operations, **(onnx_complexity(onnx, model) if complexity else {})}
