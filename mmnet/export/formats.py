"""From a folded inference graph to the bytes of each format."""

import json

from mmnet.export.graphs import native_dilations
from mmnet.inference.complexity import measure_complexity
from mmnet.inference.onnx import import_extra
from mmnet.io.errors import MmnetError
from mmnet.io.files import write_bytes
from mmnet.networks.inference_graph import INPUT, OUTPUT
from mmnet.tf.compat import quiet_converters, tf

ONNX_OPSET = 13


def write_pb(path, graph_def, **_):
    write_bytes(path, graph_def.SerializeToString())


def write_savedmodel(path, graph_def, **_):
    graph, x, y = imported(graph_def)
    signature = tf.saved_model.build_signature_def(
        {INPUT: tf.saved_model.build_tensor_info(x)},
        {OUTPUT: tf.saved_model.build_tensor_info(y)},
        tf.saved_model.signature_constants.PREDICT_METHOD_NAME,
    )
    key = tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    with tf.Session(graph=graph) as session:
        builder = tf.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.tag_constants.SERVING],
            {key: signature},
            strip_default_attrs=True,  # TensorFlow 1.15 refuses attributes that it does not know
        )
        builder.save()


def write_tflite(path, graph_def, form, calibration=None):
    write_bytes(path, to_tflite(native_dilations(graph_def), form, calibration))


def write_onnx(path, graph_def, form, **_):
    metadata = dict(
        measure_complexity(graph_def)._asdict(),
        preprocess=form.preprocess,
        output_type=form.output_type,
    )
    write_bytes(path, to_onnx(native_dilations(graph_def), metadata).SerializeToString())


# format -> function (path, graph_def, form=, calibration=) that writes a model there
WRITERS = {
    "pb": write_pb,
    "savedmodel": write_savedmodel,
    "tflite": write_tflite,
    "onnx": write_onnx,
}


def is_graph(data):
    """Whether the bytes are a GraphDef that has the published input."""
    graph_def = tf.GraphDef()
    try:
        graph_def.ParseFromString(data)
    except Exception:  # protobuf's DecodeError is not importable under one name
        return False
    return any(node.name == INPUT for node in graph_def.node)


def is_card(data):
    """Whether the bytes are a card of export."""
    try:
        return "output_type" in json.loads(data.decode("utf-8"))
    except (ValueError, TypeError, RecursionError):
        return False


# format -> function (bytes of a file) that tells whether export may replace it
CAN_REPLACE = {
    "pb": is_graph,
    "tflite": lambda data: data[4:8] == b"TFL3",
    "onnx": lambda data: INPUT.encode() in data and OUTPUT.encode() in data,
    "card": is_card,
}


def to_tflite(native, form, calibration=None):
    """The bytes of a .tflite of a graph of native_dilations.

    Args:
        form: export.ExportSpec. calibration: of int8, float32 [N,H,W,C] as the graph takes them. None:
            the graph has ranges of its own, which TensorFlow 1.15 cannot convert.
    """
    graph, x, y = imported(native)
    int8 = form.precision == "int8"
    with tf.Session(graph=graph) as session, quiet_converters():  # it only hands the graph over
        converter = tf.lite.TFLiteConverter.from_session(session, [x], [y])
        if form.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if form.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if int8 and calibration is not None:
            converter.representative_dataset = lambda: ([image[None]] for image in calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if int8 and calibration is None:
            converter.inference_type = tf.int8
            converter.inference_input_type = converter.inference_output_type = tf.float32
            # The converter asks for it; the graph's own rounding decides.
            converter.quantized_input_stats = {INPUT: (-128, 1)}
        if form.io == "uint8":
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        try:
            return converter.convert()
        except Exception as error:  # ConverterError, RuntimeError, ... by TensorFlow's version
            raise MmnetError(
                "TensorFlow %s could not convert to TFLite %s: %s"
                % (tf.__version__, form.precision, str(error)[:300])
            ) from error


def to_onnx(native, metadata):
    """The ONNX model of a graph of native_dilations, with ``metadata`` (name -> value) in it."""
    import_extra("onnx", "--format onnx")
    import_extra("tf2onnx", "--format onnx")
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
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    return model


def imported(graph_def):
    """(graph, its input tensor, its output tensor)."""
    graph = tf.Graph()
    with graph.as_default():
        x, y = tf.import_graph_def(
            graph_def, name="", return_elements=[INPUT + ":0", OUTPUT + ":0"]
        )
    return graph, x, y
