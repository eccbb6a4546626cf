import hashlib
import importlib.util
import json
import os
import shutil
import sys

import numpy as np
import pytest

from conftest import SMALL
from mmnet import cli
from mmnet.data.pairs import load_pairs
from mmnet.delivery import graphs
from mmnet.delivery.export import build
from mmnet.delivery.models import FrozenPredictor, open_model
from mmnet.delivery.predictor import CheckpointPredictor
from mmnet.scoring.evaluate import evaluate


@pytest.mark.parametrize("preprocess", ["inside", "outside"])
@pytest.mark.parametrize("output_type", graphs.OUTPUT_TYPES)
def test_every_kind_of_frozen_graph_is_the_same_predictor(tmp_path, preprocess, output_type):
    predictor = CheckpointPredictor(**SMALL)
    path = tmp_path / "some model.pb"
    path.write_bytes(graphs.inference_graph(predictor.values(), SMALL["width_multiplier"], SMALL["size"], preprocess,
                                            output_type).SerializeToString())
    model = FrozenPredictor(str(path))
    assert (model.size, model.preprocess, model.output_type) == (SMALL["size"], preprocess, output_type)
    images = np.random.RandomState(0).uniform(0, 255, (3, SMALL["size"], SMALL["size"], 3)).astype(np.float32)
    alphas = model(images)
    assert alphas.shape == (3, SMALL["size"], SMALL["size"])
    np.testing.assert_allclose(alphas, predictor(images), atol=1e-5)  # TensorFlow folds constants, which rounds


def test_what_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no frozen graph"):
        FrozenPredictor(str(tmp_path / "none.pb"))
    (tmp_path / "text.pb").write_text("not a graph")
    (tmp_path / "other.pb").write_bytes(b"")
    for name in ("text.pb", "other.pb"):
        with pytest.raises(ValueError, match="%s is not a frozen graph with input_x and output" % name):
            FrozenPredictor(str(tmp_path / name))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(predictor, folder) with every kind of model that can be made here."""
    folder = str(tmp_path_factory.mktemp("models"))
    predictor = CheckpointPredictor(**SMALL)
    graph_def = graphs.fold_batch_norm(graphs.inference_graph(predictor.values(), preprocess="outside",
                                                              output_type="probabilities", **SMALL))
    for name in ("savedmodel", "a.tflite", "a.onnx"):
        form = name.rpartition(".")[2]
        if form != "onnx" or importable("tf2onnx"):
            build(os.path.join(folder, name), form, graph_def, "float32", "outside", "probabilities", "float", None)
    with open(os.path.join(folder, "a.pb"), "wb") as file:
        file.write(graph_def.SerializeToString())
    return predictor, folder


def importable(name):
    return importlib.util.find_spec(name) is not None


@pytest.mark.parametrize("name", ["a.pb", "savedmodel", "a.tflite", "a.onnx"])
def test_every_kind_of_file_is_the_same_predictor(exported, name):
    predictor, folder = exported
    if name == "a.onnx" and not (importable("tf2onnx") and importable("onnxruntime")):
        pytest.skip("ONNX needs the extra `export`")
    model = open_model(os.path.join(folder, name))
    assert (model.size, model.preprocess, model.output_type, model.precision) == (SMALL["size"], "outside",
                                                                                 "probabilities", "float32")
    images = np.random.RandomState(0).uniform(0, 255, (3, SMALL["size"], SMALL["size"], 3)).astype(np.float32)
    np.testing.assert_allclose(model(images), predictor(images), atol=1e-4)


def test_files_that_do_not_open(exported, tmp_path):
    folder = exported[1]
    with pytest.raises(FileNotFoundError, match="no model"):
        open_model(str(tmp_path / "none.tflite"))
    with pytest.raises(ValueError, match="a folder with saved_model.pb in it is"):
        open_model(str(tmp_path))
    (tmp_path / "a.bin").write_text("x")
    with pytest.raises(ValueError, match="not '.bin'"):
        open_model(str(tmp_path / "a.bin"))
    (tmp_path / "saved_model.pb").write_text("no SavedModel")
    with pytest.raises(ValueError, match="is not a SavedModel with input_x and output"):
        open_model(str(tmp_path))
    if importable("onnxruntime"):
        (tmp_path / "a.onnx").write_text("no model")
        with pytest.raises(ValueError, match="a.onnx is not an ONNX model"):
            open_model(str(tmp_path / "a.onnx"))
    shutil.copy(os.path.join(folder, "a.tflite"), str(tmp_path / "b.tflite"))
    with pytest.raises(ValueError, match="its card, which mmnet export writes beside it, cannot be read"):
        open_model(str(tmp_path / "b.tflite"))
    shutil.copy(os.path.join(folder, "a.tflite.json"), str(tmp_path / "b.tflite.json"))
    open_model(str(tmp_path / "b.tflite"))
    (tmp_path / "b.tflite").write_text("another file")
    with pytest.raises(ValueError, match="is the card of another file"):
        open_model(str(tmp_path / "b.tflite"))
    (tmp_path / "b.tflite.json").write_text(json.dumps({
        "preprocess": "inside", "output_type": "alpha", "precision": "float32",
        "sha256": hashlib.sha256(b"another file").hexdigest()}))
    with pytest.raises(ValueError, match="is not a TFLite model"):
        open_model(str(tmp_path / "b.tflite"))


def test_a_runtime_that_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_text("")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"running an .onnx needs onnxruntime .*pip install"):
        open_model(str(tmp_path / "a.onnx"))


def test_evaluate_and_predict_with_a_model(exported, portraits, tmp_path, capsys):
    predictor, folder = exported
    model = os.path.join(folder, "a.tflite")
    assert cli.main(["evaluate", "--dataset_path", portraits, "--model", model, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    evaluation = evaluate(predictor, load_pairs(portraits, "test"), SMALL["size"])
    assert scores["MAD/test"] == pytest.approx(evaluation.scores["mad_%d" % SMALL["size"]].mean(), abs=1e-5)
    assert (scores["checkpoint"], scores["pictures"]) == (model, 6)
    photo = load_pairs(portraits, "test")[0].image
    assert cli.main(["predict", photo, "--model", model, "--output", str(tmp_path)]) == 0
    assert len(os.listdir(str(tmp_path))) == 2
    capsys.readouterr()
    for flags, said in ((["--checkpoint_path", "x"], "--model and --checkpoint_path do not go together"),
                        (["--output", str(tmp_path)], "--model and --output do not go together"),
                        (["--size", "128"], "takes pictures of 64")):
        assert cli.main(["evaluate", "--dataset_path", portraits, "--model", model] + flags) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error
