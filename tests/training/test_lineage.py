import json
import os

import pytest

from mmnet import __version__
from mmnet.training.lineage import count_steps, describe_data, read_lineage, record
from mmnet.training.restore import Start


def test_steps_go_on_and_earlier_data_sets_stay():
    a, b = {"path": "A", "manifest_sha256": "a"}, {"path": "B", "manifest_sha256": "b"}
    first = count_steps([a], [], 10)
    assert first == [dict(a, steps=10)]
    assert count_steps([a, b], first, 5) == [dict(a, steps=15), dict(b, steps=5)]
    assert count_steps([b], first, 5) == [dict(b, steps=5), dict(a, steps=10)]


def test_a_data_set_as_it_is_recorded(portraits, portrait_set):
    assert describe_data(portrait_set, 0.5) == {
        "path": os.path.abspath(portraits),
        "split": "test",
        "pictures": 6,
        "weight": 0.5,
        "manifest_sha256": portrait_set.fingerprint,
    }


def test_a_record_comes_back(tmp_path, portrait_set):
    prefix = str(tmp_path / "MMNetModel-7")
    assert read_lineage(prefix) is None
    data_sets = count_steps([describe_data(portrait_set)], [], 7)
    text = record(
        7, Start(), data_sets, step=7, learning_rate=1e-3, configuration={"batch_size": 2}
    )
    with open(prefix + ".json", "w") as file:
        file.write(text)
    lineage = read_lineage(prefix)
    assert (lineage["global_step"], lineage["step_from_restore"]) == (7, 7)
    assert (lineage["parent"], lineage["data_sets"]) == (None, data_sets)
    assert lineage["configuration"] == {"batch_size": 2}
    assert lineage["versions"]["mmnet"] == __version__


DATA_SET = {"path": "A", "split": "train", "pictures": 6, "weight": None, "manifest_sha256": "a"}
RECORD = {
    "global_step": 7,
    "step_from_restore": 7,
    "parent": None,
    "data_sets": [dict(DATA_SET, steps=7)],
    "learning_rate": 1e-3,
    "configuration": {},
    "versions": {},
}


@pytest.mark.parametrize(
    "contents, said",
    [
        (json.dumps(RECORD)[:20], ": not JSON"),
        ("[]", "JSON without an object"),
        (json.dumps(dict(RECORD, global_step="7")), "global_step is '7', not int .delete "),
        (json.dumps(dict(RECORD, step_from_restore=None)), "step_from_restore is None, not int"),
        (json.dumps(dict(RECORD, data_sets=None)), "data_sets: expected list, not None"),
        (json.dumps(dict(RECORD, data_sets=[7])), r"data_sets\[0\]: expected dict, not 7"),
        (json.dumps(dict(RECORD, data_sets=[DATA_SET])), r"data_sets\[0\]: steps is missing"),
        (
            json.dumps(dict(RECORD, data_sets=[{"path": "A", "steps": 7}])),
            r"data_sets\[0\]: split is missing",
        ),
        (json.dumps(dict(RECORD, parent=[])), r"parent: expected dict, not \[\]"),
        (
            json.dumps(dict(RECORD, parent={"path": "B", "global_step": 3, "lineage": {}})),
            "parent: lineage: global_step is missing",
        ),
        (json.dumps({"global_step": 7}), "step_from_restore is missing"),
    ],
)
def test_a_damaged_record_names_the_field(tmp_path, contents, said):
    path = tmp_path / "MMNetModel-7.json"
    path.write_text(json.dumps(RECORD))
    assert read_lineage(str(tmp_path / "MMNetModel-7")) == RECORD
    path.write_text(contents)
    with pytest.raises(ValueError, match=said) as caught:
        read_lineage(str(tmp_path / "MMNetModel-7"))
    assert str(path) in str(caught.value)
