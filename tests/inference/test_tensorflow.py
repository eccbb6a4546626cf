"""Tests of mmnet.inference.tensorflow."""

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from mmnet.inference.tensorflow import open_frozen, open_savedmodel
from mmnet.io.errors import MmnetError
from mmnet.networks.inference_graph import OUTPUT_TYPES
from mmnet.tf.compat import tf
from mmnet.tf.device import Device


@pytest.fixture(scope="module")
def noise():
    random = np.random.RandomState(0)
    return random.uniform(0, 255, (3,) + SMALL.shape + (3,)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(small_predictor, noise):
    return small_predictor(noise)


@pytest.mark.parametrize("preprocess", ["inside", "outside"])
@pytest.mark.parametrize("output_type", OUTPUT_TYPES)
def test_frozen_graph_equals_its_checkpoint(
    graph_of, noise, expected, tmp_path, preprocess, output_type
):
    path = tmp_path / "some model.pb"
    path.write_bytes(graph_of(preprocess, output_type).SerializeToString())
    model = open_frozen(str(path))
    card = model.card
    assert model.network.shape == SMALL.shape
    assert (card.preprocess, card.output_type) == (preprocess, output_type)
    alphas = model(noise)
    assert alphas.shape == (3,) + SMALL.shape
    # TensorFlow folds constants, which rounds.
    np.testing.assert_allclose(alphas, expected, atol=1e-5)


def test_open_frozen_describes_the_model(exported_models):
    card = exported_models("frozen.pb")[0]
    model = open_frozen(card.path)
    # A graph records everything but the name and the width multiplier of its network.
    assert model.network == SMALL._replace(name="mmnet", width_multiplier=None)
    assert (model.source, model.step, model.sha256) == (card.path, None, card.sha256)
    assert (model.precision, model.batch_size) == ("float32", 1)
    assert model.card.operations == card.operations
    assert model.card.parameters == card.parameters
    assert model.card.multiply_adds == card.multiply_adds


def test_open_savedmodel_describes_the_model(exported_models):
    card, saved, folded = exported_models("frozen.pb", "savedmodel", "outside.pb")
    model = open_savedmodel(saved.path)
    assert model.network == open_frozen(card.path).network
    assert (model.source, model.sha256) == (saved.path, saved.sha256)
    assert model.card.parameters == saved.parameters
    assert model.card.multiply_adds == saved.multiply_adds
    # Folding replaces the four values of batch norm per channel by one.
    assert folded.parameters < card.parameters


@pytest.mark.parametrize("name", ["frozen.pb", "savedmodel"])
def test_batches_do_not_change_alphas(exported_models, small_images, name):
    open_model = open_frozen if name.endswith(".pb") else open_savedmodel
    single = open_model(exported_models.path(name), Device(exact=True))
    batched = open_model(exported_models.path(name), Device(exact=True, threads=1), batch_size=2)
    assert (single.batch_size, batched.batch_size) == (1, 2)
    assert single.card.parameters == batched.card.parameters
    assert single.card.multiply_adds == batched.card.multiply_adds
    np.testing.assert_allclose(batched(small_images), single(small_images), atol=1e-6)


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
