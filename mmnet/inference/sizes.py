"""Sizes of networks and of opened models: parameters, multiply-adds and bytes."""

from functools import lru_cache
from typing import List, NamedTuple, Optional

from mmnet.inference.checkpoints import CheckpointPredictor
from mmnet.inference.complexity import measure_complexity
from mmnet.inference.predictor import Predictor
from mmnet.networks.inference_graph import inference_graph
from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import Network
from mmnet.networks.registry import build, find_definition, input_shape
from mmnet.tf.compat import tf
from mmnet.weights.source import source_bytes
from mmnet.weights.values import TRAINABLE

SIZE = 256  # side of the input for which the multiply-adds of a network are counted
CHECKPOINT_SCALARS = 3  # in a checkpoint with Adam: the two powers of beta and the global step


class ModelSize(NamedTuple):
    """Size of an opened model."""

    parameters: Optional[int]
    multiply_adds: Optional[int]  # for one image
    bytes: int  # size of all files


class NetworkSize(NamedTuple):
    """Size of a network, independent of its weights."""

    width_multiplier: Optional[float]
    paper_parameters: Optional[float]  # in the paper, in millions
    trainable_parameters: int
    parameters: int  # with the moving statistics of batch norm
    checkpoint_bytes: int  # with the slots of Adam
    multiply_adds: int  # for one image of SIZE


def model_size(predictor: Predictor) -> ModelSize:
    """Return the size of an opened model. The graph of a checkpoint is built for counting."""
    card = predictor.card
    if isinstance(predictor, CheckpointPredictor):
        graph_def = inference_graph(predictor.network, predictor.weights.values)
        card = card._replace(**measure_complexity(graph_def))
    return ModelSize(card.parameters, card.multiply_adds, source_bytes(predictor.source))


@lru_cache(maxsize=None)  # building takes seconds
def network_size(network: Network, paper_parameters: Optional[float] = None) -> NetworkSize:
    """Build a network and count its parameters and multiply-adds."""
    network = network._replace(shape=(SIZE, SIZE))
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, input_shape(network, 1))
        logits = build(network, images, INFERENCE._replace(single_logit=True)).logits
        variables = tf.global_variables()
        sizes = {variable.op.name: variable.shape.num_elements() for variable in variables}
    # The exported graph does not contain the outputs that only training uses.
    exported = tf.graph_util.extract_sub_graph(graph.as_graph_def(), [logits.op.name])
    trainable = sum(size for name, size in sizes.items() if name.endswith(TRAINABLE))
    total = sum(sizes.values())
    return NetworkSize(
        width_multiplier=network.width_multiplier,
        paper_parameters=paper_parameters,
        trainable_parameters=trainable,
        parameters=total,
        checkpoint_bytes=4 * (2 * trainable + total + CHECKPOINT_SCALARS),
        multiply_adds=measure_complexity(exported)["multiply_adds"],
    )


def paper_sizes(name: str) -> List[NetworkSize]:
    """Return the sizes of a network, by name, at the width multipliers in its paper."""
    published = find_definition(Network(name)).paper_parameters
    return [network_size(Network(name, width), published[width]) for width in published]
