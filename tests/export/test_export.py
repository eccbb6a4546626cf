"""A checkpoint as a model file: built, compared with the checkpoint, then handed over."""

import json
import os

import numpy as np
import pytest

import mmnet
from helpers.lively import MODELS, OLDER, need_onnx, swapped_channels
from mmnet.export import export as export_module
from mmnet.export import formats
from mmnet.export.export import BOUNDS, ExportMismatch, ExportSpec, comparison_images, export
from mmnet.export.graphs import native_dilations
from mmnet.export.representative import Calibration
from mmnet.inference.card import card_path, card_to_dict, read_card
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights, open_predictor
from mmnet.networks.network import Network

FORMATS = ["alpha", "mmnet.tflite", "logits.tflite"]
ONNX = ["mmnet.onnx", "outside.onnx"]
PRECISIONS = ["float16.tflite", "dynamic.tflite", "int8.tflite", "uint8.tflite"]


def parse_card(delivered, name, together):
    """The Card of one of some models that are made together: half as much to open."""
    return dict(zip(together, delivered(*together)))[name]


@pytest.mark.parametrize("name", FORMATS + ONNX)
def test_every_format(delivered, lively_weights, lively_images, name):
    form, card = MODELS[name], parse_card(delivered, name, ONNX if name in ONNX else FORMATS)
    assert card.largest_difference <= BOUNDS["float32"][1]
    model = open_predictor(card.path)
    assert (model.network.shape, model.card.preprocess) == ((64, 64), form.preprocess)
    assert (model.card.output_type, model.precision) == (form.output_type, "float32")
    channels = 1 if form.output_type == "alpha" else 2
    assert model.run(lively_images[:1] / 255).shape == (1, 64, 64, channels)
    with open(card_path(card.path)) as file:
        written = json.load(file)
    assert written == json.loads(json.dumps(card_to_dict(card)))
    assert written["network"] == json.loads(json.dumps(lively_weights.network._asdict()))
    assert written["input"].startswith("input_x float32 [1,64,64,3]: RGB in 0..")
    assert written["checkpoint"] == lively_weights.source
    assert len(written["index_sha256"]) == len(written["sha256"]) == 64
    assert read_card(card.path) == card


def test_models_and_their_cards_and_nothing_else(delivered):
    cards = delivered(*FORMATS)
    names = os.listdir(delivered.folder)
    for card in cards:
        assert os.path.basename(card.path) in names
    models = [name for name in names if name in MODELS]
    assert sorted(names) == sorted(models + [name + ".json" for name in models])


@pytest.mark.parametrize("name", PRECISIONS)
def test_every_precision_of_tflite(delivered, lively_predictor, lively_images, name):
    form, card = MODELS[name], parse_card(delivered, name, PRECISIONS)
    assert 0 < card.mean_difference <= BOUNDS[form.precision][1]
    assert (" uint8 " in card.input) == (form.io == "uint8")
    assert card.calibration == ({"split": "train"} if form.precision == "int8" else None)
    model = open_predictor(card.path)
    assert model.precision == form.precision
    difference = np.abs(model(lively_images) - lively_predictor(lively_images))
    assert difference.mean() <= BOUNDS[form.precision][1]


def dropped_dilations(graph_def):
    native = native_dilations(graph_def)
    for node in native.node:
        if node.op == "DepthwiseConv2dNative":
            node.attr["dilations"].list.i[:] = [1, 1, 1, 1]
    return native


@pytest.fixture
def break_with(monkeypatch, lively_predictor):
    """Break a step of the export: function that makes it -> None."""
    # What the models are compared with is opened once for all.
    monkeypatch.setattr(export_module, "open_weights", lambda weights, device: lively_predictor)

    def break_with(broken):
        if broken is swapped_channels:
            monkeypatch.setattr(export_module, "inference_graph", broken)
        else:
            monkeypatch.setattr(formats, "native_dilations", broken)

    return break_with


@pytest.mark.parametrize(
    "form, broken",
    [  # a SavedModel and a frozen graph are not converted: they have no dilations to lose
        ("pb", swapped_channels),
        ("savedmodel", swapped_channels),
        ("tflite", swapped_channels),
        ("tflite", dropped_dilations),
        ("onnx", swapped_channels),
        ("onnx", dropped_dilations),
    ],
)
def test_a_broken_conversion_is_refused(
    lively_weights, lively_images, tmp_path, break_with, form, broken
):
    if form == "onnx":
        need_onnx()
    path = target = tmp_path / ("mmnet." + form)
    if form == "savedmodel":
        target.mkdir()
        path = target / "saved_model.pb"
    path.write_bytes(OLDER[form])
    break_with(broken)
    with pytest.raises(ExportMismatch, match="is not written: its alphas are up to"):
        export(lively_weights, [ExportSpec(form, str(target))], lively_images)
    assert path.read_bytes() == OLDER[form] and len(os.listdir(str(tmp_path))) == 1


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int8"])
def test_a_broken_conversion_of_low_precision(
    lively_weights, lively_images, tmp_path, break_with, precision
):
    calibration = Calibration(lively_images, "minmax", {}) if precision == "int8" else None
    break_with(swapped_channels)
    form = ExportSpec("tflite", str(tmp_path / "mmnet.tflite"), precision)
    with pytest.raises(ExportMismatch, match="in the mean off the checkpoint's"):
        export(lively_weights, [form], lively_images, calibration)
    assert not os.listdir(str(tmp_path))


