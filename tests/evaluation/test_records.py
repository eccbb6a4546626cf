"""Tests of mmnet.evaluation.records."""

import csv
import json
import os
import sys

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.results import make_evaluation, make_identity
from helpers.runs import steps_in
from mmnet.datasets.pairs import Dataset, Pair
from mmnet.evaluation.records import (
    Best,
    keep_best,
    merge_shards,
    read_best,
    read_evaluation,
    record_path,
    write_evaluation,
)
from mmnet.evaluation.report import published_scores
from mmnet.io.errors import MmnetError
from mmnet.io.tar_shards import Shard

IDENTITY = make_identity(target_eval_shape=[80, 60])
EVALUATION = make_evaluation([0.25, 0.5])
DATASET, SOURCE = EVALUATION.dataset, EVALUATION.source
SUFFIXES = (".data-00000-of-00001", ".index")


@pytest.fixture
def output(tmp_path):
    """Folder with the record of EVALUATION."""
    write_evaluation(EVALUATION, str(tmp_path), IDENTITY)
    return str(tmp_path)


@pytest.mark.parametrize(
    "source, name", [(SOURCE, "net-5.json"), ("saved/", "saved.json"), (None, "untrained.json")]
)
def test_record_path(source, name):
    path = record_path("/out", DATASET, (800, 600), source)
    assert path == f"/out/eval/faces-test-800x600/{name}"


def test_record_returns_the_evaluation(output):
    evaluation = read_evaluation(output, DATASET, SOURCE, IDENTITY)
    assert published_scores(evaluation) == published_scores(EVALUATION)
    assert evaluation.shapes == EVALUATION.shapes
    assert list(evaluation.scores) == list(EVALUATION.scores)
    for key, values in EVALUATION.scores.items():
        np.testing.assert_array_equal(evaluation.scores[key], values)


def test_write_evaluation_needs_no_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    write_evaluation(EVALUATION, str(tmp_path), IDENTITY)
    path = record_path(str(tmp_path), DATASET, (80, 60), SOURCE)
    names = ["net-5.csv", "net-5.json"]
    assert sorted(os.listdir(os.path.dirname(path))) == names
    assert os.listdir(str(tmp_path / "eval")) == ["faces-test-80x60"]  # no events


def test_csv_has_one_row_per_image(output):
    path = record_path(output, DATASET, (80, 60), SOURCE)
    with open(path[: -len("json")] + "csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a", "b"]
    assert [float(row["MAD/test/80_60"]) for row in rows] == [0.25, 0.5]
    assert list(rows[0])[1:] == [EVALUATION.tag(key) for key in EVALUATION.scores]


def test_csv_holds_undecodable_names(tmp_path):
    evaluation = make_evaluation([0.1], stems=["a,\udcff\n"])
    write_evaluation(evaluation, str(tmp_path), IDENTITY)
    path = record_path(str(tmp_path), evaluation.dataset, (80, 60), SOURCE)
    with open(path[: -len("json")] + "csv", newline="") as file:
        assert list(csv.reader(file))[1][0] == "a,\\udcff\n"


@pytest.mark.parametrize("field", IDENTITY._fields)
def test_record_with_another_identity_is_outdated(output, field):
    value = getattr(IDENTITY, field)
    others = {bool: not value, list: [8, 7], dict: {"name": "modnet", "shape": [64, 96]}}
    other = IDENTITY._replace(**{field: others.get(type(value), "other")})
    assert read_evaluation(output, DATASET, SOURCE, other) is None


def test_missing_files_are_none(tmp_path):
    assert read_evaluation(str(tmp_path), DATASET, SOURCE, IDENTITY) is None
    assert read_best(str(tmp_path / "score.json")) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"stems": ["a", "c"]}, id="other stems"),
        pytest.param({"image_scores": {}}, id="no scores"),
        pytest.param({"image_scores": {"MAD/test": [0]}}, id="short list"),
        pytest.param({"image_scores": {"MAD/test": [0, 1], "PSNR": [1, 2]}}, id="unknown score"),
        pytest.param({"image_scores": {"MAD/test": ["low", "high"]}}, id="text"),
        pytest.param({"stems": None, "image_scores": None}, id="version 0.2"),
        pytest.param(None, id="cut"),
    ],
)
def test_damaged_record_is_none_with_a_warning(output, caplog, changes):
    path = record_path(output, DATASET, (80, 60), SOURCE)
    with open(path) as file:
        record = json.load(file)
    record.update(changes or {})
    text = json.dumps({name: value for name, value in record.items() if value is not None})
    with open(path, "w") as file:
        file.write(text if changes else text[:60])
    assert read_evaluation(output, DATASET, SOURCE, IDENTITY) is None
    (warning,) = caplog.records
    assert warning.levelname == "WARNING" and "\n" not in warning.getMessage()
    assert_message(warning.getMessage(), path, "damaged")


