"""Tests of mmnet.commands.presets and of the options that all commands declare."""

import dataclasses
import glob
import os

import pytest

from helpers import ROOT, assert_message, assert_raises
from mmnet.commands import COMMANDS, flag_types, load_command, presets
from mmnet.commands.options import REQUIRED, BaseOptions
from mmnet.commands.presets import find_preset, list_presets, presets_folder, read_preset, resolve
from mmnet.io.errors import MmnetError
from mmnet.networks.network import make_network
from mmnet.weights.run_file import to_yaml

PRESETS = sorted(glob.glob(os.path.join(ROOT, "configs", "*.yaml")))
FIELDS = [
    (command, field)
    for command in COMMANDS
    for field in dataclasses.fields(load_command(command).Options)
]
FIELD_IDS = [f"{command}-{field.name}" for command, field in FIELDS]


@pytest.fixture
def dataset_flags(tmp_path):
    return {"dataset_path": str(tmp_path)}


@pytest.fixture
def training_flags(tmp_path):
    return {"dataset_path": [str(tmp_path)], "train_dir": str(tmp_path / "T")}


def write(tmp_path, text, name="preset.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_options_have_a_description(command):
    options_class = load_command(command).Options
    assert issubclass(options_class, BaseOptions)
    assert options_class.__doc__.splitlines()[0].endswith(".")


@pytest.mark.parametrize("command, field", FIELDS, ids=FIELD_IDS)
def test_default_is_a_value_that_the_flag_accepts(command, field):
    parse = field.metadata["parse"]
    assert callable(parse) and field.metadata["help"]
    if field.default in (REQUIRED, None, ()) or parse is flag_types.source:
        return
    values = field.default if isinstance(field.default, tuple) else (field.default,)
    for value in values:
        text = f"{value >> 20}MB" if parse is flag_types.size_in_bytes else str(value)
        expected = (value,) if parse is flag_types.positive_ints else value
        assert parse(text) == expected


def test_resolve_prefers_flag_then_preset_then_default(tmp_path, dataset_flags):
    preset = write(
        tmp_path, "size: 128\nbatch_size: 4\ntarget_eval_shape: [400, 300]\nall_metrics: true\n"
    )
    options = resolve("evaluate", dict(dataset_flags, batch_size="2"), preset)
    assert (options.size, options.batch_size, options.valid_type) == (128, 2, "once")
    network = make_network(options.network_fields())
    assert (network.shape, network.width_multiplier) == ((128, 128), 1.0)
    assert options.target_eval_shape == (400, 300) and options.all_metrics is True
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.size = 64


@pytest.mark.parametrize(
    "text, flags, shape",
    [
        ("size: 128", {"shape": ["64", "96"]}, (64, 96)),
        ("shape: [64, 96]", {"size": "128"}, (128, 128)),
        ("size: 128", {}, (128, 128)),
    ],
)
def test_resolve_prefers_flag_to_other_name_in_preset(tmp_path, dataset_flags, text, flags, shape):
    options = resolve("evaluate", dict(dataset_flags, **flags), write(tmp_path, text))
    assert options.network_fields() == {"shape": shape}


def test_checkpoint_command_rejects_model_file(tmp_path, dataset_flags):
    model = write(tmp_path, "", "model.pb")
    with assert_raises(MmnetError, "--checkpoint_path", model):
        resolve("check-batch-norm", dict(dataset_flags, checkpoint_path=model))


@pytest.mark.parametrize("in_preset", [False, True])
def test_size_and_shape_exclude_each_other(tmp_path, dataset_flags, in_preset):
    preset = write(tmp_path, "size: 64\nshape: [64, 96]") if in_preset else None
    flags = {} if in_preset else {"size": "64", "shape": ["64", "96"]}
    with assert_raises(MmnetError, "--size", "--shape"):
        resolve("evaluate", dict(dataset_flags, **flags), preset)


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("width_multiplier: 5e-1", "width_multiplier", 0.5),
        ("background: white\nsize: 64", "size", 64),
        ("size: null\nbatch_size: ~", "size", None),
        ("temperature: 2", "logit_scale", 2.0),
    ],
    ids=["float without point", "option of another command", "null", "old name"],
)
def test_preset_value(tmp_path, dataset_flags, text, name, value):
    options = resolve("evaluate", dataset_flags, write(tmp_path, text))
    assert getattr(options, name) == value


def test_preset_accepts_alias(tmp_path, dataset_flags):
    model = write(tmp_path, "", "x.pb")
    preset = write(tmp_path, f"model: {model}")
    assert resolve("evaluate", dataset_flags, preset).checkpoint_path == model


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("bacth_size: 4", ["bacth_size", "batch_size"]),
        ("batch_size: four", ["batch_size four"]),
        ("batch_size: [4]", ["batch_size", "one value"]),
        ("batch_size: ''", ["batch_size", "empty"]),
        ("size: 250", ["size 250", "256"]),
        ("target_eval_shape: [800]", ["target_eval_shape", "2 values"]),
        ("valid_type: twice", ["valid_type twice", "once, loop"]),
        ("json: 1", ["json 1", "true"]),
        ("width_multiplier: nan", ["width_multiplier nan"]),
        ("watch_timeout: soon", ["watch_timeout soon", "90s"]),
        ("worst: -1", ["worst -1"]),
        ("lambda_focal_loss: 1", ["lambda_focal_loss", "--loss_weights focal"]),
        ("- size", ["name: value"]),
        ("size: [", ["YAML"]),
    ],
)
def test_invalid_preset_is_reported(tmp_path, dataset_flags, text, tokens):
    preset = write(tmp_path, text)
    with assert_raises(MmnetError, preset, *tokens) as caught:
        resolve("evaluate", dataset_flags, preset)
    assert "\n" not in str(caught.value)


