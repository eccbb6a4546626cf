import hashlib
import json
import os
from functools import lru_cache

import numpy as np
import pytest

from conftest import SMALL
from mmnet import checkpoint, cli
from mmnet.backend import session_config
from mmnet.compat import tf
from mmnet.delivery import export as export_module
from mmnet.delivery import graphs
from mmnet.delivery.export import BOUNDS, export
from mmnet.delivery.freeze import NotEqual, pictures_to_compare
from mmnet.delivery.models import card_of, open_model
from mmnet.delivery.predictor import CheckpointPredictor
from mmnet.networks.layers import BATCH_STATISTICS, TRAINING
from mmnet.networks.mmnet import mmnet

FLAGS = ["--width_multiplier", str(SMALL["width_multiplier"]), "--size", str(SMALL["size"])]


def need(form):
    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="ONNX needs the extra `export`")
        pytest.importorskip("onnxruntime", reason="ONNX needs the extra `export`")
    return form


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(predictor, prefix) of a small network."""
    return lively(str(tmp_path_factory.mktemp("a run")))


def lively(folder):
    """(predictor, prefix) of a small network, the same on every TensorFlow, whose alphas differ from pixel to pixel:
    random weights with statistics that fit them. Fresh ones give .5 everywhere, whatever is done to them."""
    prefix = os.path.join(folder, "MMNetModel-5")
    checkpoint.write(prefix, lively_values())
    predictor = CheckpointPredictor.open(prefix, as_written=True, **SMALL)
    assert predictor(pictures_to_compare(None, SMALL["size"])).std() > 0.015
    return predictor, prefix


@lru_cache()
def lively_values():
    random, images = np.random.RandomState(0), pictures_to_compare(None, SMALL["size"])
    with tf.Graph().as_default(), tf.Session(config=session_config(as_written=True)) as session:
        mmnet(tf.constant(images / 255), TRAINING, SMALL["width_multiplier"])
        variables, statistics, values = tf.global_variables(), tf.get_collection(BATCH_STATISTICS), {}
        for variable in variables:
            name, shape = variable.op.name, variable.shape.as_list()
            low, high = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5), "biases": (-0.5, 0.5)}.get(
                name.rpartition("/")[2], (-1, 1))
            values[name] = random.uniform(low, high, shape).astype("f")
        checkpoint.restore(session, values, variables)
        values.update({variable.op.name: session.run(batch) for variable, batch in statistics})
    name = "MMNet/final_block/pointwise_conv/weights"
    values[name] /= 2 * np.abs(values[name]).sum()  # rounding moves random layers more than trained ones
    return values


@pytest.fixture(scope="module")
def images():
    return pictures_to_compare(None, SMALL["size"])


def dilated_reference(x, weights, dilation):
    """SAME depthwise convolution of [1,H,W,C] with [3,3,C,1], pixel by pixel."""
    padded = np.pad(x, [(0, 0), (dilation, dilation), (dilation, dilation), (0, 0)], "constant")
    height, width = x.shape[1:3]
    return sum(padded[:, row * dilation:row * dilation + height, column * dilation:column * dilation + width]
               * weights[row, column, :, 0] for row in range(3) for column in range(3))


def test_native_dilations_leave_one_operation_each(small):
    graph_def = graphs.fold_batch_norm(graphs.inference_graph(small[0].values(), output_type="alpha", **SMALL))
    native = graphs.native_dilations(graph_def)
    ops = [node.op for node in native.node]
    assert not set(ops) & {"SpaceToDepth", "DepthToSpace", "Tile"}
    dilations = [list(node.attr["dilations"].list.i) for node in native.node if node.op == "DepthwiseConv2dNative"]
    assert len(dilations) == 49
    expected = [2, 4, 8] * 4 + [2, 4] * 4 + [2] * 2 + [2, 4] * 2
    assert sorted(values[1] for values in dilations if values) == sorted(expected)
    assert all(values[0] == values[3] == 1 and values[1] == values[2] for values in dilations if values)
    assert [node.op for node in graph_def.node].count("DepthToSpace") == 26  # the graph given is left alone


def test_tflite_computes_the_dilation(tmp_path):
    """One dilated convolution against numpy: what no session may run, the converter gets right."""
    random = np.random.RandomState(0)
    x, weights = random.normal(size=(1, 16, 16, 3)).astype("f"), random.normal(size=(3, 3, 3, 1)).astype("f")
    with tf.Graph().as_default() as graph:
        y = tf.space_to_depth(tf.placeholder(tf.float32, x.shape, name="input_x"), 4)
        y = tf.nn.depthwise_conv2d(y, tf.tile(tf.constant(weights), [1, 1, 16, 1]), [1, 1, 1, 1], "SAME")
        tf.nn.relu(tf.depth_to_space(y, 4), name="output")
    data = export_module.to_tflite(graphs.native_dilations(graph.as_graph_def()), "float32")
    path = tmp_path / "one.tflite"
    path.write_bytes(data)
    card = {"preprocess": "outside", "output_type": "alpha", "precision": "float32",
            "sha256": hashlib.sha256(data).hexdigest()}
    (tmp_path / "one.tflite.json").write_text(json.dumps(card))
    expected = np.maximum(dilated_reference(x, weights, 4), 0)
    np.testing.assert_allclose(open_model(str(path)).run(x), expected, atol=1e-5)


@pytest.mark.parametrize("form, preprocess, output_type", [
    ("savedmodel", "outside", "alpha"), ("tflite", "inside", "alpha"), ("tflite", "outside", "logits"),
    ("onnx", "inside", "alpha"), ("onnx", "outside", "probabilities")])
def test_every_format(small, images, tmp_path, form, preprocess, output_type):
    folder = str(tmp_path / "a b")
    exported, = export(small[0], small[1], folder, [need(form)], images, preprocess=preprocess, output_type=output_type)
    assert exported.largest_difference <= BOUNDS["float32"][1]
    model = open_model(exported.path)
    assert (model.size, model.preprocess, model.output_type, model.precision) == (
        SMALL["size"], preprocess, output_type, "float32")
    assert model.run(images[:1] / 255).shape == (1, SMALL["size"], SMALL["size"], 1 if output_type == "alpha" else 2)
    with open(card_of(exported.path)) as file:
        card = json.load(file)
    assert card == json.loads(json.dumps(exported._asdict()))
    assert card["input"].startswith("input_x float32 [1,64,64,3]: RGB in 0..")
    assert card["checkpoint"] == small[1] and len(card["index_sha256"]) == len(card["sha256"]) == 64
    assert sorted(os.listdir(folder)) == sorted([os.path.basename(exported.path),
                                                 os.path.basename(exported.path) + ".json"])


@pytest.mark.parametrize("precision, io", [("float16", "float"), ("dynamic", "float"), ("int8", "float"),
                                           ("int8", "uint8")])
def test_every_precision_of_tflite(small, images, tmp_path, precision, io):
    calibration = export_module.Calibration(images, "minmax", {"split": "train"}) if precision == "int8" else None
    exported, = export(small[0], small[1], str(tmp_path), ["tflite"], images, precision, io=io, calibration=calibration)
    assert os.path.basename(exported.path) == "mmnet_%s.tflite" % precision
    assert 0 < exported.mean_difference <= BOUNDS[precision][1]
    assert (" uint8 " in exported.input) == (io == "uint8")
    model = open_model(exported.path)
    assert model.precision == precision
    assert np.abs(model(images) - small[0](images)).mean() <= BOUNDS[precision][1]


def swapped_channels(values, *rest):
    name = "MMNet/final_block/pointwise_conv/weights"
    return graphs.inference_graph(dict(values, **{name: values[name][..., ::-1]}), *rest)


def dropped_dilations(graph_def):
    native = graphs.native_dilations(graph_def)
    for node in native.node:
        if node.op == "DepthwiseConv2dNative":
            node.attr["dilations"].list.i[:] = [1, 1, 1, 1]
    return native


@pytest.mark.parametrize("form, name, broken", [  # a SavedModel is not converted: it has no dilations to lose
    ("savedmodel", "inference_graph", swapped_channels),
    ("tflite", "inference_graph", swapped_channels), ("tflite", "native_dilations", dropped_dilations),
    ("onnx", "inference_graph", swapped_channels), ("onnx", "native_dilations", dropped_dilations)])
def test_a_broken_conversion_is_refused(small, images, tmp_path, monkeypatch, form, name, broken):
    path = tmp_path / export_module.file_name(need(form), "float32")
    if form == "savedmodel":
        path.mkdir()
        path = path / "saved_model.pb"
    path.write_text("the old one")
    monkeypatch.setattr(export_module, name, broken)
    with pytest.raises(NotEqual, match="is not written: its alphas are up to"):
        export(small[0], small[1], str(tmp_path), [form], images)
    assert path.read_text() == "the old one" and len(os.listdir(str(tmp_path))) == 1


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int8"])
def test_a_broken_conversion_of_low_precision(small, images, tmp_path, monkeypatch, precision):
    calibration = export_module.Calibration(images, "minmax", {}) if precision == "int8" else None
    monkeypatch.setattr(export_module, "inference_graph", swapped_channels)
    with pytest.raises(NotEqual, match="in the mean off the checkpoint's"):
        export(small[0], small[1], str(tmp_path), ["tflite"], images, precision, calibration=calibration)
    assert not os.listdir(str(tmp_path))


def test_all_are_handed_over_or_none(small, images, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "native_dilations", dropped_dilations)
    with pytest.raises(NotEqual, match="mmnet_float32.tflite is not written"):
        export(small[0], small[1], str(tmp_path), ["savedmodel", "tflite"], images)
    assert not os.listdir(str(tmp_path))


def test_nan_is_beyond_every_bound():
    for precision in BOUNDS:
        assert export_module.beyond(precision, float("nan"), float("nan"))
        assert export_module.beyond(precision, 0.0, 0.0) is None


def test_the_command(small, portraits, tmp_path, capfd):
    output = str(tmp_path / "models")
    arguments = ["export", "--checkpoint_path", small[1], "--format", "savedmodel", "tflite", "--output", output,
                 "--dataset_path", portraits] + FLAGS
    capfd.readouterr()
    for _ in range(2):  # the second time in place of the first
        assert cli.main(arguments) == 0
        out, err = capfd.readouterr()
        assert out.count("over 4 pictures: largest") == 2 and err == ""
    assert sorted(os.listdir(output)) == ["mmnet_float32.tflite", "mmnet_float32.tflite.json", "savedmodel",
                                          "savedmodel.json"]


def test_int8_is_calibrated_on_training_pictures(small, tmp_path, capfd):
    from mmnet.data.synthetic import synthesize

    for split in ("train", "val"):
        synthesize(str(tmp_path / "data"), split, 4, shape=(80, 60))
    capfd.readouterr()
    arguments = ["export", "--checkpoint_path", small[1], "--format", "tflite", "--precision", "int8", "--output",
                 str(tmp_path / "out"), "--calibration_dataset", str(tmp_path / "data"), "--json"] + FLAGS
    assert cli.main(arguments + ["--calibration_pictures", "3"]) == 0
    out, err = capfd.readouterr()
    about = json.loads(out)["calibration"]  # nothing else is on stdout
    assert (about["split"], about["pictures"]) == ("train", 3) and len(about["pictures_sha256"]) == 64
    for split in ("val", "test", "Validation"):
        assert cli.main(arguments + ["--calibration_split", split]) == 2
        assert "calibrate on training pictures" in capfd.readouterr().err


def test_the_command_says_what_differs(small, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(export_module, "inference_graph", swapped_channels)
    capfd.readouterr()
    arguments = ["export", "--checkpoint_path", small[1], "--format", "tflite", "--output", str(tmp_path)]
    assert cli.main(arguments + FLAGS) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "is not written" in err


@pytest.mark.parametrize("arguments, said", [
    (["--format", "onnx", "--precision", "float16"], "--precision float16 is TFLite's only: onnx is float32"),
    (["--format", "tflite", "--precision", "int8"], "--precision int8 needs --calibration_dataset"),
    (["--format", "tflite", "--calibration_dataset", "x"], "--calibration_dataset goes with --precision int8"),
    (["--format", "tflite", "--io", "uint8"], "--io uint8 goes with --precision int8"),
    (["--format", "coreml"], "one of savedmodel, tflite, onnx, not 'coreml'"),
    ([], "--format is needed")])
def test_bad_input(small, tmp_path, capfd, arguments, said):
    capfd.readouterr()
    assert cli.main(["export", "--checkpoint_path", small[1], "--output", str(tmp_path)] + arguments + FLAGS) == 2
    out, err = capfd.readouterr()
    assert err.count("\n") == 1 and said in err and not os.listdir(str(tmp_path))


def test_a_folder_that_is_not_ours_stays(small, images, tmp_path):
    (tmp_path / "savedmodel").mkdir()
    (tmp_path / "savedmodel" / "letters.txt").write_text("dear")
    with pytest.raises(ValueError, match="is not a SavedModel and stays"):
        export(small[0], small[1], str(tmp_path), ["savedmodel"], images)


def test_onnx_without_its_converter(small, images, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ValueError, match=r"--format onnx needs onnx .*pip install"):
        export(small[0], small[1], str(tmp_path), ["onnx"], images)


@pytest.mark.parametrize("step", [304500, 1898000])
def test_published_checkpoints(test_data, tmp_path, step):
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step)
    predictor = CheckpointPredictor.open(prefix, as_written=True)
    exported, = export(predictor, prefix, str(tmp_path), ["tflite"], pictures_to_compare(None, 256))
    assert exported.largest_difference <= 1e-4 and exported.mean_difference < 1e-6
    if exported.operations is not None:
        assert exported.operations["DEPTHWISE_CONV_2D"] == 49 and sum(exported.operations.values()) == 125


def test_255_of_an_int8_model_is_opaque(test_data, tmp_path, capfd):
    """TFLite's 8-bit sigmoid alone ends at 255/256."""
    capfd.readouterr()
    assert cli.main(["export", "--checkpoint_path", os.path.join(test_data, "checkpoints", "MMNetModel-304500"), "--format",
                     "tflite", "--precision", "int8", "--io", "uint8", "--output", str(tmp_path), "--calibration_dataset",
                     os.path.join(test_data, "portraits"), "--calibration_pictures", "5"]) == 0
    interpreter = open_model(str(tmp_path / "mmnet_int8.tflite"))._interpreter
    (scale_in, zero_in), (scale, zero) = (details[0]["quantization"] for details in (
        interpreter.get_input_details(), interpreter.get_output_details()))
    assert (zero_in, zero) == (0, 0) and scale_in == pytest.approx(1) and scale == pytest.approx(1 / 255, rel=1e-4)
