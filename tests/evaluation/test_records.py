"""What is kept of scores, and what happens where it was damaged."""

import json
import os

import numpy as np
import pytest

from mmnet.datasets.pairs import Dataset
from mmnet.evaluation.evaluate import Evaluation, Example
from mmnet.evaluation.records import (
    Best,
    Identity,
    keep_best,
    read_best,
    read_scores,
    record_path,
    write_records,
)
from mmnet.evaluation.report import Result, published
from mmnet.io import checkpoint_files

IDENTITY = Identity(
    network={"name": "mmnet"},
    source="abc",
    use_ema=False,
    temperature=1.0,
    as_photos=[False, False, False],
    device=None,
    target_eval_shape=[40, 30],
    all_metrics=False,
    pictures="def",
)
SHAPES = {"network": (64, 96), "target": (40, 30)}
DATA_SET = Dataset("/data/faces", "test", [])


def result_of(source, mad=0.25):
    keys = [("mad", "network"), ("gauss_grad", "network"), ("mad", "target")]
    scores = {key: np.array([mad, mad + 0.1]) for key in keys + [("miou", "target")]}
    return Result(source, 5, ["a", "b"], scores, SHAPES)


def evaluation_of(result):
    grey = np.zeros((4, 4), np.float32)
    example = Example("a", np.zeros((4, 4, 3), np.float32), grey, grey)
    return Evaluation(result.stems, result.scores, result.shapes, 1.5, [example])


@pytest.fixture
def written(tmp_path):
    """(path of a record without its extension, the source it is of, the Result in it)."""
    source = "/runs/a/MMNetModel-5"
    result = result_of(source)
    write_records(result, evaluation_of(result), DATA_SET, str(tmp_path), IDENTITY)
    return record_path(str(tmp_path), DATA_SET, (40, 30), source), source, result


def test_where_records_lie():
    path = record_path("/out", DATA_SET, (800, 600), "/runs/a/MMNetModel-5")
    assert path == "/out/eval/faces-test-800x600/MMNetModel-5"
    assert record_path("/out", DATA_SET, (800, 600), "saved/").endswith("/saved")
    assert record_path("/out", DATA_SET, (800, 600), None).endswith("/untrained")


def test_a_record_comes_back(written):
    path, source, result = written
    read = read_scores(path, source, IDENTITY)
    assert published(read, "test") == published(result, "test")
    assert (read.stems, read.shapes, list(read.scores)) == (
        result.stems,
        result.shapes,
        list(result.scores),
    )
    assert read_scores(path, source, IDENTITY._replace(source="other")) is None
    assert read_scores(path + "0", source, IDENTITY) is None


@pytest.mark.parametrize(
    "suffix, spoil",
    [
        (".json", lambda text: text[:-20]),
        (".json", lambda text: ""),
        (".json", lambda text: "[%s]" % text),
        (".json", lambda text: text.replace('"scores"', '"marks"')),
        (".json", lambda text: json.dumps(dict(json.loads(text), scores=[]))),
        (".json", lambda text: text.replace('"pictures": 2', '"pictures": 3')),
        (".json", lambda text: text.encode("utf-8")[:-1] + b"\xff"),
        (".csv", None),  # gone
        (".csv", lambda text: ""),
        (".csv", lambda text: "\n\n"),
        (".csv", lambda text: text[:-20]),
        (".csv", lambda text: text.rpartition("b,")[0]),
        (".csv", lambda text: "\n".join(line.split(",")[0] for line in text.splitlines())),
        (".csv", lambda text: "\n".join(line[: line.rindex(",")] for line in text.splitlines())),
        (".csv", lambda text: text.replace("mad_64x96", "psnr_64x96")),
        (".csv", lambda text: text.replace("0.25", "much")),
        (".csv", lambda text: text.replace("a,", "a" * 200000 + ",")),
        (".csv", lambda text: text.encode("utf-8") + b"\xff"),
    ],
)
def test_a_damaged_record_counts_as_none(written, caplog, suffix, spoil):
    path, source, _ = written
    if spoil is None:
        os.unlink(path + suffix)
    else:
        with open(path + suffix) as file:
            text = spoil(file.read())
        with open(path + suffix, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode("utf-8"))
    assert read_scores(path, source, IDENTITY) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    said = record.getMessage()
    assert "%s.json is damaged" % path in said and "scored again" in said and "\n" not in said


def write_checkpoint(folder, step, with_run=False):
    """A prefix whose files hold its step."""
    folder.mkdir(exist_ok=True)
    prefix = folder / ("MMNetModel-%d" % step)
    for suffix in (".data-00000-of-00001", ".index"):
        (folder / (prefix.name + suffix)).write_text(str(step))
    if with_run:
        (folder / "config.yaml").write_text("size: 64\n")
    return str(prefix)


def score_of(step, score, pictures="def"):
    return Best(score, "/runs/a/MMNetModel-%d" % step, pictures)


def steps_in(folder):
    prefixes = checkpoint_files.list_checkpoints(str(folder))
    return [checkpoint_files.step_of(prefix) for prefix in prefixes]


def test_the_best_stays(tmp_path):
    best, copies = tmp_path / "best", tmp_path / "copies"
    for step, score, expected in ((1, 0.5, 1), (2, 0.6, 1), (3, 0.4, 3), (4, 0.4, 3)):
        copy = write_checkpoint(copies, step, with_run=True)
        keep_best(str(best), score_of(step, score), copy, False)
        assert steps_in(best) == [expected]
    assert read_best(str(best / "score.json")) == score_of(3, 0.4)
    assert (best / "config.yaml").read_text() == "size: 64\n"
    assert sorted(os.listdir(str(best))) == [
        "MMNetModel-3.data-00000-of-00001",
        "MMNetModel-3.index",
        "checkpoint",
        "config.yaml",
        "score.json",
    ]


def test_the_best_of_a_score_that_rises(tmp_path):
    best, copies = tmp_path / "best", tmp_path / "copies"
    for step, score, expected in ((1, 0.5, 1), (2, 0.6, 2), (3, 0.4, 2)):
        copy = write_checkpoint(copies, step)
        keep_best(str(best), score_of(step, score), copy, True)
        assert steps_in(best) == [expected]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"score": "high", "checkpoint": "x"}'])
def test_a_damaged_best_is_chosen_anew(tmp_path, caplog, text):
    best = tmp_path / "best"
    keep_best(str(best), score_of(1, 0.5), write_checkpoint(tmp_path / "copies", 1), False)
    (best / "score.json").write_text(text)
    assert read_best(str(best / "score.json")) is None
    assert "%s is damaged" % (best / "score.json") in caplog.text
    keep_best(str(best), score_of(2, 0.9), write_checkpoint(tmp_path / "copies", 2), False)
    assert steps_in(best) == [2]
    assert read_best(str(best / "score.json")) == score_of(2, 0.9)
    assert read_best(str(tmp_path / "none.json")) is None


def test_a_copy_takes_its_run_with_it(tmp_path):
    for with_run in (False, True):
        prefix = write_checkpoint(tmp_path / "run", 1, with_run)
        target = tmp_path / ("copy %s" % with_run)
        target.mkdir()
        copy = checkpoint_files.copy_checkpoint(prefix, str(target))
        assert copy == str(target / "MMNetModel-1")
        assert len(checkpoint_files.files_of(copy)) == 2
        assert (target / "config.yaml").exists() == with_run
