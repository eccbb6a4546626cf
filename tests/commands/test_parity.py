import json
import os

import numpy as np
import pytest

from helpers import SMALL, SMALL_FLAGS
from helpers.lively import swapped_channels
from mmnet import cli
from mmnet.commands.parity import parity, parity_text
from mmnet.datasets.pairs import read_pair
from mmnet.evaluation.evaluate import evaluate
from mmnet.evaluation.report import bootstrap_interval
from mmnet.export.comparison import EXACT
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.inference.tensorflow import open_frozen
from mmnet.io.resize import resize_bilinear


@pytest.fixture(scope="module")
def models(delivered, lively_weights, tmp_path_factory):
    """(prefix, path of a .pb that is right, one with the channels of its classifier swapped)."""
    folder = tmp_path_factory.mktemp("models")
    good, swapped = folder / "good.pb", folder / "swapped.pb"
    with open(delivered.path("frozen.pb"), "rb") as file:
        good.write_bytes(file.read())
    swapped.write_bytes(swapped_channels(SMALL, lively_weights.values).SerializeToString())
    return lively_weights.source, str(good), str(swapped)


@pytest.fixture(scope="module")
def opened(models):
    """path -> Predictor"""
    return {path: open_frozen(path, EXACT) for path in models[1:]}


def test_what_is_compared(models, opened, portrait_set, lively_predictor):
    prefix, good, swapped = models
    rows = list(parity(lively_predictor, opened, portrait_set, batch_size=4))
    reference, right, wrong = rows
    assert (reference.model, reference.precision) == (prefix, None)
    assert reference.largest_difference == 0
    assert (right.model, right.precision, right.problem) == (good, "float32", None)
    assert right.largest_difference < 1e-5 and right.bytes == os.path.getsize(good)
    assert right.operations > 100
    assert "up to" in wrong.problem and wrong.largest_difference > 0.1
    assert 0 < wrong.mean_difference < wrong.largest_difference
    scores = [
        evaluate(model, portrait_set, (40, 30)).scores
        for model in (lively_predictor, opened[swapped])
    ]
    for metric in ("mad", "gauss_grad"):
        before, after = (score[metric, "network"] for score in scores)
        assert reference.scores[metric].mean == pytest.approx(before.mean(), abs=1e-9)
        found, difference = wrong.scores[metric], after - before
        assert found.mean == pytest.approx(after.mean(), abs=1e-6)
        assert found.difference == pytest.approx(difference.mean(), abs=1e-6)
        assert found.interval == pytest.approx(bootstrap_interval(difference), abs=1e-6)
    said = parity_text(rows[:2], len(portrait_set))
    assert "6 pictures" in said and "good.pb" in said and "95 % interval" in said
    assert "its alphas" not in said
    said = parity_text(rows, len(portrait_set))
    assert "swapped.pb: its alphas are up to" in said


def test_a_model_of_nan_is_beyond_its_bound(models, portrait_set, lively_predictor):
    """Also where evaluate does not refuse to score it."""
    nan = Predictor(
        lambda images: np.full(images.shape[:3] + (1,), np.nan, "f"), Card(SMALL, precision="int8")
    )
    try:
        rows = list(parity(lively_predictor, {models[1]: nan}, portrait_set))
    except ValueError:  # evaluate may refuse to score it
        return
    assert rows[1].problem


def test_a_model_of_another_shape(portrait_set, lively_predictor):
    other = Predictor(None, Card(SMALL._replace(shape=(64, 96))))
    with pytest.raises(ValueError, match="a.pb takes pictures of 64x96, .* compared at 64x64"):
        next(parity(lively_predictor, {"a.pb": other}, portrait_set))


def test_what_msame_wrote(models, portraits, portrait_set, lively_predictor, tmp_path, capfd):
    """Result files, as float16 as an .om gives them; one of another picture, one missing."""
    prefix, _, _ = models
    folder = tmp_path / "20260101_000000"
    folder.mkdir()
    for pair in portrait_set.pairs:
        image = resize_bilinear(read_pair(pair)[0], SMALL.shape, align_corners=True)
        alpha = lively_predictor(image[None])[0].astype(np.float16)
        both = np.stack([1 - alpha, alpha], axis=-1)
        both.tofile(str(folder / (pair.stem + "_output_0.bin")))
    arguments = ["parity", "--checkpoint_path", prefix, "--dataset_path", portraits, "--json"]
    arguments += [str(tmp_path)] + SMALL_FLAGS
    capfd.readouterr()
    assert cli.main(arguments) == 0
    row = json.loads(capfd.readouterr().out.splitlines()[1])
    assert 0 < row["mean_difference"] <= row["largest_difference"] < 1e-3
    assert (row["precision"], row["bytes"], row["operations"]) == ("float16", None, None)
    other = folder / (portrait_set.pairs[0].stem + "_output_0.bin")
    values = np.fromfile(str(other), np.float16)[::-1]
    values.tofile(str(other))
    assert cli.main(arguments) == 1
    other.unlink()
    assert cli.main(arguments) == 2
    assert "1 missing" in capfd.readouterr().err


def test_the_command(models, portraits, capfd):
    prefix, good, swapped = models
    arguments = ["parity", "--checkpoint_path", prefix, "--dataset_path", portraits] + SMALL_FLAGS
    capfd.readouterr()
    assert cli.main(arguments + [good]) == 0
    out, err = capfd.readouterr()
    assert "6 pictures" in out and "good.pb" in out and "95 % interval" in out and err == ""
    assert cli.main(arguments + ["--json", good, swapped]) == 1
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["model"] for row in rows] == [prefix, good, swapped]
    assert [row["problem"] is None for row in rows] == [True, True, False]
    assert set(rows[1]["scores"]["mad"]) == {"mean", "difference", "interval"}
    assert cli.main(arguments + [good, swapped]) == 1
    assert "swapped.pb: its alphas are up to" in capfd.readouterr().out


@pytest.mark.parametrize(
    "models_given, flags, said",
    [
        (["none.onnx"], SMALL_FLAGS, "no model none.onnx"),
        ([], SMALL_FLAGS, "MODELS"),
        (
            ["GOOD"],
            SMALL_FLAGS[:2] + ["--size", "96"],
            "good.pb takes pictures of 64x64, the checkpoint is compared at 96x96",
        ),
    ],
)
def test_bad_input(models, portraits, capfd, models_given, flags, said):
    given = [models[1] if name == "GOOD" else name for name in models_given]
    arguments = ["parity", "--checkpoint_path", models[0], "--dataset_path", portraits]
    capfd.readouterr()
    try:
        code = cli.main(arguments + flags + given)
    except SystemExit as stop:
        code = stop.code
    out, err = capfd.readouterr()
    assert (code, out) == (2, "") and err.count("\n") == 1 and said.lower() in err.lower()
