import json
import os
import shutil

import pytest
from helpers.brief import WHOLE, using

from helpers import SMALL_FLAGS
from mmnet import cli
from mmnet.commands import info as info_module
from mmnet.commands.info import info, info_text, paper_parity, scores_beside
from mmnet.inference.card import card_path
from mmnet.io import checkpoint_files
from mmnet.tf.compat import tf


@pytest.fixture(scope="module")
def rows():
    """paper_parity, which builds four networks, once."""
    with using(WHOLE):
        return paper_parity("mmnet")


@pytest.fixture
def known_rows(rows, monkeypatch):
    monkeypatch.setattr(info_module, "paper_parity", lambda name: rows)


def test_against_the_paper(rows):
    assert [row["width_multiplier"] for row in rows] == [0.5, 0.75, 1.0, 1.4]
    assert [row["trainable_parameters"] for row in rows] == [64260, 120428, 190652, 356588]
    for row in rows:  # the paper rounds to thousandths of a million
        assert row["parameters"] / 1e6 == pytest.approx(row["paper_parameters"], abs=0.0006)
    assert rows[2]["checkpoint_bytes"] == 2322908  # the published files' size
    # 327.5 M of the published graph, whose classifier runs at full size: 2 M of them are saved
    assert [round(row["multiply_adds"] / 1e6, 1) for row in rows] == [118.3, 211.3, 325.5, 618.8]


def test_published_checkpoint(test_data, known_rows):
    card = info(os.path.join(test_data, "checkpoints", "MMNetModel-304500"))
    assert (card["global_step"], card["width_multiplier"]) == (304500, 1.0)
    assert card["data_bytes"] == 2322908 and card["network"] == "mmnet"
    assert (card["trainable_parameters"], card["parameters"]) == (190652, 199420)
    assert card["variables"] == {
        "network": 529,
        "optimizer": 640,
        "moving averages of weights": 0,
        "ranges of 8 bits": 0,
        "frozen copy": 0,
    }
    said = info_text(card)
    assert "mmnet 1, 325.5 M multiply-adds" in said and "none recorded beside it" in said


def test_lineage_and_scores(lively_weights, known_rows, tmp_path, portraits, capfd):
    def data_set(path, pictures):
        counts = {"pictures": pictures, "steps": 3, "weight": None, "manifest_sha256": "0" * 64}
        return dict(counts, path=path, split="train")

    parent = {
        "global_step": 3,
        "step_from_restore": 3,
        "parent": None,
        "data_sets": [data_set("/data/a", 9)],
    }
    record = {
        "global_step": 5,
        "step_from_restore": 2,
        "data_sets": [data_set("/data/b", 7)],
        "parent": {"path": "/runs/a/MMNetModel-3", "global_step": 3, "lineage": parent},
    }
    for path in checkpoint_files.files_of(lively_weights.source):
        shutil.copy(path, str(tmp_path))
    prefix = str(tmp_path / "MMNetModel-5")
    (tmp_path / "MMNetModel-5.json").write_text(json.dumps(record))
    arguments = ["--dataset_path", portraits, "--checkpoint_path", prefix, "--json"]
    assert cli.main(["evaluate"] + arguments + SMALL_FLAGS) == 0
    scores = json.loads(capfd.readouterr().out)
    assert cli.main(["info", str(tmp_path), "--json"]) == 0
    card = json.loads(capfd.readouterr().out)
    assert card["checkpoint"] == prefix and card["lineage"] == record
    assert card["width_multiplier"] is None
    ((name, found),) = card["scores"].items()
    assert name.endswith("-test-800x600") and found["MAD/test"] == scores["MAD/test"]
    assert cli.main(["info", prefix]) == 0
    said = capfd.readouterr().out
    assert "step 5, 2 from restore, on /data/b/train (7 pictures)" in said
    assert "from /runs/a/MMNetModel-3, step 3" in said
    assert "on /data/a/train (9 pictures)" in said and "scratch" in said
    assert "MAD/test %.6f" % scores["MAD/test"] in said
    with open(prefix + ".index", "ab") as file:  # other weights than those that were scored
        file.write(b"x")
    assert scores_beside(prefix) == {}


def test_models(delivered, lively_weights, tmp_path, capfd):
    frozen, exported = delivered("frozen.pb", "mmnet.tflite")
    path = str(tmp_path / "a b.pb")
    shutil.copy(frozen.path, path)  # without its card
    with open(path, "rb") as file:
        nodes = tf.GraphDef.FromString(file.read()).node
    convolutions = sum(node.op == "Conv2D" for node in nodes)
    for with_card in (False, True):
        if with_card:
            shutil.copy(card_path(frozen.path), card_path(path))
        capfd.readouterr()
        assert cli.main(["info", path, "--json"]) == 0
        card = json.loads(capfd.readouterr().out)
        assert card["model"] == path and ("checkpoint" in card) == with_card
        assert card["operations"]["Conv2D"] == convolutions and card["parameters"] > 1000
        assert len(card["sha256"]) == 64
        said = "[1,64,64,2]: probabilities, channel 1 is alpha"
        assert card["output"] == ("output float32 " if with_card else "output ") + said
    assert cli.main(["info", exported.path]) == 0
    said = capfd.readouterr().out
    assert "exported from  " + lively_weights.source in said
    assert "float32" in said and "multiply-adds" in said


@pytest.mark.parametrize(
    "path, said", [("nowhere/x", "nowhere/x: no checkpoint"), ("x.onnx", "no model x.onnx")]
)
def test_bad_input(path, said, capfd):
    capfd.readouterr()
    assert cli.main(["info", path]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err
