"""Tests of `mmnet info`."""

import json
import os
import shutil

import pytest

from helpers import assert_message
from mmnet.commands import info
from mmnet.commands.info import checkpoint_card, find_scores
from mmnet.inference.card import card_path
from mmnet.io.checkpoint_files import files_of
from mmnet.io.files import read_json
from mmnet.tf.compat import tf
from mmnet.weights.source import find_source


def make_dataset(path, images):
    record = {"pictures": images, "steps": 3, "weight": None, "manifest_sha256": "0" * 64}
    return dict(record, path=path, split="train")


PARENT = {
    "global_step": 3,
    "step_from_restore": 3,
    "parent": None,
    "data_sets": [make_dataset("/data/a", 9)],
}
LINEAGE = {
    "global_step": 5,
    "step_from_restore": 2,
    "data_sets": [make_dataset("/data/b", 7)],
    "parent": {"path": "/runs/a/MMNetModel-3", "global_step": 3, "lineage": PARENT},
}


@pytest.fixture
def folder(run_folder, tmp_path):
    """A writable copy of run_folder."""
    copy = tmp_path / "run"
    shutil.copytree(run_folder, str(copy))
    return copy


def test_card_of_a_published_checkpoint(test_data):
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-304500")
    card = checkpoint_card(find_source(prefix))
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
    assert [size["checkpoint_bytes"] for size in card["paper_parity"]][2] == 2322908


def test_info_shows_lineage_and_scores(run, run_json, folder, portraits):
    prefix = str(folder / "MMNetModel-5")
    (folder / "MMNetModel-5.json").write_text(json.dumps(LINEAGE))
    source = ["--dataset_path", portraits, "--checkpoint_path", prefix]
    (scores,) = run_json("evaluate", *source)
    (card,) = run_json("info", folder)
    assert card["checkpoint"] == prefix and card["lineage"] == LINEAGE
    assert (card["network"], card["width_multiplier"]) == ("tiny", 1.0)
    ((name, saved_scores),) = card["scores"].items()
    assert name.endswith("-test-800x600") and saved_scores["MAD/test"] == scores["MAD/test"]
    code, out, _ = run("info", prefix)
    assert code == 0
    assert_message(out, "/data/b", "/runs/a/MMNetModel-3", "/data/a", scores["MAD/test"])
    with open(prefix + ".index", "ab") as file:  # the scores belong to another checkpoint now
        file.write(b"x")
    assert find_scores(prefix) == {}


def test_info_shows_an_unknown_width(run_json, small_weights, tmp_path):
    for path in files_of(small_weights.source):
        shutil.copy(path, str(tmp_path))
    (card,) = run_json("info", tmp_path)
    assert card["width_multiplier"] is None and card["lineage"] is None and card["scores"] == {}


def test_info_shows_weights_by_name(run):
    code, out, _ = run("info")
    assert code == 0
    assert_message(out, "mmnet-persons", "MAD", "licence", 190652)


@pytest.mark.parametrize("has_card", [False, True], ids=["without card", "with card"])
def test_info_describes_frozen_graphs(exported_models, tmp_path, run_json, has_card):
    frozen = exported_models("frozen.pb")[0]
    path = str(tmp_path / "a b.pb")
    shutil.copy(frozen.path, path)
    if has_card:
        shutil.copy(card_path(frozen.path), card_path(path))
    with open(path, "rb") as file:
        nodes = tf.GraphDef.FromString(file.read()).node
    (card,) = run_json("info", path)
    assert card["model"] == path and ("checkpoint" in card) == has_card
    assert card["operations"]["Conv2D"] == sum(node.op == "Conv2D" for node in nodes)
    assert card["parameters"] > 500 and card["sha256"] == frozen.sha256
    assert card["output"].startswith("output float32 [1" if has_card else "output [1,64,64,2]")


def test_info_needs_no_runtime_for_a_model_with_a_card(run_json, exported_models, monkeypatch):
    paths = [exported_models.path(name) for name in ("mmnet.tflite", "frozen.pb", "savedmodel")]
    monkeypatch.delattr(info, "open_predictor")
    for path in paths:
        (card,) = run_json("info", path)
        assert card["model"] == path and card["parameters"] > 500 and card["sha256"]


@pytest.mark.parametrize(
    "record", [{"identity": [1], "scores": {}}, {"identity": {"source": 3}}, {"scores": 4}, [], "x"]
)
def test_info_refuses_damaged_score_records(assert_refused, folder, record):
    path = folder / "eval" / "data-test-800x600" / "MMNetModel-5.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert_refused(["info", folder], path)


def test_info_shows_a_card_without_a_version_of_tensorflow(run_json, exported_models, tmp_path):
    path = str(tmp_path / "a.tflite")
    shutil.copy(exported_models.path("mmnet.tflite"), path)
    record = read_json(card_path(exported_models.path("mmnet.tflite")))
    (tmp_path / "a.tflite.json").write_text(json.dumps(dict(record, tensorflow=None)))
    assert "tensorflow" not in run_json("info", path)[0]
    del record["tensorflow"]
    (tmp_path / "a.tflite.json").write_text(json.dumps(record))
    assert "tensorflow" not in run_json("info", path)[0]


@pytest.mark.parametrize("path", ["nowhere/x", "x.onnx", "untrained"])
def test_bad_paths_are_refused(assert_refused, path):
    assert_refused(["info", path], path)
