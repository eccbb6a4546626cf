"""Tests of mmnet.export.export: models equal their checkpoint, or nothing is written."""

import hashlib
import json
import os

import numpy as np
import pytest

import mmnet
from helpers import SMALL, assert_raises
from helpers.models import OLD_EXPORTS, SPECS, need_onnx, swapped_channels
from mmnet.export import export as export_module
from mmnet.export import formats
from mmnet.export.comparison import BOUNDS, EXACT, comparison_images
from mmnet.export.export import ExportMismatch, ExportSpec, export
from mmnet.export.graphs import native_dilations
from mmnet.export.representative import RepresentativeImages
from mmnet.inference.card import card_path, card_to_dict, read_card
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights, open_predictor
from mmnet.io.errors import MmnetError
from mmnet.networks.network import with_views
from mmnet.tf.compat import converts_shared_weights

FLOAT_MODELS = ["alpha", "mmnet.tflite", "logits.tflite"]
ONNX_MODELS = ["mmnet.onnx", "outside.onnx"]
SMALL_MODELS = ["float16.tflite", "dynamic.tflite", "int8.tflite", "uint8.tflite"]


def card_of(exported_models, name, group):
    """Return one of the cards of models that are exported together, which is faster."""
    return dict(zip(group, exported_models(*group)))[name]


@pytest.mark.parametrize("name", FLOAT_MODELS + ONNX_MODELS)
def test_export_writes_each_format(exported_models, small_weights, small_images, name):
    group = ONNX_MODELS if name in ONNX_MODELS else FLOAT_MODELS
    spec, card = SPECS[name], card_of(exported_models, name, group)
    assert card.largest_difference <= BOUNDS["float32"].limit
    model = open_predictor(card.path)
    assert (model.network.shape, model.card.preprocess) == (SMALL.shape, spec.preprocess)
    assert (model.card.output_type, model.precision) == (spec.output_type, "float32")
    channels = 1 if spec.output_type == "alpha" else 2
    assert model.run(small_images[:1] / 255).shape == (1, 64, 64, channels)
    with open(card_path(card.path)) as file:
        record = json.load(file)
    assert record == json.loads(json.dumps(card_to_dict(card)))
    assert record["network"] == json.loads(json.dumps(small_weights.network._asdict()))
    assert record["input"].startswith("input_x float32 [1,64,64,3]: RGB in 0..")
    assert record["checkpoint"] == small_weights.source
    assert len(record["index_sha256"]) == len(record["sha256"]) == 64
    assert read_card(card.path) == card


def test_export_writes_only_models_and_cards(exported_models):
    cards = exported_models(*FLOAT_MODELS)
    names = os.listdir(exported_models.folder)
    for card in cards:
        assert os.path.basename(card.path) in names
    models = [name for name in names if name in SPECS]
    assert sorted(names) == sorted(models + [name + ".json" for name in models])


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_export_writes_each_precision(exported_models, small_predictor, small_images, name):
    spec, card = SPECS[name], card_of(exported_models, name, SMALL_MODELS)
    limit = BOUNDS[spec.precision].limit
    assert 0 < card.mean_difference <= limit
    assert (" uint8 " in card.input) == (spec.io == "uint8")
    assert card.calibration == ({"split": "train"} if spec.precision == "int8" else None)
    model = open_predictor(card.path)
    assert model.precision == spec.precision
    difference = np.abs(model(small_images) - small_predictor(small_images))
    assert difference.mean() <= limit


