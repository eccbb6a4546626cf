import json
import os
import shutil

import pytest

from conftest import SMALL
from mmnet import checkpoint, cli
from mmnet.delivery import info
from mmnet.delivery.export import export
from mmnet.delivery.freeze import freeze, pictures_to_compare
from test_export import lively


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return lively(str(tmp_path_factory.mktemp("a run")))


def test_against_the_paper():
    rows = info.paper_parity()
    assert [row["width_multiplier"] for row in rows] == [0.5, 0.75, 1.0, 1.4]
    assert [row["trainable_parameters"] for row in rows] == [64260, 120428, 190652, 356588]
    for row in rows:  # the paper rounds to thousandths of a million
        assert row["parameters"] / 1e6 == pytest.approx(row["paper_parameters"], abs=0.0006)
    assert rows[2]["checkpoint_bytes"] == 2322908  # the published files' size
    # 327.5 M of the published graph, whose classifier runs at full size: 2 M of them are saved
    assert [round(row["multiply_adds"] / 1e6, 1) for row in rows] == [118.3, 211.3, 325.5, 618.8]


def test_published_checkpoint(test_data):
    card = info.info(os.path.join(test_data, "checkpoints", "MMNetModel-304500"))
    assert (card["global_step"], card["width_multiplier"], card["data_bytes"]) == (304500, 1.0, 2322908)
    assert (card["trainable_parameters"], card["parameters"]) == (190652, 199420)
    assert card["variables"] == {"network": 529, "optimizer": 640, "moving averages of weights": 0, "ranges of 8 bits": 0}
    said = info.text(card)
    assert "MMNet 1, 325.5 M multiply-adds" in said and "none recorded beside it" in said


def test_lineage_and_scores(small, tmp_path, portraits, capfd):
    record = {"global_step": 5, "step_from_restore": 2, "data_sets": [
        {"path": "/data/b", "split": "train", "pictures": 7}], "parent": {
            "path": "/runs/a/MMNetModel-3", "global_step": 3, "lineage": {
                "global_step": 3, "step_from_restore": 3, "parent": None,
                "data_sets": [{"path": "/data/a", "split": "train", "pictures": 9}]}}}
    for path in checkpoint.files_of(small[1]):
        shutil.copy(path, str(tmp_path))
    prefix = str(tmp_path / "MMNetModel-5")
    (tmp_path / "MMNetModel-5.json").write_text(json.dumps(record))
    flags = ["--width_multiplier", str(SMALL["width_multiplier"]), "--size", str(SMALL["size"])]
    assert cli.main(["evaluate", "--dataset_path", portraits, "--checkpoint_path", prefix, "--json"] + flags) == 0
    scores = json.loads(capfd.readouterr().out)
    assert cli.main(["info", str(tmp_path), "--json"]) == 0
    card = json.loads(capfd.readouterr().out)
    assert card["checkpoint"] == prefix and card["lineage"] == record and card["width_multiplier"] is None
    (name, found), = card["scores"].items()
    assert name.endswith("-test-800x600") and found["MAD/test"] == scores["MAD/test"]
    assert cli.main(["info", prefix]) == 0
    said = capfd.readouterr().out
    assert "step 5, 2 from restore, on /data/b/train (7 pictures)" in said
    assert "from /runs/a/MMNetModel-3, step 3" in said and "on /data/a/train (9 pictures)" in said and "scratch" in said
    assert "MAD/test %.6f" % scores["MAD/test"] in said
    with open(prefix + ".index", "ab") as file:  # other weights than those that were scored
        file.write(b"x")
    assert info.scores_beside(prefix) == {}


def test_models(small, tmp_path, capfd):
    images = pictures_to_compare(None, SMALL["size"])
    freeze(small[0], str(tmp_path / "a b.pb"), images)
    exported, = export(small[0], small[1], str(tmp_path), ["tflite"], images)
    assert cli.main(["info", str(tmp_path / "a b.pb"), "--json"]) == 0
    card = json.loads(capfd.readouterr().out)
    assert card["operations"]["Conv2D"] == 57 and card["parameters"] > 1000 and len(card["sha256"]) == 64
    assert card["output"] == "output [1,64,64,2]: probabilities, channel 1 is alpha"
    assert cli.main(["info", exported.path]) == 0
    said = capfd.readouterr().out
    assert "exported from  " + small[1] in said and "float32" in said and "multiply-adds" in said


@pytest.mark.parametrize("path, said", [("nowhere/x", "no checkpoint nowhere/x"), ("x.onnx", "no model x.onnx")])
def test_bad_input(path, said, capfd):
    capfd.readouterr()
    assert cli.main(["info", path]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err
