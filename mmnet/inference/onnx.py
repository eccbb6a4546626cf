"""An .onnx as a Predictor. What it takes and gives says its metadata, else its card."""

import numpy as np

from mmnet.inference.card import check_own_card, model_sha256, parse_card, read_card
from mmnet.inference.complexity import count_operations
from mmnet.inference.predictor import Complexity, Predictor
from mmnet.io.errors import MmnetError
from mmnet.networks.inference_graph import INPUT, OUTPUT
from mmnet.tf.device import Device


def open_onnx(path, device=Device(), batch=1):
    """An ONNX model of ``mmnet export``.

    Args:
        device: its ``threads``; None leaves it to onnxruntime. batch: pictures a run; other than 1
            takes the package onnx.

    Raises:
        ValueError: no ONNX model, none with ``input_x`` and ``output``, or onnxruntime is not
            installed.
    """
    onnxruntime = import_extra("onnxruntime", "running an .onnx")
    check_own_card(path)
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = device.threads or 0
        session = onnxruntime.InferenceSession(
            of_batch(path, batch) if batch > 1 else path,
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:  # onnxruntime's own classes are not importable under one name
        raise MmnetError("%s is not an ONNX model that runs here (%s)" % (path, error)) from None
    shapes = {value.name: value.shape for value in session.get_inputs()}
    if INPUT not in shapes or OUTPUT not in [value.name for value in session.get_outputs()]:
        raise MmnetError("%s has no %s and %s" % (path, INPUT, OUTPUT))
    card = _card_in(path, session.get_modelmeta().custom_metadata_map)
    shape = list(shapes[INPUT])
    if len(shape) != 4 or shape[0] != batch or shape[3] not in (3, 4):
        raise MmnetError("%s takes %s, not [%d,H,W,3] or [%d,H,W,4]" % (path, shape, batch, batch))
    network = card.network._replace(shape=tuple(shape[1:3]), channels=shape[3])
    complexity = None
    if card.parameters is not None and card.multiply_adds is not None:
        complexity = Complexity(card.parameters, card.multiply_adds)
    return Predictor(
        lambda images: session.run([OUTPUT], {INPUT: images})[0],
        card._replace(network=network, sha256=model_sha256(path)),
        source=path,
        operations=_operations(path),
        complexity=complexity,
        batch=batch,
    )


def _card_in(path, metadata):
    if not {"preprocess", "output_type"} <= metadata.keys():
        return read_card(path)
    record = {
        "preprocess": metadata["preprocess"],
        "output_type": metadata["output_type"],
        "precision": "float32",
    }
    for name in ("parameters", "multiply_adds"):
        if metadata.get(name, "").isdigit():
            record[name] = int(metadata[name])
    return parse_card(record, path)


def _operations(path):
    try:
        import onnx  # not needed to run a model, and not always there where one runs
    except ImportError:
        return None
    return count_operations(node.op_type for node in onnx.load(path).graph.node)


def of_batch(path, batch):
    """An ONNX model, as bytes, that takes and gives so many pictures a run."""
    onnx = import_extra("onnx", "a batch of more than one picture in an .onnx")
    model = onnx.load(path)
    for value in list(model.graph.input) + list(model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # the shapes between are those of one picture
    shapes = {node.input[-1] for node in model.graph.node if node.op_type in ("Reshape", "Resize")}
    for tensor in model.graph.initializer:  # some of them name one picture
        values = onnx.numpy_helper.to_array(tensor)
        is_shape = tensor.name in shapes and tensor.data_type == onnx.TensorProto.INT64
        if is_shape and len(values) == 4:
            values = np.array([batch, *values[1:]], np.int64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return model.SerializeToString()


def import_extra(name, what_for):
    """An optional package; ValueError, saying how to install it, where it is not there."""
    try:
        return __import__(name)
    except ImportError as error:
        raise MmnetError(
            "%s needs %s (%s): pip install 'mmnet[export]', in this repository pip install "
            "'.[export]' (onnx, tf2onnx and onnxruntime)" % (what_for, name, error)
        ) from None