@pytest.mark.parametrize("format", ["tflite", "onnx", "pb"])
def test_export_writes_several_views(small_weights, small_predictor, tmp_path, format):
    if format == "onnx":
        need_onnx()
    views = ("64", "160f", "192")  # 160 / 192 is rounded
    network = with_views(SMALL, views)
    spec = ExportSpec(format, str(tmp_path / f"views.{format}"), views=views)
    images = comparison_images(None, network)
    if format == "tflite" and not converts_shared_weights():
        with assert_raises(MmnetError, "views", "TensorFlow 2.x"):
            export(small_weights._replace(network=network), [spec], images)
        return
    (card,) = export(small_weights._replace(network=network), [spec], images)
    assert card.largest_difference <= BOUNDS["float32"].limit
    assert (card.network.views, card.network.shape) == (views, (192, 192))
    if format == "tflite":
        with open(card.path, "rb") as file:
            assert b"SEGMENTER_METADATA" in file.read()
    if format == "onnx":
        os.remove(card_path(card.path))  # the metadata contain the views
    batched = open_predictor(card.path, batch_size=2)
    assert batched.network.shape == (192, 192)
    assert batched.network.views == (() if format == "pb" else views)
    np.testing.assert_allclose(batched(images), open_predictor(card.path)(images), atol=1e-5)


def dropped_dilations(graph_def):
    native = native_dilations(graph_def)
    for node in native.node:
        if node.op == "DepthwiseConv2dNative":
            node.attr["dilations"].list.i[:] = [1, 1, 1, 1]
    return native


@pytest.fixture
def break_export(monkeypatch, small_predictor):
    """Replace a step of the export by a broken function."""
    monkeypatch.setattr(export_module, "open_weights", lambda weights, device: small_predictor)

    def break_export(broken):
        if broken is swapped_channels:
            monkeypatch.setattr(export_module, "inference_graph", broken)
        else:
            monkeypatch.setattr(formats, "native_dilations", broken)

    return break_export


@pytest.mark.parametrize(
    "format, precision, broken",
    [  # a SavedModel and a frozen graph keep their dilations, because they are not converted
        ("pb", "float32", swapped_channels),
        ("savedmodel", "float32", swapped_channels),
        ("tflite", "float32", swapped_channels),
        ("tflite", "float32", dropped_dilations),
        ("tflite", "float16", swapped_channels),
        ("tflite", "dynamic", swapped_channels),
        ("tflite", "int8", swapped_channels),
        ("onnx", "float32", swapped_channels),
        ("onnx", "float32", dropped_dilations),
    ],
)
def test_export_detects_a_wrong_model(
    small_weights, small_images, tmp_path, break_export, format, precision, broken
):
    if format == "onnx":
        need_onnx()
    path = target = tmp_path / ("mmnet." + format)
    if format == "savedmodel":
        target.mkdir()
        path = target / "saved_model.pb"
    path.write_bytes(OLD_EXPORTS[format])
    representative = None
    if precision == "int8":
        representative = RepresentativeImages(small_images, "minmax", {})
    break_export(broken)
    statistic, limit = BOUNDS[precision]
    with assert_raises(ExportMismatch, target, statistic, precision, limit):
        spec = ExportSpec(format, str(target), precision)
        export(small_weights, [spec], small_images, representative)
    assert path.read_bytes() == OLD_EXPORTS[format] and len(os.listdir(str(tmp_path))) == 1


def test_export_writes_all_models_or_none(small_weights, small_images, tmp_path, break_export):
    break_export(dropped_dilations)
    specs = [
        ExportSpec("savedmodel", str(tmp_path / "savedmodel")),
        ExportSpec("tflite", str(tmp_path / "mmnet_float32.tflite")),
    ]
    with assert_raises(ExportMismatch, "mmnet_float32.tflite"):
        export(small_weights, specs, small_images)
    assert not os.listdir(str(tmp_path))


@pytest.mark.parametrize("fold", [False, True])
def test_unfolded_graphs_have_a_smaller_bound(
    small_weights, small_images, small_predictor, tmp_path, monkeypatch, fold
):
    def open_shifted(weights, device):
        return lambda images: small_predictor(images) + np.float32(5e-5)

    monkeypatch.setattr(export_module, "open_weights", open_shifted)
    spec = ExportSpec("pb", str(tmp_path / "mmnet.pb"), fold=fold)
    if fold:
        (card,) = export(small_weights, [spec], small_images)
        assert 4e-5 < card.largest_difference <= 1e-4
    else:
        with assert_raises(ExportMismatch, 1e-5, "float32"):
            export(small_weights, [spec], small_images)
        assert not os.listdir(str(tmp_path))


