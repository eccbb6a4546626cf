"""Tests of mmnet.evaluation.records."""

import json
import os

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.results import make_identity
from mmnet.datasets.pairs import Dataset, Pair
from mmnet.evaluation.evaluate import Evaluation, Prediction, Sample
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
from mmnet.io.checkpoint_files import list_checkpoints, step_of
from mmnet.io.errors import MmnetError
from mmnet.io.tar_shards import Shard

IDENTITY = make_identity()
DATASET = Dataset("/data/faces", "test", [Pair("a", "a.jpg", "a.png"), Pair("b", "b.jpg", "b.png")])
SOURCE = "/runs/a/MMNetModel-5"


def make_evaluation(dataset=DATASET, mads=(0.25, 0.5)):
    keys = [("mad", "network"), ("gauss_grad", "network"), ("mad", "target"), ("miou", "target")]
    scores = {key: np.array(mads) for key in keys}
    black = np.zeros((4, 4), np.float32)
    sample = Sample(np.zeros((4, 4, 3), np.float32), black, black, np.zeros((4, 4, 3), np.uint8))
    shapes = {"network": (64, 96), "target": (8, 6)}
    return Evaluation(dataset, SOURCE, 5, shapes, scores, 1.5, [Prediction(sample, black, 0.1)])


@pytest.fixture
def output(tmp_path):
    """Folder with the record of ``make_evaluation()``."""
    write_evaluation(make_evaluation(), str(tmp_path), IDENTITY)
    return str(tmp_path)


@pytest.mark.parametrize(
    "source, name",
    [(SOURCE, "MMNetModel-5.json"), ("saved/", "saved.json"), (None, "untrained.json")],
)
def test_record_path(source, name):
    path = record_path("/out", DATASET, (800, 600), source)
    assert path == f"/out/eval/faces-test-800x600/{name}"


def test_record_returns_the_evaluation(output):
    evaluation = read_evaluation(output, DATASET, SOURCE, IDENTITY)
    expected = make_evaluation()
    assert published_scores(evaluation) == published_scores(expected)
    assert evaluation.shapes == expected.shapes
    assert list(evaluation.scores) == list(expected.scores)
    for key, values in expected.scores.items():
        np.testing.assert_array_equal(evaluation.scores[key], values)


def test_record_holds_scores_per_image(output):
    with open(record_path(output, DATASET, (8, 6), SOURCE)) as file:
        record = json.load(file)
    assert record["stems"] == ["a", "b"]
    assert record["image_scores"]["MAD/test"] == [0.25, 0.5]
    assert record["scores"]["MAD/test/8_6"] == 0.375


@pytest.mark.parametrize("field", IDENTITY._fields)
def test_record_with_another_identity_is_outdated(output, field):
    value = getattr(IDENTITY, field)
    others = {bool: not value, list: [8, 7], dict: {"name": "modnet", "shape": [64, 96]}}
    other = IDENTITY._replace(**{field: others.get(type(value), "other")})
    assert read_evaluation(output, DATASET, SOURCE, other) is None


def test_missing_record_is_none(tmp_path):
    assert read_evaluation(str(tmp_path), DATASET, SOURCE, IDENTITY) is None


def cut(record):
    return json.dumps(record)[:60]


def without_stems(record):
    """Return a record of 0.2, which has no scores per image."""
    return json.dumps({name: record[name] for name in ("identity", "scores")})


def with_other_stems(record):
    return json.dumps(dict(record, stems=["a", "c"]))


def with_short_list(record):
    return json.dumps(dict(record, image_scores=dict(record["image_scores"], **{"MAD/test": [0]})))


def with_unknown_score(record):
    return json.dumps(dict(record, image_scores=dict(record["image_scores"], PSNR=[1, 2])))


def with_text(record):
    return json.dumps(dict(record, image_scores={"MAD/test": ["low", "high"]}))


@pytest.mark.parametrize(
    "damage", [cut, without_stems, with_other_stems, with_short_list, with_unknown_score, with_text]
)
def test_damaged_record_is_none_with_a_warning(output, caplog, damage):
    path = record_path(output, DATASET, (8, 6), SOURCE)
    with open(path) as file:
        record = json.load(file)
    with open(path, "w") as file:
        file.write(damage(record))
    assert read_evaluation(output, DATASET, SOURCE, IDENTITY) is None
    (warning,) = caplog.records
    assert warning.levelname == "WARNING" and "\n" not in warning.getMessage()
    assert_message(warning.getMessage(), path, "damaged")


