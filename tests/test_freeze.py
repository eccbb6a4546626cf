import hashlib
import json
import os
import subprocess

import numpy as np
import pytest

from conftest import ROOT, SMALL
from mmnet import cli
from mmnet.compat import tf
from mmnet.delivery import freeze as freeze_module
from mmnet.delivery.freeze import LARGEST_DIFFERENCE, LARGEST_DIFFERENCE_FOLDED, freeze, pictures_to_compare
from mmnet.delivery.predictor import CheckpointPredictor

FLAGS = ["--width_multiplier", str(SMALL["width_multiplier"]), "--size", str(SMALL["size"])]


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("step", [304500, 1898000])
def test_published_checkpoints(test_data, tmp_path, step, fold):
    path = str(tmp_path / "mmnet.pb")
    predictor = CheckpointPredictor.open(os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step), as_written=True)
    frozen = freeze(predictor, path, pictures_to_compare(None, 256), fold=fold)
    assert frozen.largest_difference <= (LARGEST_DIFFERENCE_FOLDED if fold else LARGEST_DIFFERENCE)
    assert frozen.mean_difference < 1e-6
    with open(path, "rb") as file:
        data = file.read()
    assert (frozen.bytes, frozen.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert frozen.input == "input_x float32 [1,256,256,3]: RGB in 0..255"
    assert frozen.operations["Conv2D"] == 57 and ("BiasAdd" in frozen.operations) == fold


def test_the_command(portraits, write_checkpoints, tmp_path, capsys):
    path, graph = str(tmp_path / "a b" / "mmnet.pb"), str(tmp_path / "a b" / "model.pb")
    arguments = ["freeze", "--checkpoint_path", write_checkpoints(5), "--output", path, "--graph", graph,
                 "--dataset_path", portraits] + FLAGS
    assert cli.main(arguments) == 0
    assert "input_x float32 [1,64,64,3]: RGB in 0..255" in capsys.readouterr().out
    assert cli.main(arguments + ["--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == path and said["largest_difference"] <= LARGEST_DIFFERENCE
    graph_def = tf.GraphDef.FromString(open(graph, "rb").read())
    assert any(node.op == "VariableV2" for node in graph_def.node)


def test_a_graph_that_differs_is_refused_and_the_old_one_stays(write_checkpoints, tmp_path, monkeypatch, capsys):
    path = tmp_path / "mmnet.pb"
    path.write_text("the old one")
    graph_of = freeze_module.inference_graph

    def swapped_channels(values, *rest):
        name = "MMNet/final_block/pointwise_conv/weights"
        return graph_of(dict(values, **{name: values[name][..., ::-1]}), *rest)
    monkeypatch.setattr(freeze_module, "inference_graph", swapped_channels)
    assert cli.main(["freeze", "--checkpoint_path", write_checkpoints(5), "--output", str(path)] + FLAGS) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is not written: its alphas are up to" in error
    assert path.read_text() == "the old one" and os.listdir(str(tmp_path)) == ["mmnet.pb"]


def test_bad_input(write_checkpoints, tmp_path, capsys):
    folder = write_checkpoints(5)
    for arguments, said in ((["--checkpoint_path", str(tmp_path), "--output", "x.pb"], "no checkpoint"),
                            (["--checkpoint_path", folder, "--output", str(tmp_path)], "is a folder"),
                            (["--checkpoint_path", folder, "--output", "x.pb", "--output_type", "mask"], "one of prob")):
        assert cli.main(["freeze"] + arguments + FLAGS) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error


def other_python():
    """A TensorFlow of the other generation, given by MMNET_OTHER_PYTHON."""
    python = os.environ.get("MMNET_OTHER_PYTHON")
    if not python:
        pytest.skip("MMNET_OTHER_PYTHON (a Python with the other TensorFlow) is not set")
    return python


def test_the_other_tensorflow_runs_it(tmp_path):
    predictor = CheckpointPredictor(as_written=True, **SMALL)
    images = pictures_to_compare(None, SMALL["size"])
    freeze(predictor, str(tmp_path / "a.pb"), images)
    np.save(str(tmp_path / "images.npy"), images)
    code = ("import numpy as np; from mmnet.delivery.models import FrozenPredictor as P; "
            "np.save('alphas.npy', P('a.pb')(np.load('images.npy')))")
    subprocess.run([other_python(), "-c", code], check=True, cwd=str(tmp_path), env=dict(os.environ, PYTHONPATH=ROOT))
    np.testing.assert_allclose(np.load(str(tmp_path / "alphas.npy")), predictor(images), atol=1e-5)