def test_all_are_handed_over_or_none(lively_weights, lively_images, tmp_path, break_with):
    break_with(dropped_dilations)
    forms = [
        ExportSpec("savedmodel", str(tmp_path / "savedmodel")),
        ExportSpec("tflite", str(tmp_path / "mmnet_float32.tflite")),
    ]
    with pytest.raises(ExportMismatch, match="mmnet_float32.tflite is not written"):
        export(lively_weights, forms, lively_images)
    assert not os.listdir(str(tmp_path))


@pytest.mark.parametrize("fold", [False, True])
def test_an_unfolded_graph_differs_by_rounding_only(
    delivered, lively_weights, lively_images, lively_predictor, tmp_path, monkeypatch, fold
):
    """What a folded graph may differ by is too much for one whose numbers are the checkpoint's."""
    assert BOUNDS["unfolded"] == ("largest", 1e-5) and BOUNDS["float32"] == ("largest", 1e-4)
    (card,) = delivered("frozen.pb")
    assert card.largest_difference <= BOUNDS["unfolded"][1]

    def moved(weights, device):
        return lambda images: lively_predictor(images) + np.float32(5e-5)

    monkeypatch.setattr(export_module, "open_weights", moved)
    form = ExportSpec("pb", str(tmp_path / "mmnet.pb"), fold=fold)
    if fold:
        (card,) = export(lively_weights, [form], lively_images)
        assert 4e-5 < card.largest_difference <= 1e-4
    else:
        with pytest.raises(ExportMismatch, match="at most 1e-05 is the rounding of float32"):
            export(lively_weights, [form], lively_images)
        assert not os.listdir(str(tmp_path))


def test_nan_is_beyond_every_bound():
    for float32 in ("float32", "unfolded"):
        for precision in ("float32", "float16", "dynamic", "int8"):
            assert export_module.bound_violation(float32, precision, float("nan"), float("nan"))
            assert export_module.bound_violation(float32, precision, 0.0, 0.0) is None


def test_a_folder_that_is_not_ours_stays(lively_weights, lively_images, tmp_path):
    (tmp_path / "savedmodel").mkdir()
    (tmp_path / "savedmodel" / "letters.txt").write_text("dear")
    form = ExportSpec("savedmodel", str(tmp_path / "savedmodel"))
    with pytest.raises(ValueError, match="is not a SavedModel and stays"):
        export(lively_weights, [form], lively_images)
    assert (tmp_path / "savedmodel" / "letters.txt").read_text() == "dear"


@pytest.fixture(scope="module")
def wide(lively_weights, portrait_set, tmp_path_factory):
    """(predictor, {format: card}) of a network that is wider than high."""
    network = lively_weights.network._replace(shape=(64, 96))
    weights = lively_weights._replace(network=network)
    folder = str(tmp_path_factory.mktemp("models of 64x96"))
    formats_here = ["pb", "savedmodel", "tflite", "onnx"]
    try:
        need_onnx()
    except pytest.skip.Exception:
        formats_here.remove("onnx")
    forms = [ExportSpec(form, os.path.join(folder, "wide." + form)) for form in formats_here]
    cards = export(weights, forms, comparison_images(portrait_set, network))
    return open_weights(weights, export_module.EXACT), dict(zip(formats_here, cards))


@pytest.mark.parametrize("form", ["pb", "savedmodel", "tflite", "onnx"])
def test_a_network_that_is_not_square(wide, portrait_set, form):
    predictor, cards = wide
    if form == "onnx":
        need_onnx()
    card = cards[form]
    assert card.largest_difference <= BOUNDS["float32"][1]
    assert card.network == Network(width_multiplier=0.25, shape=(64, 96))
    assert card.input == "input_x float32 [1,64,96,3]: RGB in 0..255"
    assert card.output == "output float32 [1,64,96,1]: alpha in 0..1"
    assert read_card(card.path) == card
    model = mmnet.load(card.path)
    assert model.network.shape == (64, 96)
    images = comparison_images(portrait_set, model.network)
    assert images.shape == (4, 64, 96, 3)
    alphas = model(images)
    assert alphas.shape == (4, 64, 96)
    np.testing.assert_allclose(alphas, predictor(images), atol=BOUNDS["float32"][1])
    photo = portrait_set.pairs[0].image
    alpha = mmnet.matte(photo, model)
    assert alpha.shape == (200, 150) and alpha.std() > 0.01
    np.testing.assert_allclose(alpha, mmnet.matte(photo, predictor), atol=2e-4)


@pytest.mark.parametrize("step", [304500, 1898000])
def test_published_checkpoints(test_data, tmp_path, step):
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step)
    weights = load_weights(prefix)
    form = ExportSpec("tflite", str(tmp_path / "mmnet.tflite"))
    (card,) = export(weights, [form], comparison_images(None, weights.network))
    assert card.largest_difference <= 1e-4 and card.mean_difference < 1e-6
    if card.operations is not None:
        assert card.operations["DEPTHWISE_CONV_2D"] == 49
        assert card.operations["RESIZE_BILINEAR"] == 3  # 0.1 had one more
        assert sum(card.operations.values()) == 124