@pytest.mark.parametrize(
    "contents",
    [
        {"letters.txt": b"dear"},
        {"saved_model.pb": b"a model of another program"},
        {"saved_model.pb": OLD_EXPORTS["savedmodel"], "letters.txt": b"dear"},
    ],
    ids=["letters", "foreign model", "letters beside an own model"],
)
def test_export_keeps_a_foreign_folder(small_weights, small_images, tmp_path, contents):
    folder = tmp_path / "savedmodel"
    folder.mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    with assert_raises(MmnetError, "output", folder):
        export(small_weights, [ExportSpec("savedmodel", str(folder))], small_images)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents


@pytest.fixture(scope="module")
def wide(small_weights, portrait_set, tmp_path_factory):
    """(predictor, {format: card}) of a network whose input is wider than high."""
    network = small_weights.network._replace(shape=(64, 96))
    weights = small_weights._replace(network=network)
    folder = str(tmp_path_factory.mktemp("models of 64x96"))
    available = ["pb", "savedmodel", "tflite", "onnx"]
    try:
        need_onnx()
    except pytest.skip.Exception:
        available.remove("onnx")
    specs = [ExportSpec(name, os.path.join(folder, "wide." + name)) for name in available]
    cards = export(weights, specs, comparison_images(portrait_set, network))
    return open_weights(weights, EXACT), dict(zip(available, cards))


@pytest.mark.parametrize("format", ["pb", "savedmodel", "tflite", "onnx"])
def test_export_of_a_wide_network(wide, portrait_set, format):
    predictor, cards = wide
    if format == "onnx":
        need_onnx()
    card, limit = cards[format], BOUNDS["float32"].limit
    assert card.largest_difference <= limit
    assert card.network == SMALL._replace(shape=(64, 96))
    assert card.input == "input_x float32 [1,64,96,3]: RGB in 0..255"
    assert card.output == "output float32 [1,64,96,1]: alpha in 0..1"
    assert read_card(card.path) == card
    model = mmnet.load(card.path)
    assert model.network.shape == (64, 96)
    images = comparison_images(portrait_set, model.network)
    assert images.shape == (4, 64, 96, 3)
    alphas = model(images)
    assert alphas.shape == (4, 64, 96)
    np.testing.assert_allclose(alphas, predictor(images), atol=limit)
    photo = portrait_set.pairs[0].image
    alpha = mmnet.matte(photo, model, clean_alpha=False)  # random alphas are all islands
    assert alpha.shape == (200, 150) and alpha.std() > 0.01
    expected = mmnet.matte(photo, predictor, clean_alpha=False)
    np.testing.assert_allclose(alpha, expected, atol=2e-4)


@pytest.mark.parametrize("step", [304500, 1898000])
def test_export_of_published_checkpoints(test_data, tmp_path, step):
    weights = load_weights(os.path.join(test_data, "checkpoints", f"MMNetModel-{step}"))
    frozen = ExportSpec("pb", str(tmp_path / "frozen.pb"), output_type="probabilities", fold=False)
    folded = frozen._replace(path=str(tmp_path / "folded.pb"), fold=True)
    specs = [frozen, folded, ExportSpec("tflite", str(tmp_path / "mmnet.tflite"))]
    cards = export(weights, specs, comparison_images(None, weights.network))
    for card, bound in zip(cards, ("unfolded", "float32", "float32")):
        assert card.largest_difference <= BOUNDS[bound].limit and card.mean_difference < 1e-6
        with open(card.path, "rb") as file:
            data = file.read()
        assert (card.bytes, card.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert card.input == "input_x float32 [1,256,256,3]: RGB in 0..255"
    frozen, folded, tflite = (card.operations for card in cards)
    assert frozen["Conv2D"] == folded["Conv2D"] == 57
    assert "BiasAdd" not in frozen and "BiasAdd" in folded
    if tflite is not None:
        assert (tflite["DEPTHWISE_CONV_2D"], tflite["RESIZE_BILINEAR"]) == (49, 3)
        assert sum(tflite.values()) == 124
