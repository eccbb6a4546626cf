"""Tests of mmnet.training.lineage."""

import json
import os

import pytest

from helpers import assert_raises
from mmnet import __version__
from mmnet.io.errors import MmnetError
from mmnet.training.lineage import (
    LineageWriter,
    Start,
    count_steps,
    describe_dataset,
    read_lineage,
    read_start,
)

DATASET = {"path": "A", "split": "train", "pictures": 6, "weight": None, "manifest_sha256": "a"}
RECORD = {
    "global_step": 7,
    "step_from_restore": 7,
    "parent": None,
    "data_sets": [dict(DATASET, steps=7)],
    "learning_rate": 1e-3,
    "configuration": {},
    "versions": {},
}


def make_parents(number):
    """Return the record of a parent that has parents itself."""
    record = None
    for _ in range(number):
        record = {"path": "B", "global_step": 3, "lineage": dict(RECORD, parent=record)}
    return record


def test_count_steps_adds_and_keeps_earlier_datasets():
    a, b = {"path": "A", "manifest_sha256": "a"}, {"path": "B", "manifest_sha256": "b"}
    first = count_steps([a], [], 10)
    assert first == [dict(a, steps=10)]
    assert count_steps([a, b], first, 5) == [dict(a, steps=15), dict(b, steps=5)]
    assert count_steps([b], first, 5) == [dict(b, steps=5), dict(a, steps=10)]


def test_describe_dataset(portraits, portrait_set):
    assert describe_dataset(portrait_set, 0.5) == {
        "path": os.path.abspath(portraits),
        "split": "test",
        "pictures": 6,
        "weight": 0.5,
        "manifest_sha256": portrait_set.fingerprint,
    }


def test_record_survives_reading(tmp_path, portrait_set):
    prefix = str(tmp_path / "MMNetModel-7")
    assert read_lineage(prefix) is None and read_start(prefix) == Start()
    writer = LineageWriter(Start(), [describe_dataset(portrait_set)], {"batch_size": 2})
    with open(prefix + ".json", "w") as file:
        file.write(writer.record(global_step=7, step=7, learning_rate=1e-3))
    lineage = read_lineage(prefix)
    datasets = [dict(describe_dataset(portrait_set), steps=7)]
    assert (lineage["global_step"], lineage["step_from_restore"]) == (7, 7)
    assert (lineage["parent"], lineage["data_sets"]) == (None, datasets)
    assert lineage["configuration"] == {"batch_size": 2}
    assert lineage["versions"]["mmnet"] == __version__
    assert read_start(prefix) == Start(7, None, datasets)


@pytest.mark.parametrize(
    "content, token",
    [
        (json.dumps(RECORD)[:20], "JSON"),
        ([], "object"),
        (dict(RECORD, global_step="7"), "global_step"),
        (dict(RECORD, step_from_restore=None), "step_from_restore"),
        (dict(RECORD, data_sets=None), "data_sets"),
        (dict(RECORD, data_sets=[7]), "data_sets[0]"),
        (dict(RECORD, data_sets=[DATASET]), "steps"),
        (dict(RECORD, data_sets=[{"path": "A", "steps": 7}]), "split"),
        (dict(RECORD, data_sets=[dict(DATASET, steps=7, manifest_sha256=1)]), "manifest_sha256"),
        (dict(RECORD, parent=[]), "parent"),
        (dict(RECORD, parent={"path": "B", "global_step": "1", "lineage": None}), "global_step"),
        (dict(RECORD, parent={"path": "B", "global_step": 3, "lineage": {}}), "lineage"),
        ({"global_step": 7}, "step_from_restore"),
        (dict(RECORD, step_from_restore=-1), "step_from_restore"),
        (dict(RECORD, step_from_restore=10**30), "step_from_restore"),
        (dict(RECORD, parent=make_parents(400)), "recursion"),
    ],
)
def test_damaged_lineage_names_file_and_field(tmp_path, content, token):
    path = tmp_path / "MMNetModel-7.json"
    path.write_text(json.dumps(RECORD))
    assert read_lineage(str(tmp_path / "MMNetModel-7")) == RECORD
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with assert_raises(MmnetError, str(path), token):
        read_lineage(str(tmp_path / "MMNetModel-7"))
