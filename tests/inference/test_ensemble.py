"""Tests of mmnet.inference.ensemble, and of the commands with several sources."""

from pathlib import Path

import numpy as np
import pytest

from helpers import SMALL
from helpers.matting import brightness_predictor, colour_image
from mmnet import load
from mmnet.cli import join_sources
from mmnet.inference.ensemble import ALPHA_LIMIT, make_ensemble
from mmnet.inference.open import open_predictor
from mmnet.weights.source import source_bytes


def test_ensemble_averages_logits_at_the_largest_shape():
    predictors = [brightness_predictor((32, 32)), brightness_predictor((64, 64))]
    predictors[1].run = lambda images: 1 - images.mean(axis=3, keepdims=True) / 255 / 4
    ensemble = make_ensemble(predictors)
    assert ensemble.network.shape == (32, 32)
    alpha = ensemble.run_image(colour_image(50, 40, 51))
    logits = [np.log(0.2 / 0.8), np.log(0.95 / 0.05)]
    assert alpha.shape == (64, 64)
    np.testing.assert_allclose(alpha, 1 / (1 + np.exp(-np.mean(logits))), atol=1e-6)
    assert ensemble(np.zeros((2, 96, 64, 3))).shape == (2, 96, 64)


def test_certain_network_does_not_decide_alone():
    predictors = [brightness_predictor(), brightness_predictor()]
    predictors[1].run = lambda images: np.zeros_like(images[..., :1])
    alpha = make_ensemble(predictors).run_image(colour_image(64, 64, 255))
    np.testing.assert_allclose(alpha, 0.5, atol=1e-3)
    assert 0 < ALPHA_LIMIT < 1e-3


def test_load_accepts_a_list(exported_models, run_folder, small_images, small_predictor):
    model = exported_models.path("mmnet.tflite")
    with load([Path(model), run_folder]) as predictor:
        assert predictor.source.startswith(f"{model} + {run_folder}")
        assert predictor.network.shape == SMALL.shape
        expected = small_predictor(small_images)
        np.testing.assert_allclose(predictor(small_images), expected, atol=1e-4)


def test_networks_of_an_ensemble_keep_their_shape(exported_models, run_folder):
    model = exported_models.path("mmnet.tflite")
    shape = (96, 128)  # of images and alphas
    with open_predictor(f"{run_folder} + {model}", {"shape": shape}) as predictor:
        assert predictor(np.zeros((1, *shape, 3))).shape == (1, *shape)
        assert predictor.run_image(np.zeros((*shape, 3))).shape == SMALL.shape


def test_ensemble_has_the_names_of_its_weights():
    with open_predictor("mmnet-persons + mmnet-fast", batch_size=2) as predictor:
        assert predictor(np.zeros((2, 64, 64, 3))).shape == (2, 64, 64)
        assert predictor.name == "mmnet-persons + mmnet-fast"
        assert source_bytes(predictor.source) > 2 * 800_000


@pytest.mark.parametrize(
    "words, joined",
    [
        (["--checkpoint_path", "untrained", "mmnet-fast"], "untrained + mmnet-fast"),
        (["--model", "untrained", "--json", "mmnet-fast"], "untrained"),
        (["--checkpoint_path", "untrained", "photo.jpg"], "untrained"),
        (["--checkpoint_path", "no", "mmnet-fast"], "no"),
    ],
)
def test_sources_after_the_flag_become_one_value(words, joined):
    assert join_sources("predict", words)[1] == joined


def test_commands_accept_several_sources(
    run, run_json, exported_models, run_folder, portraits, tmp_path
):
    model = exported_models.path("mmnet.tflite")
    sources = ["--checkpoint_path", run_folder, model]
    data = ["--dataset_path", portraits]
    both = run_json("evaluate", *data, *sources, "--output", tmp_path)[0]
    alone = run_json("evaluate", *data, "--checkpoint_path", run_folder)[0]
    assert both["MAD/test"] == pytest.approx(alone["MAD/test"], abs=1e-6)
    row = run_json("parity", " + ".join(sources[1:]), *data, "--checkpoint_path", model)[1]
    assert row["largest_difference"] < 1e-4
    photo = f"{portraits}/test/image/portrait0_0001.jpg"
    for order in ([photo, *sources], [*sources, photo]):
        code, _, error = run("predict", *order, "--output", tmp_path / "alpha.png")
        assert code == 0, error
