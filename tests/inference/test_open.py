"""A trained network, whatever it lies in."""

import json
import os
import shutil

import numpy as np
import pytest

from helpers import SMALL
from helpers.lively import need_onnx
from mmnet import cli
from mmnet.evaluation.evaluate import evaluate
from mmnet.inference.open import load_weights, open_predictor
from mmnet.io import checkpoint_files
from mmnet.networks.network import Network

WANTED = {"width_multiplier": 0.25, "shape": (64, 64)}
OUTSIDE = ["outside.pb", "outside", "outside.tflite"]


@pytest.mark.parametrize("name", OUTSIDE + ["outside.onnx"])
def test_every_kind_of_file_is_the_same_predictor(delivered, lively_images, lively_predictor, name):
    if name.endswith(".onnx"):
        need_onnx()
    else:
        delivered(*OUTSIDE)
    model = open_predictor(delivered.path(name))
    assert (model.network.shape, model.card.preprocess) == (SMALL.shape, "outside")
    assert (model.card.output_type, model.precision) == ("probabilities", "float32")
    expected = lively_predictor(lively_images)
    np.testing.assert_allclose(model(lively_images), expected, atol=1e-4)


def test_a_checkpoint(lively_weights, lively_images, lively_predictor):
    folder = os.path.dirname(lively_weights.source)
    model = open_predictor(folder, WANTED)
    assert model.network == SMALL
    assert (model.source, model.step, model.batch) == (lively_weights.source, 5, None)
    assert model.sha256 == checkpoint_files.index_sha256(lively_weights.source)
    np.testing.assert_allclose(model(lively_images), lively_predictor(lively_images), atol=1e-5)


def test_untrained():
    model = open_predictor("untrained", WANTED)
    assert (model.network, model.source, model.step, model.sha256) == (SMALL, None, None, None)


@pytest.fixture
def run_folder(lively_weights, tmp_path):
    for path in checkpoint_files.files_of(lively_weights.source):
        shutil.copy(path, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "said",
    [
        "width_multiplier: 0.25\nsize: 64\n",
        "network: mmnet\nwidth_multiplier: .25\nshape: [64, 96]",
    ],
)
def test_a_checkpoint_is_what_its_run_says(run_folder, said):
    """The first as version 0.1 wrote it. Flags speak before it."""
    (run_folder / "config.yaml").write_text(said)
    shape = (64, 96) if "shape" in said else (64, 64)
    assert load_weights(str(run_folder)).network == SMALL._replace(shape=shape)
    assert load_weights(str(run_folder), {"shape": (96, 32)}).network.shape == (96, 32)
    assert load_weights(str(run_folder), {"width_multiplier": 2}).network.width_multiplier == 2
    (run_folder / "config.yaml").unlink()
    assert load_weights(str(run_folder)).network == Network()


def test_sources_that_do_not_open(delivered, tmp_path):
    """What each kind of file says of itself is tested with its module."""
    for name in ("none.pb", "none.tflite", "none.onnx"):
        with pytest.raises(FileNotFoundError, match="no model .*%s" % name):
            open_predictor(str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match=r"no checkpoint \(\*.index\)"):
        open_predictor(str(tmp_path))
    (tmp_path / "a.bin").write_text("x")
    with pytest.raises(FileNotFoundError, match="a.bin: no checkpoint; give a prefix"):
        open_predictor(str(tmp_path / "a.bin"))
    (tmp_path / "saved_model.pb").write_text("no SavedModel")
    with pytest.raises(ValueError, match="is not a SavedModel with input_x and output"):
        open_predictor(str(tmp_path))
    with pytest.raises(ValueError, match="frozen.pb takes pictures of 64x64, not 64x96"):
        open_predictor(delivered.path("frozen.pb"), {"shape": [64, 96]})


def test_evaluate_and_predict_with_a_model(
    delivered, lively_predictor, portraits, portrait_set, tmp_path, capsys
):
    model = delivered.path("mmnet.tflite")
    evaluating = ["evaluate", "--dataset_path", portraits, "--model", model]
    assert cli.main(evaluating + ["--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    evaluation = evaluate(lively_predictor, portrait_set)
    expected = evaluation.scores["mad", "network"].mean()
    assert scores["MAD/test"] == pytest.approx(expected, abs=1e-5)
    assert (scores["checkpoint"], scores["pictures"]) == (model, 6)
    assert not os.path.exists(os.path.join(os.path.dirname(model), "eval"))  # printed only
    scored = tmp_path / "scored"
    assert cli.main(evaluating + ["--output", str(scored), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["MAD/test"] == scores["MAD/test"]
    assert [name for _, _, names in os.walk(str(scored)) for name in names]
    photo, cut = portrait_set.pairs[0].image, str(tmp_path / "cut")
    assert cli.main(["predict", photo, "--model", model, "--output", cut]) == 0
    assert len(os.listdir(cut)) == 2
    capsys.readouterr()
    for flags, said in (
        (["--size", "128"], "takes pictures of 64x64, not 128x128"),
        (["--shape", "64", "96"], "takes pictures of 64x64, not 64x96"),
        (["--use_ema"], "--use_ema is for a checkpoint, not for"),
    ):
        assert cli.main(evaluating + flags) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error


def test_alphas_beyond_0_and_1_by_rounding_are_brought_back():
    from mmnet.inference.predictor import clip_rounding

    alphas = np.array([-1e-6, 0.5, 1 + 1.2e-7], np.float32)
    np.testing.assert_array_equal(clip_rounding(alphas), np.float32([0, 0.5, 1]))
    for wrong in (1.01, -0.01, np.nan):
        alphas = np.array([0.5, wrong], np.float32)
        np.testing.assert_array_equal(clip_rounding(alphas), alphas)
    assert clip_rounding(np.zeros((0, 4, 4), np.float32)).shape == (0, 4, 4)
