"""Write an inference graph as a frozen graph, SavedModel, TFLite or ONNX file."""

import json
from typing import Any, Callable, Dict, Optional

import numpy as np

from mmnet.export.graphs import native_dilations
from mmnet.export.rembg import adapt_model
from mmnet.export.tflite_metadata import add_metadata, segmenter_metadata
from mmnet.inference.complexity import measure_complexity
from mmnet.io.errors import MmnetError
from mmnet.io.files import write_bytes
from mmnet.io.optional import import_optional
from mmnet.networks.inference_graph import INPUT, OUTPUT
from mmnet.tf.compat import quiet_converters, tf

ONNX_OPSET = 13
MESSAGE_LENGTH = 300  # characters of a converter's message in our error


def write_pb(path, graph_def, spec, images):
    write_bytes(path, graph_def.SerializeToString(deterministic=True))


def write_savedmodel(path, graph_def, spec, images):
    x, y = _import_graph(graph_def)
    with tf.Session(graph=x.graph) as session:
        signature = tf.saved_model.predict_signature_def({INPUT: x}, {OUTPUT: y})
        builder = tf.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.tag_constants.SERVING],
            {tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
            strip_default_attrs=True,  # TensorFlow 1.15 rejects attributes that it does not know
        )
        builder.save()


def write_tflite(path, graph_def, spec, images):
    model = convert_to_tflite(native_dilations(graph_def), spec, images)
    (x,) = (node for node in graph_def.node if node.name == INPUT)
    if x.attr["shape"].shape.dim[3].size == 3:  # MediaPipe Tasks takes RGB images only
        model = add_metadata(model, segmenter_metadata(spec.preprocess, spec.output_type))
    write_bytes(path, model)


def write_onnx(path, graph_def, spec, images):
    metadata = {"preprocess": spec.preprocess, "output_type": spec.output_type}
    metadata.update(measure_complexity(graph_def))
    if spec.views:
        metadata["views"] = " ".join(spec.views)
    model = convert_to_onnx(native_dilations(graph_def), metadata)
    if spec.target == "rembg":
        adapt_model(model)
    write_bytes(path, model.SerializeToString())


# Format -> function (path, graph_def, spec, images). ``images`` are representative images for int8.
WRITERS: Dict[str, Callable[..., None]] = {
    "pb": write_pb,
    "savedmodel": write_savedmodel,
    "tflite": write_tflite,
    "onnx": write_onnx,
}


def convert_to_tflite(native: "tf.GraphDef", spec: Any, images: Optional[np.ndarray]) -> bytes:
    """Convert the result of native_dilations to a TFLite file.

    ``spec`` is an ExportSpec. ``images`` (float32 [N,H,W,C], input of the graph) give the ranges of
    an int8 model. None: the graph contains them, which TensorFlow 1.15 cannot convert.
    """
    x, y = _import_graph(native)
    # The session only passes the graph to the converter. It never runs (see native_dilations).
    with tf.Session(graph=x.graph) as session, quiet_converters():
        converter = tf.lite.TFLiteConverter.from_session(session, [x], [y])
        if spec.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if spec.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if spec.precision == "int8":
            _set_int8(converter, images)
        if spec.io == "uint8":
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        try:
            return converter.convert()
        except Exception as error:  # its type depends on the version of TensorFlow
            raise MmnetError(
                f"TensorFlow {tf.__version__} cannot convert the network to TFLite "
                f"{spec.precision}: {str(error)[:MESSAGE_LENGTH]}"
            ) from error


def _set_int8(converter, images):
    if images is not None:
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return
    converter.inference_type = tf.int8
    converter.inference_input_type = converter.inference_output_type = tf.float32
    # The converter requires this value and then uses the ranges in the graph.
    converter.quantized_input_stats = {INPUT: (-128, 1)}


def check_format(format: str) -> None:
    """Raise MmnetError if a package is missing that writes or runs models of a format."""
    if format == "onnx":
        for name in ("onnx", "tf2onnx", "onnxruntime"):
            import_optional(name, "writing an .onnx", "export")


def convert_to_onnx(native: "tf.GraphDef", metadata: Dict[str, Any]) -> Any:
    """Convert a graph with native dilations to an ONNX model that contains the metadata."""
    with quiet_converters():
        from tf2onnx import convert

        model = convert.from_graph_def(
            native, input_names=[INPUT + ":0"], output_names=[OUTPUT + ":0"], opset=ONNX_OPSET
        )[0]
    names = {INPUT + ":0": INPUT, OUTPUT + ":0": OUTPUT}
    for value in list(model.graph.input) + list(model.graph.output):
        value.name = names[value.name]
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    _round_scales_up(model)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    return model


def _round_scales_up(model):
    """Increase the rounded scales of views. A runtime rounds the size of the result down."""
    from onnx import numpy_helper

    resizes = [node for node in model.graph.node if node.op_type == "Resize"]
    names = {
        node.input[2]
        for node in resizes
        for attribute in node.attribute
        if attribute.s == b"align_corners"
    }
    for tensor in model.graph.initializer:
        scales = numpy_helper.to_array(tensor)
        if tensor.name in names and (scales % 1).any():
            scales = np.where(scales % 1, np.nextafter(scales, np.float32(np.inf)), scales)
            tensor.CopyFrom(numpy_helper.from_array(scales, tensor.name))


def _import_graph(graph_def):
    """Import into a new graph, and return the tensors INPUT and OUTPUT."""
    with tf.Graph().as_default():
        names = [INPUT + ":0", OUTPUT + ":0"]
        return tf.import_graph_def(graph_def, name="", return_elements=names)


def is_inference_graph(data: bytes) -> bool:
    """Return whether the bytes are a GraphDef with the published input."""
    graph_def = tf.GraphDef()
    try:
        graph_def.ParseFromString(data)
    except Exception:  # protobuf's DecodeError has different names in different versions
        return False
    return any(node.name == INPUT for node in graph_def.node)


def is_tflite(data: bytes) -> bool:
    return data[4:8] == b"TFL3"


def has_tensor_names(data: bytes) -> bool:
    return INPUT.encode() in data and OUTPUT.encode() in data


def is_card(data: bytes) -> bool:
    """Return whether the bytes are the card of a model."""
    try:
        return "output_type" in json.loads(data.decode("utf-8"))
    except (ValueError, TypeError, RecursionError):
        return False


# Format -> function (contents of a file) that returns whether export may replace the file.
CAN_REPLACE = {
    "pb": is_inference_graph,
    "tflite": is_tflite,
    "onnx": has_tensor_names,
    "savedmodel": has_tensor_names,
    "card": is_card,
}