def test_merge_shards_restores_the_order(tmp_path):
    pairs = [Pair(stem, str(tmp_path / f"{stem}.jpg"), None) for stem in "abcdefgh"]
    for pair in pairs:
        (tmp_path / pair.image).write_text("image")
    dataset = Dataset("faces", "test", pairs)
    for index in range(2):
        with assert_raises(MmnetError, "shard", tmp_path, f"{index}/2"):
            merge_shards(str(tmp_path), dataset, SOURCE, IDENTITY, count=2)
        part = dataset.select_shard(Shard(index, 2))
        assert 0 < len(part) < 8
        identity = IDENTITY._replace(pictures=part.fingerprint)
        evaluation = make_evaluation([ord(pair.stem) for pair in part.pairs], dataset=part)
        write_evaluation(evaluation, str(tmp_path), identity)
    evaluation = merge_shards(str(tmp_path), dataset, SOURCE, IDENTITY, count=2)
    assert evaluation.dataset is dataset
    assert evaluation.scores["mad", "target"].tolist() == [ord(stem) for stem in "abcdefgh"]
    written = read_evaluation(str(tmp_path), dataset, SOURCE, IDENTITY)
    assert published_scores(written) == published_scores(evaluation)


def test_merge_shards_names_few_of_many_shards(tmp_path):
    (tmp_path / "a.jpg").write_text("image")
    pairs = [Pair(str(number), str(tmp_path / "a.jpg"), None) for number in range(90)]
    dataset = Dataset("faces", "test", pairs)
    with assert_raises(MmnetError, "shard", "9" * 20, "...") as caught:
        merge_shards(str(tmp_path), dataset, SOURCE, IDENTITY, count=int("9" * 20))
    assert len(str(caught.value)) < 2000


def write_checkpoint(folder, step):
    """Write files with the names of a checkpoint and of its run. Return its prefix."""
    folder.mkdir(exist_ok=True)
    for suffix in SUFFIXES:
        (folder / f"MMNetModel-{step}{suffix}").write_text(str(step))
    (folder / "config.yaml").write_text("size: 64\n")
    return str(folder / f"MMNetModel-{step}")


def make_best(step, score, pictures="def"):
    return Best(score, f"/runs/a/MMNetModel-{step}", pictures)


@pytest.mark.parametrize(
    "higher_is_better, expected_steps", [(False, [1, 1, 3, 3]), (True, [1, 2, 2, 2])]
)
def test_keep_best_keeps_the_better_checkpoint(tmp_path, higher_is_better, expected_steps):
    best = tmp_path / "best"
    for step, score in enumerate((0.5, 0.6, 0.4, 0.4), 1):
        copy = write_checkpoint(tmp_path / "copies", step)
        keep_best(str(best), make_best(step, score), copy, higher_is_better=higher_is_better)
        expected = expected_steps[step - 1]
        assert steps_in(best) == [expected]
    assert read_best(str(best / "score.json")).checkpoint.endswith(f"-{expected}")
    files = {"checkpoint", "config.yaml", "score.json"}
    files |= {f"MMNetModel-{expected}{suffix}" for suffix in SUFFIXES}
    assert set(os.listdir(str(best))) == files


def test_write_evaluation_leaves_best_of_other_images(tmp_path, caplog):
    for step, pictures in ((1, "def"), (2, "other")):
        copy = write_checkpoint(tmp_path / "copies", step)
        evaluation = make_evaluation([1 / step])
        identity = IDENTITY._replace(pictures=pictures)
        write_evaluation(evaluation, str(tmp_path), identity, checkpoint_copy=copy)
    names = [evaluation.tag(key).replace("/", "_") for key in evaluation.scores]
    assert len(names) == 4
    for name in names:
        assert steps_in(tmp_path / "best" / name) == [1]
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert_message(warning.getMessage(), tmp_path / "best", "other images", *names)


def test_keep_best_keeps_checkpoints_of_the_user(tmp_path):
    best = tmp_path / "best"
    best.mkdir()
    write_checkpoint(best, 1)
    copy = write_checkpoint(tmp_path / "copies", 2)
    assert keep_best(str(best), make_best(2, 0.9), copy, higher_is_better=False) is not None
    assert steps_in(best) == [1] and not (best / "score.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"score": "high", "checkpoint": "x"}'])
def test_keep_best_replaces_damaged_score(tmp_path, caplog, text):
    best = tmp_path / "best"
    best.mkdir()
    write_checkpoint(best, 1)
    (best / "score.json").write_text(text)
    assert read_best(str(best / "score.json")) is None
    assert_message(caplog.text, best / "score.json", "damaged")
    copy = write_checkpoint(tmp_path / "copies", 2)
    keep_best(str(best), make_best(2, 0.9), copy, higher_is_better=False)
    assert steps_in(best) == [2]
    assert read_best(str(best / "score.json")) == make_best(2, 0.9)