def test_missing_flag_and_missing_paths_are_reported(tmp_path, dataset_flags):
    missing = str(tmp_path / "none")
    with assert_raises(MmnetError, "photos: is required"):
        resolve("predict", {"output": "o"})
    with assert_raises(MmnetError, "--dataset_path"):
        resolve("evaluate", {})
    with assert_raises(FileNotFoundError, missing):
        resolve("evaluate", {"dataset_path": missing})
    with assert_raises(FileNotFoundError, missing):
        resolve("train", {"dataset_path": [str(tmp_path), missing], "train_dir": "T"})
    with assert_raises(FileNotFoundError, missing):
        resolve("evaluate", dict(dataset_flags, checkpoint_path=missing))


@pytest.mark.parametrize("command, field", FIELDS, ids=FIELD_IDS)
def test_empty_value_is_refused(tmp_path, command, field):
    nargs = field.metadata["nargs"]
    for value in ("", "  "):
        if nargs is not None:
            value = ["1"] * (nargs - 1 if isinstance(nargs, int) else 0) + [value]
        try:
            resolve(command, {field.name: value})
        except MmnetError as error:
            assert_message(str(error), field.name)
        else:
            raise AssertionError(f"--{field.name} accepts an empty value")
        preset = write(tmp_path, f"{field.name}: {value!r}")
        with assert_raises(MmnetError, preset, field.name):
            resolve(command, {}, preset)


@pytest.mark.parametrize("path", PRESETS, ids=os.path.basename)
def test_shipped_preset_contains_only_differences(path, tmp_path, training_flags):
    (tmp_path / "MMNetModel-1.index").write_text("")  # a preset may need a warm start
    flags = dict(training_flags, checkpoint_path=str(tmp_path))
    defaults, options = resolve("train", flags), resolve("train", flags, path)
    network = make_network({})
    defaults = dataclasses.replace(
        defaults,
        network=network.name,
        width_multiplier=network.width_multiplier,
        size=network.shape[0],
    )
    for name in read_preset(path):
        assert getattr(options, name) != getattr(defaults, name), name
    with open(path) as file:
        assert file.read().startswith("# ")  # purpose and expected result


@pytest.mark.parametrize("path", PRESETS, ids=os.path.basename)
def test_find_preset_finds_names_from_any_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.path.splitext(os.path.basename(path))[0]
    assert name in list_presets()
    for spelling in (name, f"{name}.yaml", f"configs/{name}.yaml"):
        assert os.path.samefile(find_preset(spelling), path)


def test_find_preset_prefers_file_but_not_folder(tmp_path, monkeypatch, training_flags):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parity").mkdir()  # for example a run with this name
    assert resolve("train", training_flags, "parity").loss_parameters
    (tmp_path / "parity").rmdir()
    write(tmp_path, "seed: 7", "parity")
    assert resolve("train", training_flags, "parity").seed == 7


def test_presets_folder_is_inside_an_installed_package(tmp_path, monkeypatch):
    assert os.path.samefile(presets_folder(), os.path.join(ROOT, "configs"))
    for folder in ("site/mmnet/commands", "site/mmnet/configs"):
        (tmp_path / folder).mkdir(parents=True)
    path = str(tmp_path / "site/mmnet/commands/presets.py")
    monkeypatch.setattr(presets, "__file__", path)
    assert presets_folder() == str(tmp_path / "site" / "mmnet" / "configs")


@pytest.mark.parametrize(
    "name, token",
    [
        ("parrity", "parity"),
        ("quantise.yaml", "quantize"),
        ("somewhere/xyz.yaml", "deeplab_os16_dm0.5_256"),
        ("", "''"),
    ],
)
def test_unknown_preset_is_reported(name, token, training_flags):
    with assert_raises(FileNotFoundError, "--config", repr(name), token):
        resolve("train", training_flags, name)


def test_options_survive_yaml(tmp_path):
    for name in ("A", "B c"):
        (tmp_path / name).mkdir()
    flags = {
        "dataset_path": [str(tmp_path / "A"), str(tmp_path / "B c")],
        "train_dir": "T",
        "dataset_weights": ["1", "3"],
        "learning_rate": "2e-5",
        "cache": "500MB",
        "use_ema": "true",
    }
    options = resolve("train", flags)
    assert options.cache == "500MB"
    assert resolve("train", {}, write(tmp_path, to_yaml(dataclasses.asdict(options)))) == options


def test_deprecated_flag_warns(dataset_flags, caplog):
    options = resolve("evaluate", dict(dataset_flags, temperature="2"))
    assert options.logit_scale == 2
    assert_message(caplog.text, "--temperature", "--logit_scale")
