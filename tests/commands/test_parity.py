"""Tests of mmnet parity."""

import json
import os

import numpy as np
import pytest

from helpers import SMALL, SMALL_FLAGS, assert_message, assert_raises
from helpers.models import swapped_channels
from helpers.results import write_results
from mmnet.commands.parity import compare_models, format_rows, open_model
from mmnet.datasets.pairs import read_pair
from mmnet.export.export import EXACT
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.inference.tensorflow import open_frozen
from mmnet.io.errors import MmnetError


@pytest.fixture(scope="module")
def models(exported_models, small_weights, tmp_path_factory):
    """Paths of a correct .pb, and of one with the channels of its classifier swapped."""
    folder = tmp_path_factory.mktemp("models")
    good, swapped = folder / "good.pb", folder / "swapped.pb"
    with open(exported_models.path("frozen.pb"), "rb") as file:
        good.write_bytes(file.read())
    swapped.write_bytes(swapped_channels(SMALL, small_weights.values).SerializeToString())
    return str(good), str(swapped)


@pytest.fixture
def command(small_weights, portraits):
    source = ["--checkpoint_path", small_weights.source, "--dataset_path", portraits]
    return ["parity", *source, *SMALL_FLAGS]


def test_compare_models_measures_alphas_and_scores(models, portrait_set, small_predictor):
    good, swapped = models
    predictors = {path: open_frozen(path, EXACT) for path in models}
    rows = list(compare_models(small_predictor, predictors, portrait_set, 4))
    checkpoint, right, wrong = rows
    assert (checkpoint.model, checkpoint.precision) == (small_predictor.source, None)
    assert checkpoint.largest_difference == 0
    assert (right.model, right.precision, right.problem) == (good, "float32", None)
    assert right.largest_difference < 1e-5 and right.bytes == os.path.getsize(good)
    assert right.operations > 10
    assert wrong.problem and wrong.largest_difference > 0.1
    assert 0 < wrong.mean_difference < wrong.largest_difference

    for metric, score in wrong.scores.items():
        assert checkpoint.scores[metric].difference == 0 != score.difference
        low, high = score.interval
        assert low <= score.difference <= high
        mean = checkpoint.scores[metric].mean + score.difference
        assert score.mean == pytest.approx(mean, abs=1e-6)
    lines = format_rows(rows).splitlines()
    assert len(lines) == 4
    assert_message(lines[2], "good.pb", right.bytes, right.operations)


def test_model_with_nan_is_not_accepted(models, portrait_set, small_predictor):
    card = Card(SMALL, precision="int8")
    nan = Predictor(lambda images: np.full((*images.shape[:3], 1), np.nan, "f"), card)
    with assert_raises(MmnetError, "nan"):
        list(compare_models(small_predictor, {models[0]: nan}, portrait_set, 8))


def test_open_model_refuses_another_shape(models, portrait_set):
    network = SMALL._replace(shape=(64, 96))
    with assert_raises(MmnetError, models[0], "64x64", "64x96"):
        open_model(models[0], portrait_set, network, "alpha")


def test_parity_compares_results_of_msame(
    run, run_json, command, portrait_set, small_predictor, tmp_path
):
    alphas = {
        pair.stem: small_predictor.run_image(read_pair(pair)[0]) for pair in portrait_set.pairs
    }
    folder = tmp_path / "20260101_000000"
    write_results(folder, alphas, dtype=np.float16)  # an .om model writes float16
    command = [*command, str(tmp_path)]
    row = run_json(*command)[1]
    assert 0 < row["mean_difference"] <= row["largest_difference"] < 1e-3
    assert (row["precision"], row["bytes"], row["operations"]) == ("float16", None, None)

    result = folder / f"{portrait_set.pairs[0].stem}_output_0.bin"
    np.fromfile(str(result), np.float16)[::-1].tofile(str(result))
    assert run(*command)[0] == 1
    result.unlink()
    code, _, err = run(*command)
    assert code == 2
    assert_message(err, "1 missing", result.name)


def test_parity_prints_table_or_json(run, command, models, small_weights):
    good, swapped = models
    code, out, err = run(*command, good)
    assert (code, err) == (0, "")
    assert_message(out, small_weights.source, "6 images", "good.pb", "95 % interval")
    code, out, _ = run(*command, good, swapped)
    assert code == 1
    assert_message(out.splitlines()[-1], swapped)
    code, out, _ = run(*command, "--json", good, swapped)
    assert code == 1
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["model"] for row in rows] == [small_weights.source, good, swapped]
    assert [row["problem"] is None for row in rows] == [True, True, False]
    assert set(rows[1]["scores"]["mad"]) == {"mean", "difference", "interval"}


@pytest.mark.parametrize(
    "arguments, tokens",
    [
        pytest.param(["none.onnx"], ["none.onnx"], id="missing model"),
        pytest.param([], ["MODELS"], id="no model"),
        pytest.param(["GOOD", "--size", "96"], ["good.pb", "64x64", "96x96"], id="other size"),
    ],
)
def test_parity_reports_bad_input(assert_refused, command, models, arguments, tokens):
    arguments = [models[0] if word == "GOOD" else word for word in arguments]
    assert_refused([*command, *arguments], *tokens)
