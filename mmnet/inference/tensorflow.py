"""Frozen graphs (.pb) and SavedModels as Predictors."""

from mmnet.inference.card import Card, check_own_card, model_sha256
from mmnet.inference.complexity import count_operations, graph_complexity
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.networks.inference_graph import INPUT, OUTPUT
from mmnet.networks.network import Network
from mmnet.networks.registry import PREPROCESS
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, session_config

# The operation ``output`` -> output_type; anything else gives logits.
OUTPUT_OPERATIONS = {"Softmax": "probabilities", "ConcatV2": "probabilities", "Sigmoid": "alpha"}


def open_frozen(path, device=Device(), batch=1):
    """A frozen graph of ``mmnet freeze``; all about it is read from the graph.

    Args:
        batch: pictures a run.

    Raises:
        FileNotFoundError: no such file. ValueError: no GraphDef, or none with ``input_x`` and
            ``output``.
    """
    graph_def = tf.GraphDef()
    data = read_bytes(path)
    try:
        graph_def.ParseFromString(data)
        card = _card_in(graph_def)
    except Exception as error:  # protobuf's DecodeError is not importable under one name
        raise MmnetError(
            "%s is not a frozen graph with %s and %s (%s: %s)"
            % (path, INPUT, OUTPUT, type(error).__name__, error)
        ) from None
    return _open(path, graph_def, card, device, batch)


def open_savedmodel(path, device=Device(), batch=1):
    """A SavedModel of ``mmnet export``: the folder with saved_model.pb in it.

    Raises:
        ValueError: no SavedModel that this TensorFlow loads, or none of ``mmnet export``.
    """
    check_own_card(path)
    serving = [tf.saved_model.tag_constants.SERVING]
    try:
        with tf.Graph().as_default() as graph, tf.Session(config=session_config(device)) as session:
            tf.saved_model.load(session, serving, path)
        graph_def = graph.as_graph_def()  # its weights are inside: the session is not needed
        card = _card_in(graph_def)
    except (
        Exception
    ) as error:  # OSError, RuntimeError, OpError, DecodeError by TensorFlow's version
        raise MmnetError(
            "%s is not a SavedModel with %s and %s (%s: %s)"
            % (path, INPUT, OUTPUT, type(error).__name__, str(error).splitlines()[0])
        ) from None
    return _open(path, graph_def, card, device, batch)


def _card_in(graph_def):
    """What a graph says of itself, as networks.frozen made it; KeyError for other graphs."""
    nodes = {node.name: node for node in graph_def.node}
    sides = [int(side.size) for side in nodes[INPUT].attr["shape"].shape.dim]
    if len(sides) != 4 or min(sides[1:]) < 1:
        raise MmnetError("%s has the shape %s" % (INPUT, sides))
    network = Network(width_multiplier=None, shape=tuple(sides[1:3]), channels=sides[3])
    preprocess = "inside" if PREPROCESS in nodes else "outside"
    return Card(network, preprocess, OUTPUT_OPERATIONS.get(nodes[OUTPUT].op, "logits"))


def _open(path, graph_def, card, device, batch):
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)  # those of one picture
    graph = tf.Graph()
    with graph.as_default():
        shape = (batch,) + card.network.shape + (card.network.channels,)
        x = tf.placeholder(tf.float32, shape)
        try:  # with another placeholder, for the file's own takes one picture
            (y,) = tf.import_graph_def(graph_def, {INPUT + ":0": x}, [OUTPUT + ":0"], name="")
        except ValueError as error:
            raise MmnetError(
                "%s cannot be loaded by TensorFlow %s (%s)"
                % (path, tf.__version__, str(error).splitlines()[0])
            ) from None
    session = tf.Session(graph=graph, config=session_config(device))
    return Predictor(
        lambda images: session.run(y, {x: images}),
        card._replace(sha256=model_sha256(path)),
        source=path,
        operations=count_operations(node.op for node in graph_def.node),
        complexity=graph_complexity(graph),
        batch=batch,
    )
