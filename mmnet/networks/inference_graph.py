"""Build GraphDefs for inference, with the weights as constants."""

from typing import Any, Dict, Optional, Tuple

from mmnet.io.errors import MmnetError
from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import Network
from mmnet.networks.quantization import QUANTIZED_INFERENCE
from mmnet.networks.registry import alphas_from_logits, build, input_shape
from mmnet.tf.compat import tf

INPUT, OUTPUT = "input_x", "output"  # published names of nodes
OUTPUT_TYPES = ("probabilities", "alpha", "logits")
SIGMOID_SCALE = 256 / 255  # TFLite's 8-bit sigmoid ends at 255/256; this makes its last level 1


def inference_graph(
    network: Network,
    values: Optional[Dict[str, Any]] = None,
    *,
    preprocess: str = "inside",
    output_type: str = "probabilities",
    int8: bool = False,
    ranges: Optional[Dict[str, Any]] = None,
) -> "tf.GraphDef":
    """Build a network for one image. TensorFlow 1.15 and 2.x can load the result.

    Args:
        values: variable name -> array. None: keep the variables.
        preprocess: "inside": ``input_x`` is float32 [1,H,W,C], 0..255; "outside": 0..1.
        output_type: see describe_tensors.
        int8: scale alpha for a full-integer TFLite model (SIGMOID_SCALE).
        ranges: range variables of an int8 graph, name -> value. The graph then rounds images and
            activations to 8 bits, and the TFLite converter uses these ranges. "alpha" only.
    """
    if ranges and output_type != "alpha":
        raise MmnetError(f"must be alpha for 8-bit ranges, not {output_type}", "output_type")
    arrays, constants = dict(values or {}, **(ranges or {})), {}

    def create_constant(getter, name, *_, **__):
        if name not in constants:  # several views share it
            with tf.name_scope(None):
                constants[name] = tf.constant(arrays[name], name=name)
        return constants[name]

    mode = QUANTIZED_INFERENCE if ranges else INFERENCE
    mode = mode._replace(single_logit=output_type == "alpha")
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.float32, input_shape(network, 1), name=INPUT)
        custom_getter = create_constant if values else None
        with tf.variable_scope(tf.get_variable_scope(), custom_getter=custom_getter):
            logits = build(network, images, mode, preprocess).logits
        _add_output(logits, output_type, int8=int8, has_ranges=bool(ranges))
    # TensorFlow 1.15 rejects nodes with attributes that it does not know. Attributes with default
    # values can be removed.
    stripped = tf.train.export_meta_graph(graph=graph, strip_default_attrs=True).graph_def
    return tf.graph_util.extract_sub_graph(stripped, [OUTPUT])


def _add_output(logits, output_type, *, int8, has_ranges):
    """Add the operation OUTPUT."""
    if output_type == "logits":
        tf.identity(logits, name=OUTPUT)
    elif output_type == "probabilities" and logits.shape[3].value == 2:
        tf.nn.softmax(logits, name=OUTPUT)
    elif output_type == "probabilities":
        alphas = alphas_from_logits(logits)
        tf.concat([1 - alphas, alphas], axis=3, name=OUTPUT)
    elif not int8:
        alphas_from_logits(logits, name=OUTPUT)
    elif has_ranges:
        alphas = alphas_from_logits(logits) * SIGMOID_SCALE
        tf.quantization.fake_quant_with_min_max_args(alphas, 0, 1, name=OUTPUT)
    else:  # TFLite's multiplication can limit its result to -1..1 without another operation
        alphas = alphas_from_logits(logits) * SIGMOID_SCALE
        tf.maximum(tf.minimum(alphas, 1), -1, name=OUTPUT)


def describe_tensors(network: Network, preprocess: str, output_type: str) -> Tuple[str, str]:
    """Describe input and output for people, for example ``[1,256,256,3]: RGB in 0..255``."""
    height, width = network.shape
    channels = "RGB" if network.channels == 3 else "RGB and the alpha of the previous frame"
    limits = "0..255" if preprocess == "inside" else "0..1"
    outputs = {
        "probabilities": "2]: probabilities, channel 1 is alpha",
        "alpha": "1]: alpha in 0..1",
        "logits": "2]: logits of background and foreground",
    }
    sides = f"[1,{height},{width},"
    return f"{sides}{network.channels}]: {channels} in {limits}", sides + outputs[output_type]