def test_merge_shards_restores_the_order(tmp_path):
    paths = [str(tmp_path / f"{stem}.jpg") for stem in "abcdefgh"]
    for path in paths:
        (tmp_path / path).write_text("image")
    dataset = Dataset("faces", "test", [Pair(path[-5], path, None) for path in paths])
    for index in range(2):
        with assert_raises(MmnetError, "shard", tmp_path, f"{index}/2"):
            merge_shards(str(tmp_path), dataset, SOURCE, IDENTITY, count=2)
        part = dataset.select_shard(Shard(index, 2))
        assert 0 < len(part) < 8
        identity = IDENTITY._replace(pictures=part.fingerprint)
        evaluation = make_evaluation(part, [ord(pair.stem) for pair in part.pairs])
        write_evaluation(evaluation, str(tmp_path), identity)
    evaluation = merge_shards(str(tmp_path), dataset, SOURCE, IDENTITY, count=2)
    assert evaluation.dataset is dataset
    for values in evaluation.scores.values():
        assert values.tolist() == [ord(stem) for stem in "abcdefgh"]


def write_checkpoint(folder, step, *, run_file=False):
    """Write files with the names of a checkpoint. Return its prefix."""
    folder.mkdir(exist_ok=True)
    for suffix in (".data-00000-of-00001", ".index"):
        (folder / f"MMNetModel-{step}{suffix}").write_text(str(step))
    if run_file:
        (folder / "config.yaml").write_text("size: 64\n")
    return str(folder / f"MMNetModel-{step}")


def make_best(step, score, pictures="def"):
    return Best(score, f"/runs/a/MMNetModel-{step}", pictures)


def steps_in(folder):
    return [step_of(prefix) for prefix in list_checkpoints(str(folder))]


@pytest.mark.parametrize(
    "higher_is_better, expected_steps", [(False, [1, 1, 3, 3]), (True, [1, 2, 2, 2])]
)
def test_keep_best_keeps_the_better_checkpoint(tmp_path, higher_is_better, expected_steps):
    best = tmp_path / "best"
    for step, score in enumerate((0.5, 0.6, 0.4, 0.4), 1):
        copy = write_checkpoint(tmp_path / "copies", step, run_file=True)
        keep_best(str(best), make_best(step, score), copy, higher_is_better=higher_is_better)
        expected = expected_steps[step - 1]
        assert steps_in(best) == [expected]
    assert read_best(str(best / "score.json")).checkpoint.endswith(f"-{expected}")
    assert sorted(os.listdir(str(best))) == [
        f"MMNetModel-{expected}.data-00000-of-00001",
        f"MMNetModel-{expected}.index",
        "checkpoint",
        "config.yaml",
        "score.json",
    ]


def test_keep_best_leaves_best_of_other_images(tmp_path, caplog):
    best = tmp_path / "best"
    for step, pictures in ((1, "def"), (2, "other")):
        copy = write_checkpoint(tmp_path / "copies", step)
        keep_best(str(best), make_best(step, 1 / step, pictures), copy, higher_is_better=False)
    assert steps_in(best) == [1]
    assert_message(caplog.text, best, "other images")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"score": "high", "checkpoint": "x"}'])
def test_keep_best_replaces_damaged_score(tmp_path, caplog, text):
    best = tmp_path / "best"
    copy = write_checkpoint(tmp_path / "copies", 1)
    keep_best(str(best), make_best(1, 0.5), copy, higher_is_better=False)
    (best / "score.json").write_text(text)
    assert read_best(str(best / "score.json")) is None
    assert_message(caplog.text, best / "score.json", "damaged")
    copy = write_checkpoint(tmp_path / "copies", 2)
    keep_best(str(best), make_best(2, 0.9), copy, higher_is_better=False)
    assert steps_in(best) == [2]
    assert read_best(str(best / "score.json")) == make_best(2, 0.9)


def test_missing_best_is_none(tmp_path):
    assert read_best(str(tmp_path / "score.json")) is None
