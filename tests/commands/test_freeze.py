"""The freeze verb."""

import hashlib
import json
import os
import subprocess

import numpy as np
import pytest
from helpers.brief import WHOLE, using

from helpers import ROOT, SMALL_FLAGS
from helpers.lively import OLDER, swapped_channels
from mmnet import cli
from mmnet.export import export as export_module
from mmnet.export.export import BOUNDS, ExportSpec, comparison_images, export
from mmnet.inference.card import read_card
from mmnet.inference.open import load_weights
from mmnet.tf.compat import tf


@pytest.fixture(scope="module", params=[304500, 1898000])
def published(request, test_data, tmp_path_factory):
    """Cards of a published checkpoint, frozen and frozen with batch norm folded."""
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-%d" % request.param)
    weights = load_weights(prefix)
    folder = tmp_path_factory.mktemp("published")
    forms = [
        ExportSpec("pb", str(folder / name), output_type="probabilities", fold=fold)
        for name, fold in (("mmnet.pb", False), ("folded.pb", True))
    ]
    with using(WHOLE):
        return export(weights, forms, comparison_images(None, weights.network))


@pytest.mark.parametrize("fold", [False, True])
def test_published_checkpoints(published, fold):
    frozen = published[fold]
    assert frozen.largest_difference <= BOUNDS["float32" if fold else "unfolded"][1]
    assert frozen.mean_difference < 1e-6
    with open(frozen.path, "rb") as file:
        data = file.read()
    assert (frozen.bytes, frozen.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert frozen.input == "input_x float32 [1,256,256,3]: RGB in 0..255"
    assert frozen.operations["Conv2D"] == 57 and ("BiasAdd" in frozen.operations) == fold


def test_the_command(portraits, write_checkpoints, tmp_path, capsys):
    path, graph = str(tmp_path / "a b" / "mmnet.pb"), str(tmp_path / "a b" / "model.pb")
    arguments = ["freeze", "--checkpoint_path", write_checkpoints(5), "--output", path]
    arguments += ["--dataset_path", portraits] + SMALL_FLAGS
    assert cli.main(arguments + ["--graph", graph]) == 0
    assert "input_x float32 [1,64,64,3]: RGB in 0..255" in capsys.readouterr().out
    with open(graph, "rb") as file:
        graph_def = tf.GraphDef.FromString(file.read())
    assert any(node.op == "VariableV2" for node in graph_def.node)
    assert sorted(os.listdir(str(tmp_path / "a b"))) == ["mmnet.pb", "mmnet.pb.json", "model.pb"]
    os.unlink(graph)
    assert cli.main(arguments + ["--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == path and said["largest_difference"] <= BOUNDS["unfolded"][1]
    assert not os.path.exists(graph)
    with open(path + ".json") as file:
        assert json.load(file) == said
    card = read_card(path)
    assert (card.format, card.output_type, card.pictures) == ("pb", "probabilities", 4)


def test_a_graph_that_differs_is_refused_and_the_old_one_stays(
    lively_weights, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "mmnet.pb"
    path.write_bytes(OLDER["pb"])
    monkeypatch.setattr(export_module, "inference_graph", swapped_channels)
    arguments = ["freeze", "--checkpoint_path", lively_weights.source, "--output", str(path)]
    assert cli.main(arguments + ["--graph", str(tmp_path / "model.pb")] + SMALL_FLAGS) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is not written: its alphas are up to" in error
    assert path.read_bytes() == OLDER["pb"] and os.listdir(str(tmp_path)) == ["mmnet.pb"]


def test_bad_input(lively_weights, tmp_path, capsys):
    prefix = lively_weights.source
    for arguments, said in (
        (["--checkpoint_path", str(tmp_path), "--output", "x.pb"], "no checkpoint"),
        (["--checkpoint_path", prefix, "--output", str(tmp_path)], "is a folder"),
        (["--checkpoint_path", prefix, "--output", "x.pb", "--output_type", "mask"], "one of prob"),
        (["--checkpoint_path", prefix, "--output", "x.pb", "--graph", str(tmp_path)], "--graph"),
    ):
        assert cli.main(["freeze"] + arguments + SMALL_FLAGS) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error


def other_python():
    """A TensorFlow of the other generation, given by MMNET_OTHER_PYTHON."""
    python = os.environ.get("MMNET_OTHER_PYTHON")
    if not python:
        pytest.skip("MMNET_OTHER_PYTHON (a Python with the other TensorFlow) is not set")
    return python


def test_the_other_tensorflow_runs_it(delivered, lively_images, lively_predictor, tmp_path):
    python, path = other_python(), delivered.path("frozen.pb")
    np.save(str(tmp_path / "images.npy"), lively_images)
    code = (
        "import sys, numpy as np; from mmnet.inference.tensorflow import open_frozen; "
        "np.save('alphas.npy', open_frozen(sys.argv[1])(np.load('images.npy')))"
    )
    subprocess.run(
        [python, "-c", code, path],
        check=True,
        cwd=str(tmp_path),
        env=dict(os.environ, PYTHONPATH=ROOT),
    )
    alphas = np.load(str(tmp_path / "alphas.npy"))
    np.testing.assert_allclose(alphas, lively_predictor(lively_images), atol=1e-5)
