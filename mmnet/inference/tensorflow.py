"""Open frozen graphs (.pb) and SavedModels as Predictors."""

import hashlib
import os
from collections import Counter
from typing import Any

from mmnet.inference.card import Card, check_own_card, model_sha256
from mmnet.inference.complexity import graph_complexity
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.networks.inference_graph import INPUT, OUTPUT
from mmnet.networks.network import Network
from mmnet.networks.registry import PREPROCESS
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, session_config

# Type of the operation ``output`` -> output_type. Other types return logits.
OUTPUT_OPERATIONS = {"Softmax": "probabilities", "ConcatV2": "probabilities", "Sigmoid": "alpha"}


def open_frozen(path: str, device: Device = Device(), batch_size: int = 1) -> Predictor:
    """Open a frozen graph of ``mmnet freeze`` or ``mmnet export``. It needs no card."""
    data = read_bytes(path)
    graph_def = tf.GraphDef()
    try:
        graph_def.ParseFromString(data)
    except Exception as error:  # protobuf raises other classes on other versions
        raise MmnetError(f"{path}: not a frozen graph ({type(error).__name__}: {error})") from None
    return _open_graph(path, graph_def, hashlib.sha256(data).hexdigest(), device, batch_size)


def open_savedmodel(path: str, device: Device = Device(), batch_size: int = 1) -> Predictor:
    """Open a SavedModel of ``mmnet export``: a folder with saved_model.pb."""
    sha256 = model_sha256(path)
    check_own_card(path, sha256)
    tags = [tf.saved_model.tag_constants.SERVING]
    try:
        with tf.Graph().as_default() as graph, tf.Session(config=session_config(device)) as session:
            tf.saved_model.load(session, tags, path)
    except Exception as error:  # TensorFlow raises other classes on other versions
        reason = str(error).splitlines()[0]
        raise MmnetError(f"{path}: not a SavedModel ({type(error).__name__}: {reason})") from None
    return _open_graph(path, graph.as_graph_def(), sha256, device, batch_size)


def _open_graph(path, graph_def, sha256, device, batch_size):
    """Return a Predictor of a GraphDef whose weights are constants."""
    card = _describe_graph(path, graph_def)
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)  # they are recorded for one image
    graph = tf.Graph()
    with graph.as_default():
        shape = (batch_size,) + card.network.shape + (card.network.channels,)
        images = tf.placeholder(tf.float32, shape)  # replaces input_x, which takes one image
        outputs = [f"{OUTPUT}:0"]
        try:
            (output,) = tf.import_graph_def(graph_def, {f"{INPUT}:0": images}, outputs, name="")
        except ValueError as error:
            reason = f"TensorFlow {tf.__version__} cannot load it ({str(error).splitlines()[0]})"
            raise MmnetError(f"{path}: {reason}") from None
    operations = dict(Counter(node.op for node in graph_def.node).most_common())
    session = tf.Session(graph=graph, config=session_config(device))
    return Predictor(
        lambda batch: session.run(output, {images: batch}),
        card._replace(sha256=sha256, operations=operations, **graph_complexity(graph)),
        source=path,
        batch_size=batch_size,
        release=session.close,
        process=os.getpid(),
    )


def _describe_graph(path: str, graph_def: Any) -> Card:
    """Return a Card with the input shape, preprocess and output type of a graph."""
    nodes = {node.name: node for node in graph_def.node}
    if INPUT not in nodes or OUTPUT not in nodes:
        raise MmnetError(f"{path}: has no node {INPUT} or no node {OUTPUT}")
    shape = [int(side.size) for side in nodes[INPUT].attr["shape"].shape.dim]
    if len(shape) != 4 or min(shape[1:]) < 1:
        raise MmnetError(f"{path}: {INPUT} has the shape {shape}, expected [1,H,W,C]")
    network = Network(width_multiplier=None, shape=(shape[1], shape[2]), channels=shape[3])
    preprocess = "inside" if PREPROCESS in nodes else "outside"
    return Card(network, preprocess, OUTPUT_OPERATIONS.get(nodes[OUTPUT].op, "logits"))
