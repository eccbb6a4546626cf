"""Tests of mmnet.inference.tensorflow."""

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from mmnet.inference.tensorflow import load_frozen, open_frozen, open_savedmodel
from mmnet.io.errors import MmnetError
from mmnet.networks.inference_graph import OUTPUT_TYPES
from mmnet.tf.compat import tf


@pytest.mark.parametrize("preprocess", ["inside", "outside"])
@pytest.mark.parametrize("output_type", OUTPUT_TYPES)
def test_frozen_graph_equals_its_checkpoint(
    graph_of, small_predictor, tmp_path, preprocess, output_type
):
    random = np.random.RandomState(0)
    noise = random.uniform(0, 255, (3,) + SMALL.shape + (3,)).astype(np.float32)
    path = tmp_path / "some model.pb"
    path.write_bytes(graph_of(preprocess, output_type).SerializeToString())
    model = open_frozen(str(path))
    card = model.card
    assert model.network.shape == SMALL.shape
    assert (card.preprocess, card.output_type) == (preprocess, output_type)
    alphas = model(noise)
    assert alphas.shape == (3,) + SMALL.shape
    # TensorFlow folds constants, which rounds.
    np.testing.assert_allclose(alphas, small_predictor(noise), atol=1e-5)


def test_open_frozen_rejects_other_files(tmp_path):
    with assert_raises(FileNotFoundError, "missing.pb"):
        open_frozen(str(tmp_path / "missing.pb"))
    (tmp_path / "text.pb").write_text("not a graph")
    (tmp_path / "empty.pb").write_bytes(b"")
    with tf.Graph().as_default() as graph:
        tf.identity(tf.placeholder(tf.float32, [1, None, None, 3], name="input_x"), name="output")
    (tmp_path / "shapeless.pb").write_bytes(graph.as_graph_def().SerializeToString())
    for name, token in (("text", "graph"), ("empty", "output"), ("shapeless", "[1,H,W,C]")):
        with assert_raises(MmnetError, f"{name}.pb", token):
            open_frozen(str(tmp_path / f"{name}.pb"))


def test_open_savedmodel_rejects_other_files(tmp_path):
    (tmp_path / "saved_model.pb").write_text("no SavedModel")
    with assert_raises(MmnetError, tmp_path, "SavedModel"):
        open_savedmodel(str(tmp_path))


def test_load_frozen_rejects_an_unknown_operation():
    graph_def = tf.GraphDef()
    graph_def.node.add(name="x", op="OperationOfAnotherProgram")
    with assert_raises(MmnetError, "x.pb", "OperationOfAnotherProgram"):
        load_frozen("x.pb", graph_def.SerializeToString())
