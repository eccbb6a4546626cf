import json
import os

import numpy as np
import pytest

from conftest import SMALL
from mmnet import cli
from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import load_pairs, read_pair
from mmnet.delivery import graphs
from mmnet.delivery.models import FrozenPredictor
from mmnet.delivery.parity import parity
from mmnet.delivery.predictor import CheckpointPredictor
from mmnet.scoring.evaluate import evaluate
from mmnet.scoring.report import bootstrap_interval
from test_export import lively

FLAGS = ["--width_multiplier", str(SMALL["width_multiplier"]), "--size", str(SMALL["size"])]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(prefix, path of a .pb that is right, path of one with the channels of its classifier swapped)."""
    predictor, prefix = lively(str(tmp_path_factory.mktemp("a run")))
    values = predictor.values()
    name = "MMNet/final_block/pointwise_conv/weights"
    folder, paths = tmp_path_factory.mktemp("models"), []
    for stem, weights in (("good", values[name]), ("swapped", values[name][..., ::-1])):
        graph_def = graphs.inference_graph(dict(values, **{name: weights}), **SMALL)
        paths.append(str(folder / (stem + ".pb")))
        with open(paths[-1], "wb") as file:
            file.write(graph_def.SerializeToString())
    return (prefix,) + tuple(paths)


def test_what_is_compared(models, portraits):
    prefix, good, swapped = models
    predictor, pairs = CheckpointPredictor.open(prefix, as_written=True, **SMALL), load_pairs(portraits, "test")
    opened = {path: FrozenPredictor(path, as_written=True) for path in (good, swapped)}
    reference, right, wrong = parity(predictor, prefix, pairs, opened, SMALL["size"], batch_size=4)
    assert (reference.model, reference.precision, reference.largest_difference) == (prefix, None, 0)
    assert (right.model, right.precision, right.problem) == (good, "float32", None)
    assert right.largest_difference < 1e-5 and right.bytes == os.path.getsize(good) and right.operations > 100
    assert "up to" in wrong.problem and wrong.largest_difference > 0.1
    assert 0 < wrong.mean_difference < wrong.largest_difference
    scores = [evaluate(model, pairs, SMALL["size"], (40, 30)).scores for model in (predictor, opened[swapped])]
    for metric in ("mad", "gauss_grad"):
        before, after = (score["%s_%d" % (metric, SMALL["size"])] for score in scores)
        assert reference.scores[metric].mean == pytest.approx(before.mean(), abs=1e-9)
        assert wrong.scores[metric].mean == pytest.approx(after.mean(), abs=1e-6)
        assert wrong.scores[metric].difference == pytest.approx((after - before).mean(), abs=1e-6)
        assert wrong.scores[metric].interval == pytest.approx(bootstrap_interval(after - before), abs=1e-6)


def test_a_model_of_nan_is_beyond_its_bound(models, portraits):
    class Nan:
        size, precision, operations = SMALL["size"], "int8", None

        def __call__(self, images):
            return np.full(images.shape[:3], np.nan, np.float32)
    predictor = CheckpointPredictor.open(models[0], as_written=True, **SMALL)
    try:
        rows = list(parity(predictor, models[0], load_pairs(portraits, "test"), {models[1]: Nan()}, SMALL["size"]))
    except ValueError:  # evaluate may refuse to score it
        return
    assert rows[1].problem


def test_what_msame_wrote(models, portraits, tmp_path, capfd):
    """A folder of result files, as float16 as an .om gives them, one of them of another picture."""
    prefix, good, _ = models
    predictor, pairs = CheckpointPredictor.open(prefix, as_written=True, **SMALL), load_pairs(portraits, "test")
    folder = tmp_path / "20260101_000000"
    folder.mkdir()
    for pair in pairs:
        image = resize_bilinear(read_pair(pair)[0], (SMALL["size"],) * 2, align_corners=True)
        alpha = predictor(image[None])[0].astype(np.float16)
        np.stack([1 - alpha, alpha], axis=-1).tofile(str(folder / (pair.stem + "_output_0.bin")))
    arguments = ["parity", "--checkpoint_path", prefix, "--dataset_path", portraits, "--json", str(tmp_path)] + FLAGS
    capfd.readouterr()
    assert cli.main(arguments) == 0
    row = json.loads(capfd.readouterr().out.splitlines()[1])
    assert 0 < row["mean_difference"] <= row["largest_difference"] < 1e-3
    assert (row["precision"], row["bytes"], row["operations"]) == ("float16", None, None)
    other = folder / (pairs[0].stem + "_output_0.bin")
    values = np.fromfile(str(other), np.float16)[::-1]
    values.tofile(str(other))
    assert cli.main(arguments) == 1
    other.unlink()
    assert cli.main(arguments) == 2
    assert "1 missing" in capfd.readouterr().err


def test_the_command(models, portraits, capfd):
    prefix, good, swapped = models
    arguments = ["parity", "--checkpoint_path", prefix, "--dataset_path", portraits] + FLAGS
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


@pytest.mark.parametrize("models_given, flags, said", [
    (["none.onnx"], FLAGS, "no model none.onnx"),
    ([], FLAGS, "MODELS"),
    (["GOOD"], FLAGS[:2] + ["--size", "96"], "takes pictures of 64, the checkpoint is compared at --size 96")])
def test_bad_input(models, portraits, capfd, models_given, flags, said):
    given = [models[1] if name == "GOOD" else name for name in models_given]
    capfd.readouterr()
    try:
        code = cli.main(["parity", "--checkpoint_path", models[0], "--dataset_path", portraits] + flags + given)
    except SystemExit as stop:
        code = stop.code
    out, err = capfd.readouterr()
    assert (code, out) == (2, "") and err.count("\n") == 1 and said.lower() in err.lower()
