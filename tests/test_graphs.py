import numpy as np
import pytest

from conftest import SMALL
from mmnet.compat import tf
from mmnet.delivery import graphs
from mmnet.delivery.predictor import CheckpointPredictor

SIZE = SMALL["size"]


@pytest.fixture(scope="module")
def values():
    """Of the small network, with statistics and scales that a dropped or swapped batch norm would show."""
    random = np.random.RandomState(0)
    values = CheckpointPredictor(SMALL["width_multiplier"], SIZE).values()
    return {name: value if name.endswith(("weights", "biases")) else
            random.uniform(0.5, 1.5, value.shape).astype(np.float32) for name, value in values.items()}


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(1).uniform(0, 255, (1, SIZE, SIZE, 3)).astype(np.float32)


def run(graph_def, images):
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    with tf.Session(graph=graph) as session:
        return session.run("output:0", {"input_x:0": images})


def test_names_shapes_and_nothing_of_training(values):
    graph_def = graphs.inference_graph(values, SMALL["width_multiplier"], SIZE)
    nodes = {node.name: node for node in graph_def.node}
    ops = {node.op for node in graph_def.node}
    assert [dim.size for dim in nodes["input_x"].attr["shape"].shape.dim] == [1, SIZE, SIZE, 3]
    assert nodes["output"].op == "Softmax"
    assert not ops & {"VariableV2", "Variable", "VarHandleOp", "Assign", "SpaceToBatchND", "BatchToSpaceND", "Identity"}
    assert not any("aux_block" in name for name in nodes)  # the auxiliary classifier is for training only
    with_variables = graphs.inference_graph(None, SMALL["width_multiplier"], SIZE)
    assert len(values) - 2 == sum(node.op == "VariableV2" for node in with_variables.node)  # but aux_block's two


def test_output_types_and_preprocess(values, images):
    probabilities = run(graphs.inference_graph(values, SMALL["width_multiplier"], SIZE), images)
    assert probabilities.shape == (1, SIZE, SIZE, 2)
    np.testing.assert_allclose(probabilities.sum(axis=3), 1, atol=1e-6)
    alpha = run(graphs.inference_graph(values, SMALL["width_multiplier"], SIZE, output_type="alpha"), images)
    assert alpha.shape == (1, SIZE, SIZE, 1)
    np.testing.assert_allclose(alpha[..., 0], probabilities[..., 1], atol=1e-5)  # rounding, twice
    logits = run(graphs.inference_graph(values, SMALL["width_multiplier"], SIZE, "outside", "logits"), images / 255)
    np.testing.assert_allclose(1 / (1 + np.exp(logits[..., 0] - logits[..., 1])), probabilities[..., 1], atol=1e-5)


def test_folded_batch_norm_is_gone_and_changes_nothing(values, images):
    graph_def = graphs.inference_graph(values, SMALL["width_multiplier"], SIZE, output_type="logits")
    folded = graphs.fold_batch_norm(graph_def)
    ops = [node.op for node in folded.node]
    assert not any(op.startswith("FusedBatchNorm") for op in ops)
    assert ops.count("BiasAdd") == sum(node.op.startswith("FusedBatchNorm") for node in graph_def.node) == 105
    assert not any("moving" in node.name or "gamma" in node.name for node in folded.node)
    before = run(graph_def, images)
    np.testing.assert_allclose(run(folded, images), before, atol=1e-5 * np.abs(before).max())  # weights rounded again


def test_a_value_that_is_missing(values):
    with pytest.raises(KeyError, match="init_block/conv/weights"):
        graphs.inference_graph({name: value for name, value in values.items() if "init_block" not in name},
                               SMALL["width_multiplier"], SIZE)
