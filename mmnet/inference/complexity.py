"""Count parameters and multiply-adds of graphs and model files."""

from typing import Any, Dict

import numpy as np

from mmnet.tf.compat import tf


def measure_complexity(graph_def: Any) -> Dict[str, Any]:
    """Count ``parameters`` and ``multiply_adds`` of a frozen GraphDef: see graph_complexity."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    return graph_complexity(graph)


def graph_complexity(graph: Any) -> Dict[str, Any]:
    """Count ``parameters`` and ``multiply_adds``, for one image, of a graph of constant weights.

    Only convolutions count as multiply-adds, as in papers. Weights [h,w,in,out] cost h x w x in
    multiply-adds per output value, and h x w in a depthwise convolution.
    """
    parameters = multiply_adds = 0
    for operation in graph.get_operations():
        if operation.type == "Const":
            value = operation.outputs[0]
            if value.dtype == tf.float32 and len(value.shape):
                parameters += value.shape.num_elements()
        elif operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            height, width, channels, _ = operation.inputs[1].shape.as_list()
            per_value = height * width * (channels if operation.type == "Conv2D" else 1)
            multiply_adds += per_value * int(np.prod(operation.outputs[0].shape.as_list()[1:]))
    return {"parameters": parameters, "multiply_adds": multiply_adds}


def tflite_complexity(interpreter: Any) -> Dict[str, Any]:
    """Count ``parameters`` and ``multiply_adds`` of a TFLite model, as graph_complexity does."""
    if not hasattr(interpreter, "_get_ops_details"):  # an old interpreter
        return {}
    tensors = {details["index"]: details for details in interpreter.get_tensor_details()}
    shapes = {index: details["shape"].tolist() for index, details in tensors.items()}
    operations = interpreter._get_ops_details()
    computed = {index for operation in operations for index in operation["outputs"]}
    computed |= {details["index"] for details in interpreter.get_input_details()}
    read = {index for operation in operations for index in operation["inputs"]} & shapes.keys()
    weight_types = (np.float32, np.float16, np.int8, np.uint8)
    parameters = sum(
        int(np.prod(shapes[index]))
        for index in read - computed
        if shapes[index] and tensors[index]["dtype"] in weight_types
    )
    multiply_adds = 0
    for operation in operations:
        name, inputs = operation["op_name"], operation["inputs"]
        if not len(operation["outputs"]) or operation["outputs"][0] not in shapes:
            continue  # an operation that changes a variable
        output = int(np.prod(shapes[operation["outputs"][0]]))
        if name in ("CONV_2D", "FULLY_CONNECTED"):  # weights [out,h,w,in] or [out,in]
            multiply_adds += int(np.prod(shapes[inputs[1]][1:])) * output
        elif name == "DEPTHWISE_CONV_2D":  # [1,h,w,channels]
            multiply_adds += int(np.prod(shapes[inputs[1]][1:3])) * output
        elif "transpose" in name.lower() and len(inputs) >= 3:  # [out,h,w,in]
            image = inputs[2] if name == "TRANSPOSE_CONV" else inputs[0]
            weights = int(np.prod(shapes[inputs[1]][:3]))
            multiply_adds += weights * int(np.prod(shapes[image]))
    return {"parameters": parameters, "multiply_adds": multiply_adds}


def onnx_complexity(onnx: Any, model: Any) -> Dict[str, Any]:
    """Count ``parameters`` and ``multiply_adds`` of an ONNX ModelProto, as graph_complexity does.

    Multiply-adds are unknown if the shapes in the model are.
    """
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    parameters = sum(
        int(np.prod(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.data_type in (1, 10) and tensor.dims  # float32, float16
    )
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*inferred.value_info, *inferred.input, *inferred.output]
    }
    multiply_adds = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        # Weights [out,in,h,w] act per output value; in ConvTranspose they act per input value.
        name = node.output[0] if node.op_type == "Conv" else node.input[0]
        values = int(np.prod(shapes.get(name, [0])))
        if not values or node.input[1] not in weights:
            return {"parameters": parameters}
        multiply_adds += values * int(np.prod(weights[node.input[1]][1:]))
    return {"parameters": parameters, "multiply_adds": multiply_adds}
