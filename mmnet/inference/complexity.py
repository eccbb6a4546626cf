"""Count parameters, multiply-adds and operations of networks and graphs."""

from collections import Counter
from functools import lru_cache
from typing import Any, Dict, Iterable, List, NamedTuple, Optional

import numpy as np

from mmnet.inference.card import Complexity
from mmnet.inference.checkpoints import CheckpointPredictor
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


def count_operations(types: Iterable[str]) -> Dict[str, int]:
    """Return type of operation -> count, the most frequent first."""
    return dict(Counter(types).most_common())


def measure_complexity(graph_def: Any) -> Complexity:
    """Count parameters and multiply-adds of a frozen GraphDef."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    return graph_complexity(graph)


def graph_complexity(graph: Any) -> Complexity:
    """Count parameters and multiply-adds, for one image, of a graph with constant weights.

    A convolution with weights [h,w,in,out] has h x w x in multiply-adds per output value; a
    depthwise convolution has h x w. As in papers, other operations do not count.
    """
    parameters = multiply_adds = 0
    for operation in graph.get_operations():
        if operation.type not in ("Const", "Conv2D", "DepthwiseConv2dNative"):
            continue
        output = operation.outputs[0]
        if operation.type != "Const":
            height, width, channels, _ = operation.inputs[1].shape.as_list()
            per_value = height * width * (channels if operation.type == "Conv2D" else 1)
            multiply_adds += per_value * int(np.prod(output.shape.as_list()[1:]))
        elif output.dtype == tf.float32 and len(output.shape):
            parameters += output.shape.num_elements()
    return Complexity(parameters, multiply_adds)


def model_size(predictor: Predictor) -> ModelSize:
    """Return the size of an opened model. The graph of a checkpoint is built for counting."""
    complexity = predictor.card.complexity
    if isinstance(predictor, CheckpointPredictor):
        complexity = measure_complexity(
            inference_graph(predictor.network, predictor.weights.values)
        )
    parameters, multiply_adds = (None, None) if complexity is None else complexity
    return ModelSize(parameters, multiply_adds, source_bytes(predictor.source))


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
        multiply_adds=measure_complexity(exported).multiply_adds,
    )


def paper_sizes(name: str) -> List[NetworkSize]:
    """Return the sizes of a network, by name, at the width multipliers in its paper."""
    published = find_definition(Network(name)).paper_parameters
    return [network_size(Network(name, width), published[width]) for width in published]
