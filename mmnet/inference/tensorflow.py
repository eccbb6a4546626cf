"""Open frozen graphs (.pb) and SavedModels as Predictors."""

import hashlib
import itertools
import os
from collections import Counter
from typing import Any, Dict

from mmnet.inference.card import Card, check_own_card, model_sha256
from mmnet.inference.complexity import graph_complexity
from mmnet.inference.predictor import Predictor
from mmnet.inference.signature import Arrays, Tensor, TensorModel, cast
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
    graph_def = _parse_graph(path, data)
    return _open_graph(path, graph_def, hashlib.sha256(data).hexdigest(), device, batch_size)


def open_savedmodel(path: str, device: Device = Device(), batch_size: int = 1) -> Predictor:
    """Open a SavedModel of ``mmnet export``: a folder with saved_model.pb."""
    sha256 = model_sha256(path)
    check_own_card(path, sha256)
    session, _ = _load_savedmodel(path, device)
    with session:
        graph_def = session.graph.as_graph_def()
    return _open_graph(path, graph_def, sha256, device, batch_size)


def load_frozen(path: str, data: bytes, device: Device = Device()) -> TensorModel:
    """Load a frozen graph of any project."""
    graph_def = _parse_graph(path, data)
    session = tf.Session(graph=tf.Graph(), config=session_config(device))
    with session.graph.as_default():
        try:
            tf.import_graph_def(graph_def, name="")
        except (ValueError, tf.errors.OpError) as error:
            session.close()
            raise MmnetError(f"{path}: {str(error).splitlines()[0]}") from None
    used = {name.partition(":")[0].lstrip("^") for node in graph_def.node for name in node.input}
    operations = [operation for operation in session.graph.get_operations() if operation.outputs]
    inputs = [operation.name for operation in operations if operation.type == "Placeholder"]
    outputs = [
        operation.name
        for operation in operations
        if operation.type not in ("Placeholder", "Const") and operation.name not in used
    ]
    return _make_model(
        session, {name: f"{name}:0" for name in inputs}, {name: f"{name}:0" for name in outputs}
    )


def load_savedmodel(path: str, data: bytes, device: Device = Device()) -> TensorModel:
    """Load a SavedModel of any project. Its inputs and outputs are those of its signature."""
    session, meta_graph = _load_savedmodel(path, device)
    signatures = meta_graph.signature_def
    key = tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if key not in signatures:
        raise MmnetError(f"{path}: has no signature {key}")
    inputs = {name: info.name for name, info in sorted(signatures[key].inputs.items())}
    outputs = {name: info.name for name, info in sorted(signatures[key].outputs.items())}
    return _make_model(session, inputs, outputs)


def _make_model(session, inputs, outputs):
    """Return the TensorModel of a session. inputs, outputs: name -> name of the tensor."""
    get_tensor = session.graph.get_tensor_by_name
    input_tensors = {name: get_tensor(tensor) for name, tensor in inputs.items()}
    output_tensors = {name: get_tensor(tensor) for name, tensor in outputs.items()}

    def run(arrays: Arrays) -> Arrays:
        feed = {
            input_tensors[name]: cast(array, input_tensors[name].dtype.as_numpy_dtype)
            for name, array in arrays.items()
        }
        return session.run(output_tensors, feed)

    return TensorModel(
        tuple(itertools.starmap(_describe_tensor, input_tensors.items())),
        tuple(itertools.starmap(_describe_tensor, output_tensors.items())),
        run,
        release=session.close,
        process=os.getpid(),
        facts={"operations": count_operations(session.graph.as_graph_def())},
    )


def _describe_tensor(name, tensor):
    lengths = tensor.shape.as_list() if tensor.shape.rank is not None else ()
    return Tensor(name, tuple(lengths), tensor.dtype.as_numpy_dtype.__name__)


def count_operations(graph_def: Any) -> Dict[str, int]:
    """Return the operations of a graph: type -> count."""
    return dict(Counter(node.op for node in graph_def.node).most_common())


def _parse_graph(path, data):
    graph_def = tf.GraphDef()
    try:
        graph_def.ParseFromString(data)
    except Exception as error:  # protobuf raises other classes on other versions
        raise MmnetError(f"{path}: not a frozen graph ({type(error).__name__}: {error})") from None
    return graph_def


def _load_savedmodel(path, device):
    """Return a session with a SavedModel, and its description."""
    tags = [tf.saved_model.tag_constants.SERVING]
    session = tf.Session(graph=tf.Graph(), config=session_config(device))
    try:
        with session.graph.as_default():
            return session, tf.saved_model.load(session, tags, path)
    except Exception as error:  # TensorFlow raises other classes on other versions
        session.close()
        reason = str(error).splitlines()[0]
        raise MmnetError(f"{path}: not a SavedModel ({type(error).__name__}: {reason})") from None


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
        except (ValueError, tf.errors.OpError) as error:
            reason = f"TensorFlow {tf.__version__} cannot load it ({str(error).splitlines()[0]})"
            raise MmnetError(f"{path}: {reason}") from None
    operations = count_operations(graph_def)
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
        raise MmnetError(f"{path}: has no node {INPUT} or no node {OUTPUT}; see mmnet card")
    shape = [int(side.size) for side in nodes[INPUT].attr["shape"].shape.dim]
    if len(shape) != 4 or min(shape[1:]) < 1:
        raise MmnetError(f"{path}: {INPUT} has the shape {shape}, expected [1,H,W,C]")
    network = Network(width_multiplier=None, shape=(shape[1], shape[2]), channels=shape[3])
    preprocess = "inside" if PREPROCESS in nodes else "outside"
    return Card(network, preprocess, OUTPUT_OPERATIONS.get(nodes[OUTPUT].op, "logits"))
