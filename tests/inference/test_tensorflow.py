"""Frozen graphs (.pb) and SavedModels as Predictors."""

import numpy as np
import pytest

from helpers import SMALL
from mmnet.inference.tensorflow import open_frozen, open_savedmodel
from mmnet.networks.inference_graph import OUTPUT_TYPES
from mmnet.tf.compat import tf
from mmnet.tf.device import Device


@pytest.fixture(scope="module")
def noise():
    random = np.random.RandomState(0)
    return random.uniform(0, 255, (3,) + SMALL.shape + (3,)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(lively_predictor, noise):
    return lively_predictor(noise)


@pytest.mark.parametrize("preprocess", ["inside", "outside"])
@pytest.mark.parametrize("output_type", OUTPUT_TYPES)
def test_every_kind_of_frozen_graph_is_the_same_predictor(
    graph_of, noise, expected, tmp_path, preprocess, output_type
):
    path = tmp_path / "some model.pb"
    path.write_bytes(graph_of(preprocess, output_type).SerializeToString())
    model = open_frozen(str(path))
    card = model.card
    assert (model.network.shape, card.preprocess, card.output_type) == (
        SMALL.shape,
        preprocess,
        output_type,
    )
    alphas = model(noise)
    assert alphas.shape == (3,) + SMALL.shape
    # TensorFlow folds constants, which rounds.
    np.testing.assert_allclose(alphas, expected, atol=1e-5)


def test_what_it_says_of_itself(delivered, lively_weights):
    """All but the width is read from the graph; of a SavedModel as well."""
    card, folded, saved = delivered("frozen.pb", "outside.pb", "savedmodel")
    model = open_frozen(card.path)
    assert model.network == SMALL._replace(width_multiplier=None)
    assert (model.source, model.step, model.sha256) == (card.path, None, card.sha256)
    assert (model.precision, model.batch) == ("float32", 1)
    assert model.operations == card.operations
    assert model.complexity == (card.parameters, card.multiply_adds)
    saved_model = open_savedmodel(saved.path)
    assert saved_model.network == model.network
    assert (saved_model.source, saved_model.sha256) == (saved.path, saved.sha256)
    assert saved_model.complexity == (saved.parameters, saved.multiply_adds)
    assert folded.parameters < card.parameters  # batch norm's four numbers a channel became one


def test_images_of_another_shape(delivered):
    path = delivered.path("frozen.pb")
    with pytest.raises(ValueError, match=r"takes images \[N,64,64,3\], not \[2, 64, 32, 3\]"):
        open_frozen(path)(np.zeros((2, 64, 32, 3), "f"))


@pytest.mark.parametrize("name", ["frozen.pb", "savedmodel"])
def test_a_batch_gives_what_single_pictures_give(delivered, lively_images, name):
    opener = open_frozen if name.endswith(".pb") else open_savedmodel
    single = opener(delivered.path(name), Device(exact=True))
    batched = opener(delivered.path(name), Device(exact=True, threads=1), batch=2)
    assert (single.batch, batched.batch) == (1, 2)
    assert single.complexity == batched.complexity  # of one picture
    np.testing.assert_allclose(batched(lively_images), single(lively_images), atol=1e-6)


def test_what_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pb"):
        open_frozen(str(tmp_path / "none.pb"))
    (tmp_path / "text.pb").write_text("not a graph")
    (tmp_path / "other.pb").write_bytes(b"")
    with tf.Graph().as_default() as graph:
        tf.identity(tf.placeholder(tf.float32, [1, None, None, 3], name="input_x"), name="output")
    (tmp_path / "sideless.pb").write_bytes(graph.as_graph_def().SerializeToString())
    for name in ("text.pb", "other.pb", "sideless.pb"):
        said = "%s is not a frozen graph with input_x and output" % name
        with pytest.raises(ValueError, match=said):
            open_frozen(str(tmp_path / name))


def test_what_is_no_savedmodel(tmp_path):
    (tmp_path / "saved_model.pb").write_text("no SavedModel")
    with pytest.raises(ValueError, match="is not a SavedModel with input_x and output"):
        open_savedmodel(str(tmp_path))
