"""Networks for inference as GraphDefs, with the weights inside."""

from mmnet.io.errors import MmnetError
from mmnet.networks.layers import INFERENCE
from mmnet.networks.quantization import QUANTIZED_INFERENCE
from mmnet.networks.registry import alphas_from_logits, build, input_shape
from mmnet.tf.compat import tf

INPUT, OUTPUT = "input_x", "output"  # published names
OUTPUT_TYPES = ("probabilities", "alpha", "logits")


def inference_graph(
    network,
    values=None,
    *,
    preprocess="inside",
    output_type="probabilities",
    int8=False,
    ranges=None,
):
    """A network for one picture as a GraphDef that TensorFlow 1.15 and 2.x load.

    It holds nothing that only training uses.

    Args:
        values: variable name -> array, every variable of the network. None: it keeps its variables.
        preprocess: "inside": ``input_x`` is float32 [1,H,W,C] in 0..255; "outside": in 0..1.
        output_type: what ``output`` is: "probabilities" (float32 [1,H,W,2], channel 1 is alpha),
            "alpha" ([1,H,W,1]) or "logits" ([1,H,W,2]).
        int8: for a full-integer TFLite model, whose sigmoid ends at 255/256: alpha is multiplied by
            256/255, so that the highest of its 256 values is 1.
        ranges: of an int8 graph, quantization's variables, name -> value: it rounds the picture and
            every activation to 8 bits, which tells the TFLite converter how. "alpha" only.

    Raises:
        KeyError: a variable without a value. ValueError: ranges for another output_type.
    """
    if ranges and output_type != "alpha":
        raise MmnetError("a model with ranges of its own gives alpha, not %s" % output_type)
    known = dict(values or {}, **(ranges or {}))

    def constant(getter, name, *_, **__):
        with tf.name_scope(None):
            return tf.constant(known[name], name=name)

    mode = QUANTIZED_INFERENCE if ranges else INFERENCE
    mode = mode._replace(single_logit=output_type == "alpha")
    graph = tf.Graph()
    with graph.as_default():
        x = tf.placeholder(tf.float32, input_shape(network, 1), name=INPUT)
        with tf.variable_scope(tf.get_variable_scope(), custom_getter=values and constant):
            logits = build(network, x, mode, preprocess).logits
        _name_output(logits, output_type, int8, bool(ranges))
    # TensorFlow 1.15 refuses a node with an attribute that it does not know; those at their default
    # value can go.
    stripped = tf.train.export_meta_graph(graph=graph, strip_default_attrs=True).graph_def
    return tf.graph_util.extract_sub_graph(stripped, [OUTPUT])


def _name_output(logits, output_type, int8, has_ranges):
    """Add the operation OUTPUT."""
    if output_type == "logits":
        tf.identity(logits, name=OUTPUT)
    elif output_type == "probabilities" and logits.shape[3].value == 2:
        tf.nn.softmax(logits, name=OUTPUT)
    elif output_type == "probabilities":
        alpha = alphas_from_logits(logits)
        tf.concat([1 - alpha, alpha], axis=3, name=OUTPUT)
    elif not int8:
        alphas_from_logits(logits, name=OUTPUT)
    elif has_ranges:
        alpha = alphas_from_logits(logits) * (256 / 255)
        tf.quantization.fake_quant_with_min_max_args(alpha, 0, 1, name=OUTPUT)
    else:  # -1 .. 1 is a limit that TFLite's multiplication has built in
        tf.maximum(tf.minimum(alphas_from_logits(logits) * (256 / 255), 1), -1, name=OUTPUT)


def describe_tensors(network, preprocess, output_type):
    """What goes in and what comes out, in words: (input, output), each behind its name and type."""
    channels = {
        "probabilities": "2]: probabilities, channel 1 is alpha",
        "alpha": "1]: alpha in 0..1",
        "logits": "2]: logits of background and person",
    }[output_type]
    sides = "[1,%d,%d," % network.shape
    seen = "RGB and the alpha of the frame before" if network.channels == 4 else "RGB"
    limits = "0..255" if preprocess == "inside" else "0..1"
    takes = "%d]: %s in %s" % (network.channels, seen, limits)
    return sides + takes, sides + channels
