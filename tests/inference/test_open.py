"""Tests of mmnet.inference.open."""

import json
import os
import shutil

import numpy as np
import pytest

from helpers import SMALL, assert_message, assert_raises
from helpers.models import need_onnx
from mmnet import cli
from mmnet.evaluation.evaluate import evaluate
from mmnet.inference import open as open_module
from mmnet.inference.checkpoints import CheckpointPredictor
from mmnet.inference.open import (
    load_weights,
    open_for_photos,
    open_predictor,
    photo_views,
    prefer_model_file,
)
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network, with_views
from mmnet.networks.views import scaled_views
from mmnet.tf.device import Device
from mmnet.weights.registry import DEFAULT, FAST, find_entry
from mmnet.weights.source import Source, find_source
from mmnet.weights.values import WeightOptions

FIELDS = {"name": "tiny", "shape": (64, 64)}
OUTSIDE = ["outside.pb", "outside", "outside.tflite"]
NETWORKS = {  # model file -> the network that it records
    "frozen.pb": Network(width_multiplier=None, shape=SMALL.shape),
    "savedmodel": Network(width_multiplier=None, shape=SMALL.shape),
    "mmnet.tflite": SMALL,
    "mmnet.onnx": Network(shape=SMALL.shape),
}


@pytest.fixture
def checkpoint_folder(small_weights, tmp_path):
    """A folder with the checkpoint of small_weights and no config.yaml."""
    for path in checkpoint_files.files_of(small_weights.source):
        shutil.copy(path, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", OUTSIDE + ["outside.onnx"])
def test_every_format_equals_its_checkpoint(exported_models, small_images, small_predictor, name):
    if name.endswith(".onnx"):
        need_onnx()
    else:
        exported_models(*OUTSIDE)
    with open_predictor(exported_models.path(name)) as model:
        assert (model.network.shape, model.card.preprocess) == (SMALL.shape, "outside")
        assert (model.card.output_type, model.precision) == ("probabilities", "float32")
        expected = small_predictor(small_images)
        np.testing.assert_allclose(model(small_images), expected, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_model_file_describes_itself(exported_models, name):
    card = exported_models(name)[0]
    model = open_predictor(card.path)
    assert model.network == NETWORKS[name] and model.card.output_type == card.output_type
    assert (model.card.preprocess, model.precision) == ("inside", "float32")
    assert (model.source, model.step, model.sha256) == (card.path, None, card.sha256)
    assert model.card.parameters == card.parameters
    assert model.card.multiply_adds == card.multiply_adds
    assert model.card.operations == card.operations


@pytest.mark.parametrize("name", [*NETWORKS, "logits.onnx"])
def test_batches_and_threads_do_not_change_alphas(exported_models, small_images, name):
    path = exported_models.path(name)
    single = open_predictor(path, device=Device(exact=True))
    batched = open_predictor(path, device=Device(exact=True, threads=1), batch_size=2)
    assert (single.batch_size, batched.batch_size) == (1, 2)
    assert single.card.parameters == batched.card.parameters
    assert single.card.multiply_adds == batched.card.multiply_adds
    np.testing.assert_allclose(batched(small_images), single(small_images), atol=1e-6)


@pytest.mark.parametrize("as_source", [False, True], ids=["text", "source"])
def test_checkpoint_equals_its_weights(small_weights, small_images, small_predictor, as_source):
    folder = os.path.dirname(small_weights.source)
    model = open_predictor(find_source(folder) if as_source else folder, FIELDS)
    assert model.network == SMALL
    assert (model.source, model.step, model.batch_size) == (small_weights.source, 5, None)
    assert model.sha256 == checkpoint_files.index_sha256(small_weights.source)
    np.testing.assert_allclose(model(small_images), small_predictor(small_images), atol=1e-5)


def test_checkpoint_opens_with_views(small_weights, exported_models):
    for count in (2, 3):
        network = open_predictor(small_weights.source, FIELDS, views=count).network
        assert network == with_views(SMALL, scaled_views(SMALL.shape, count))
        assert (network.base_shape, len(network.views)) == (SMALL.shape, count)
    source, video = find_source(small_weights.source), dict(FIELDS, channels=4)
    assert photo_views(source, FIELDS) == 3 and photo_views(source, video) is None
    names = {DEFAULT: 3, FAST: 1}
    assert {name: photo_views(find_source(name)) for name in names} == names
    model = exported_models.path("mmnet.tflite")
    assert photo_views(find_source(model)) is None
    assert open_predictor(model, views=1).network == open_for_photos(model).network == SMALL
    with assert_raises(MmnetError, "views", 2, "mmnet.tflite"):
        open_predictor(model, views=2)
    with assert_raises(MmnetError, "views", 4):
        open_predictor("untrained", FIELDS, views=4)


def test_untrained_network_has_no_source():
    model = open_predictor("untrained", FIELDS)
    assert (model.network, model.source, model.step, model.sha256) == (SMALL, None, None, None)


def test_logit_scale_multiplies_the_classifier(small_weights):
    classifier = "Tiny/final_block/pointwise_conv/weights"
    for source in (small_weights.source, "untrained"):
        plain, scaled = (
            load_weights(source, FIELDS, WeightOptions(logit_scale=scale)).values
            for scale in (1.0, 2.0)
        )
        np.testing.assert_allclose(scaled[classifier], 2 * plain[classifier])


@pytest.mark.parametrize(
    "record, network",
    [
        ("width_multiplier: 0.25\nsize: 64\n", Network("mmnet", 0.25, (64, 64))),  # version 0.1
        ("network: tiny\nwidth_multiplier: .5\nshape: [64, 96]", Network("tiny", 0.5, (64, 96))),
        ("", Network()),
    ],
    ids=["0.1", "0.2", "no record"],
)
def test_network_comes_from_fields_then_record_then_defaults(checkpoint_folder, record, network):
    (checkpoint_folder / "config.yaml").write_text(record)
    folder = str(checkpoint_folder)
    assert load_weights(folder).network == network
    fields = {"name": "deeplab", "shape": (96, 32)}
    assert load_weights(folder, fields).network == network._replace(**fields)


@pytest.mark.parametrize("extension", ["tflite", "onnx", "pb"])
def test_open_predictor_rejects_missing_model_files(tmp_path, extension):
    with assert_raises(FileNotFoundError, f"x.{extension}"):
        open_predictor(str(tmp_path / f"x.{extension}"))


def test_open_predictor_rejects_other_paths(exported_models, tmp_path):
    with assert_raises(FileNotFoundError, "*.index", tmp_path):
        open_predictor(str(tmp_path))
    (tmp_path / "a.bin").write_text("x")
    with assert_raises(FileNotFoundError, "a.bin"):
        open_predictor(str(tmp_path / "a.bin"))
    with assert_raises(MmnetError, "frozen.pb", "64x64", "64x96"):
        open_predictor(exported_models.path("frozen.pb"), {"shape": [64, 96]})
    with assert_raises(MmnetError, "frozen.pb"):
        load_weights(exported_models.path("frozen.pb"))


@pytest.mark.parametrize("options", [{"use_ema": True}, {"logit_scale": 2.0}], ids=str)
def test_model_file_rejects_options_of_checkpoints(exported_models, options):
    path = exported_models.path("frozen.pb")
    with assert_raises(MmnetError, path, *options):
        open_predictor(path, weight_options=WeightOptions(**options))
    if "use_ema" in options:
        with assert_raises(MmnetError, "use_ema"):
            open_predictor("untrained", FIELDS, weight_options=WeightOptions(**options))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "arguments, parameter",
    [
        pytest.param({"weight_options": WeightOptions(use_ema=True)}, "use_ema", id="use_ema"),
        pytest.param({"weight_options": WeightOptions(True, 5)}, "use_ema", id="two options"),
        pytest.param({"network_fields": {"name": "deeplab"}}, "network", id="network"),
        pytest.param({"network_fields": {"width_multiplier": 0.5}}, "width_multiplier", id="width"),
        pytest.param({"network_fields": {"channels": 4}}, "channels", id="channels"),
    ],
)
def test_option_that_a_model_file_cannot_apply_is_an_error(
    exported_models, name, arguments, parameter
):
    path = exported_models.path(name)
    with assert_raises(MmnetError, path) as caught:
        open_predictor(path, **arguments)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("name", ["mmnet.tflite", "mmnet.onnx"])
@pytest.mark.parametrize("kind", ["gpu", "npu"])
def test_device_of_a_model_file_is_the_cpu(exported_models, name, kind):
    path = exported_models.path(name)
    with assert_raises(MmnetError, path, kind) as caught:
        open_predictor(path, device=Device(kind))
    assert caught.value.parameter == "device"
    open_predictor(path, device=Device("cpu")).close()


def test_model_file_accepts_its_own_network(exported_models):
    fields = {"name": "tiny", "shape": [64, 64], "channels": 3, "width_multiplier": 1.0}
    assert open_predictor(exported_models.path("mmnet.tflite"), fields).network == SMALL


def test_weights_by_name_prefer_their_model_file(monkeypatch):
    source = find_source(DEFAULT)
    folder = os.path.dirname(source.path)
    paths = [os.path.join(folder, model) for model in find_entry(DEFAULT).models]
    runtimes = {"tflite", "onnx"}
    monkeypatch.setattr(open_module, "has_runtime", runtimes.__contains__)
    assert prefer_model_file(source).path == paths[0]
    for count, several in find_entry(DEFAULT).views.items():
        path = prefer_model_file(source, int(count)).path
        assert path == os.path.join(folder, several.models[0])
    assert prefer_model_file(find_source(FAST), 3).kind == "checkpoint"
    runtimes.discard("tflite")
    assert prefer_model_file(source) == Source("onnx", paths[1], DEFAULT)
    runtimes.discard("onnx")
    assert prefer_model_file(source) == source


@pytest.mark.parametrize(
    "arguments",
    [
        {"device": Device("cpu")},
        {"weight_options": WeightOptions(logit_scale=2.0)},
        {"network_fields": {"shape": (32, 32)}},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_weights_by_name_open_their_checkpoint_for_some_arguments(arguments):
    with open_predictor(DEFAULT, **arguments) as predictor:
        assert isinstance(predictor, CheckpointPredictor) and predictor.name == DEFAULT


def test_predictor_has_the_name_of_its_weights(exported_models):
    with open_predictor() as predictor:
        assert predictor.name == DEFAULT and predictor.source.endswith((".tflite", ".onnx"))
    assert open_predictor(exported_models.path("mmnet.tflite")).name is None


def test_evaluate_and_predict_accept_model_files(
    exported_models, small_predictor, portraits, portrait_set, tmp_path, capsys
):
    model = exported_models.path("mmnet.tflite")
    arguments = ["evaluate", "--dataset_path", portraits, "--model", model]
    assert cli.main(arguments + ["--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    expected = evaluate(small_predictor, portrait_set).scores["mad", "network"].mean()
    assert scores["MAD/test"] == pytest.approx(expected, abs=1e-5)
    assert (scores["checkpoint"], scores["pictures"]) == (model, 6)
    assert not os.path.exists(os.path.join(os.path.dirname(model), "eval"))  # only printed
    output = tmp_path / "scores"
    assert cli.main(arguments + ["--output", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["MAD/test"] == scores["MAD/test"]
    assert [name for _, _, names in os.walk(str(output)) for name in names]
    assert cli.main(arguments + ["--shape", "64", "96"]) == 2
    assert_message(capsys.readouterr().err, "64x64", "64x96")
    photo, cutouts = portrait_set.pairs[0].image, str(tmp_path / "cutouts")
    assert cli.main(["predict", photo, "--model", model, "--output", cutouts]) == 0
    assert len(os.listdir(cutouts)) == 2


SOURCE_COMMANDS = {
    "info": ["info", "SOURCE"],
    "predict": ["predict", "PHOTO", "--checkpoint_path", "SOURCE", "--output", "OUTPUT"],
    "evaluate": ["evaluate", "--dataset_path", "DATASET", "--checkpoint_path", "SOURCE"],
    "freeze": ["freeze", "--checkpoint_path", "SOURCE", "--output", "OUTPUT/x.pb"],
    "export": ["export", "--checkpoint_path", "SOURCE", "--format", "pb", "--output", "OUTPUT"],
}


@pytest.mark.parametrize("command", SOURCE_COMMANDS)
def test_command_resolves_its_source_once(
    run_folder, portraits, portrait_set, tmp_path, monkeypatch, capsys, command
):
    texts = []
    find_checkpoint = checkpoint_files.find_checkpoint

    def record(text):
        texts.append(text)
        return find_checkpoint(text)

    values = {
        "SOURCE": run_folder,
        "PHOTO": portrait_set.pairs[0].image,
        "DATASET": portraits,
        "OUTPUT": str(tmp_path / "output"),
        "OUTPUT/x.pb": str(tmp_path / "x.pb"),
    }
    arguments = [values.get(word, word) for word in SOURCE_COMMANDS[command]]
    options = cli.parse_options(command, arguments[1:])
    monkeypatch.setattr(checkpoint_files, "find_checkpoint", record)
    assert cli.load_command(command).run(options) == 0
    assert texts == [run_folder]
