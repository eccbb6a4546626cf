"""Tests of mmnet.commands.freeze."""

import json
import os
import subprocess

import numpy as np
import pytest

from helpers import ROOT, SMALL_FLAGS, assert_message
from helpers.models import OLD_EXPORTS, swapped_channels
from mmnet.export import export as export_module
from mmnet.export.comparison import BOUNDS
from mmnet.inference.card import read_card
from mmnet.io.files import read_bytes
from mmnet.tf.compat import tf


def test_freeze_writes_graph_card_and_graph_with_variables(
    run, run_json, portraits, write_checkpoints, tmp_path
):
    folder = tmp_path / "a b"
    path, graph = str(folder / "mmnet.pb"), str(folder / "model.pb")
    command = ["freeze", "--checkpoint_path", write_checkpoints(5), "--output", path]
    command += ["--dataset_path", portraits, *SMALL_FLAGS]
    code, out, _ = run(*command, "--graph", graph)
    assert code == 0
    assert_message(out, "input_x float32 [1,64,64,3]", "pictures: 4")
    for file in (path, graph):  # every run writes the same bytes
        data = read_bytes(file)
        graph_def = tf.GraphDef.FromString(data)
        assert data == graph_def.SerializeToString(deterministic=True)
    assert any(node.op == "VariableV2" for node in graph_def.node)
    assert sorted(os.listdir(str(folder))) == ["mmnet.pb", "mmnet.pb.json", "model.pb"]

    os.unlink(graph)
    (record,) = run_json(*command)
    assert record["path"] == path
    assert record["largest_difference"] <= BOUNDS["unfolded"].limit
    assert not os.path.exists(graph)
    with open(path + ".json") as file:
        assert json.load(file) == record
    card = read_card(path)
    assert (card.format, card.output_type, card.pictures) == ("pb", "probabilities", 4)


def test_mismatch_keeps_the_old_graph(run, small_weights, tmp_path, monkeypatch):
    path = tmp_path / "mmnet.pb"
    path.write_bytes(OLD_EXPORTS["pb"])
    monkeypatch.setattr(export_module, "inference_graph", swapped_channels)
    command = ["freeze", "--checkpoint_path", small_weights.source, "--output", str(path)]
    code, _, error = run(*command, "--graph", tmp_path / "model.pb", *SMALL_FLAGS)
    assert code == 1 and error.count("\n") == 1
    assert_message(error, path, "not written", "1e-05")
    assert path.read_bytes() == OLD_EXPORTS["pb"]
    assert os.listdir(str(tmp_path)) == ["mmnet.pb"]


@pytest.mark.parametrize(
    "flags, tokens",
    [
        (["--output", "FOLDER"], ["--output", "FOLDER"]),
        (["--output", "x.pb", "--output_type", "mask"], ["--output_type", "mask", "logits"]),
        (["--output", "x.pb", "--graph", "FOLDER"], ["--graph", "FOLDER"]),
        (["--output", "x.pb", "--graph", "./x.pb"], ["--graph", "--output", "x.pb"]),
        (["--output", "x.pb", "--checkpoint_path", "FOLDER"], ["FOLDER"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_input(assert_refused, small_weights, tmp_path, flags, tokens):
    def fill(texts):
        return [str(tmp_path) if text == "FOLDER" else text for text in texts]

    command = ["freeze", "--checkpoint_path", small_weights.source, *SMALL_FLAGS]
    assert_refused([*command, *fill(flags)], *fill(tokens))


def test_the_other_tensorflow_runs_the_graph(
    exported_models, small_images, small_predictor, tmp_path
):
    """MMNET_OTHER_PYTHON is a Python with the other version of TensorFlow (1.15 or 2.x)."""
    python = os.environ.get("MMNET_OTHER_PYTHON")
    if not python:
        pytest.skip("MMNET_OTHER_PYTHON (a Python with the other TensorFlow) is not set")
    np.save(str(tmp_path / "images.npy"), small_images)
    code = (
        "import sys, numpy as np; from mmnet.inference.tensorflow import open_frozen; "
        "np.save('alphas.npy', open_frozen(sys.argv[1])(np.load('images.npy')))"
    )
    environment = dict(os.environ, PYTHONPATH=ROOT)
    command = [python, "-c", code, exported_models.path("frozen.pb")]
    subprocess.run(command, check=True, cwd=str(tmp_path), env=environment)
    alphas = np.load(str(tmp_path / "alphas.npy"))
    np.testing.assert_allclose(alphas, small_predictor(small_images), atol=1e-5)
