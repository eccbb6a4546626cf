import dataclasses
import glob
import os

import pytest

from helpers import ROOT
from mmnet.commands import presets as module
from mmnet.commands.presets import (
    find_preset,
    list_presets,
    network_of_run,
    network_of_training,
    presets_folder,
    read_preset,
    resolve,
    run_settings,
    to_yaml,
)
from mmnet.commands.settings import VERBS
from mmnet.networks.network import Network, make_network

PRESETS = sorted(glob.glob(os.path.join(ROOT, "configs", "*.yaml")))


@pytest.fixture
def needed(tmp_path):
    return {"dataset_path": str(tmp_path)}


@pytest.fixture
def training(tmp_path):
    return {"dataset_path": [str(tmp_path)], "train_dir": str(tmp_path / "T")}


def write(tmp_path, text, name="preset.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_flag_beats_preset_beats_default(tmp_path, needed):
    preset = write(
        tmp_path, "size: 128\nbatch_size: 4\ntarget_eval_shape: [400, 300]\nall_metrics: true\n"
    )
    settings = resolve("evaluate", dict(needed, batch_size="2"), preset)
    assert (settings.size, settings.batch_size, settings.valid_type) == (128, 2, "once")
    network = make_network(settings.wanted())
    assert (network.shape, network.width_multiplier) == ((128, 128), 1.0)
    assert settings.target_eval_shape == (400, 300) and settings.all_metrics is True
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.size = 64


@pytest.mark.parametrize(
    "text, flags, shape",
    [
        ("size: 128", {"shape": ["64", "96"]}, (64, 96)),
        ("shape: [64, 96]", {"size": "128"}, (128, 128)),
        ("size: 128", {}, (128, 128)),
    ],
)
def test_a_flag_beats_a_preset_that_says_it_in_the_other_way(tmp_path, needed, text, flags, shape):
    settings = resolve("evaluate", dict(needed, **flags), write(tmp_path, text))
    assert make_network(settings.wanted()).shape == shape


def test_size_and_shape_are_refused_together(tmp_path, needed):
    says = "--size and --shape do not go together"
    with pytest.raises(ValueError, match=says):
        resolve("evaluate", dict(needed, size="64", shape=["64", "96"]))
    with pytest.raises(ValueError, match=says):
        resolve("evaluate", needed, write(tmp_path, "size: 64\nshape: [64, 96]"))


def test_yaml_floats_without_a_point(tmp_path, needed):
    preset = write(tmp_path, "width_multiplier: 5e-1")
    assert resolve("evaluate", needed, preset).width_multiplier == 0.5


def test_a_preset_may_hold_another_verbs_settings(tmp_path, needed):
    preset = write(tmp_path, "background: white\nsize: 64")
    assert resolve("evaluate", needed, preset).size == 64


def test_a_setting_has_its_second_name_in_presets_too(tmp_path, needed):
    (tmp_path / "x.pb").write_text("")
    preset = write(tmp_path, "model: %s" % (tmp_path / "x.pb"))
    assert resolve("evaluate", needed, preset).checkpoint_path == str(tmp_path / "x.pb")


@pytest.mark.parametrize(
    "text, message",
    [
        ("bacth_size: 4", "no setting is named 'bacth_size'; did you mean 'batch_size'?"),
        ("batch_size: four", "batch_size: a whole number above 0, not 'four'"),
        ("batch_size: [4]", "batch_size: one value"),
        ("batch_size: ''", "batch_size: it is empty"),
        ("size: 250", "size: a multiple of 32 such as 256, not '250'"),
        ("target_eval_shape: [800]", "target_eval_shape: 2 values"),
        ("valid_type: twice", "valid_type: one of once, loop, not 'twice'"),
        ("json: 1", "json: true or false"),
        ("width_multiplier: -1", "width_multiplier: a number above 0"),
        ("width_multiplier: nan", "width_multiplier: a number above 0"),
        ("watch_timeout: soon", "watch_timeout: a time such as 90s"),
        ("worst: -1", "worst: a whole number, 0 or more"),
        ("- size", "a preset is lines of"),
        ("size: [", "is not YAML"),
    ],
)
def test_wrong_presets(tmp_path, needed, text, message):
    preset = write(tmp_path, text)
    with pytest.raises(ValueError) as error:
        resolve("evaluate", needed, preset)
    said = str(error.value)
    assert message in said and preset in said and "\n" not in said


def test_what_is_needed_is_named():
    with pytest.raises(ValueError, match="--dataset_path is needed: folder"):
        resolve("evaluate", {})


def test_missing_paths_are_named(tmp_path, needed):
    none = str(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no dataset folder %s" % none):
        resolve("evaluate", {"dataset_path": none})
    with pytest.raises(FileNotFoundError, match="no dataset folder %s" % none):
        resolve("train", {"dataset_path": [str(tmp_path), none], "train_dir": "T"})
    with pytest.raises(FileNotFoundError, match="no checkpoint %s" % none):
        resolve("evaluate", dict(needed, checkpoint_path=none))


FIELDS = [(verb, field) for verb in VERBS for field in dataclasses.fields(VERBS[verb])]


@pytest.mark.parametrize(
    "verb, field", FIELDS, ids=["%s-%s" % (verb, field.name) for verb, field in FIELDS]
)
def test_empty_values_are_refused(tmp_path, verb, field):
    """As ``--output "$UNSET"`` gives them."""
    count = field.metadata["count"]
    for empty in ("", "  "):
        value = empty
        if count is not None:
            value = ["1"] * (count - 1 if isinstance(count, int) else 0) + [empty]
        with pytest.raises(ValueError, match="--%s: it is empty" % field.name):
            resolve(verb, {field.name: value})
        preset = write(tmp_path, "%s: %r" % (field.name, value))
        with pytest.raises(ValueError, match="%s: %s: it is empty" % (preset, field.name)):
            resolve(verb, {}, preset)


def test_a_null_in_a_preset_is_as_good_as_absent(tmp_path, needed):
    assert resolve("evaluate", needed, write(tmp_path, "size: null\nbatch_size: ~")).size is None


@pytest.mark.parametrize("path", PRESETS, ids=os.path.basename)
def test_shipped_presets(path, tmp_path, training):
    from mmnet.training.losses import recipe_of
    from mmnet.training.train import LAMBDAS

    (tmp_path / "MMNetModel-1.index").write_text("")  # a preset may be for a warm start
    flags = dict(training, checkpoint_path=str(tmp_path))
    defaults, settings = resolve("train", flags), resolve("train", flags, path)
    # Flags of the network and its loss have no default of their own: what they mean without.
    network, recipe = make_network({}), recipe_of(make_network({}), {})
    meant = {"width_multiplier": network.width_multiplier, "size": network.shape[0]}
    meant.update(network=network.name, shape=network.shape)
    meant.update({setting: recipe.get(name, 0.0) for name, setting in LAMBDAS.items()})
    for name in read_preset(path):  # a preset says only what differs
        assert getattr(settings, name) != getattr(defaults, name), name
        assert getattr(settings, name) != meant.get(name, object()), name
    with open(path) as file:
        assert file.read().startswith("# ")  # what it is, and the result to expect


def test_presets_are_found_by_name_from_any_folder(tmp_path, monkeypatch, training):
    monkeypatch.chdir(tmp_path)
    names = [os.path.splitext(os.path.basename(path))[0] for path in PRESETS]
    assert list_presets() == names and len(names) > 5
    for name, path in zip(names, PRESETS):
        for said in (name, name + ".yaml", "configs/%s.yaml" % name):
            assert os.path.samefile(find_preset(said), path)
    assert resolve("train", training, "parity").composition_range == 255
    assert resolve("train", training, "configs/parity.yaml").composition_range == 255


def test_a_file_comes_before_a_name_and_a_folder_does_not(tmp_path, monkeypatch, training):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parity").mkdir()  # a run called so
    assert resolve("train", training, "parity").composition_range == 255
    (tmp_path / "parity").rmdir()
    write(tmp_path, "composition_range: 7", "parity")
    assert resolve("train", training, "parity").composition_range == 7


def test_presets_of_an_installed_package_lie_inside_it(tmp_path, monkeypatch):
    assert os.path.samefile(presets_folder(), os.path.join(ROOT, "configs"))
    for folder in ("site/mmnet/config", "site/mmnet/configs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "site/mmnet/config/resolve.py"))
    assert presets_folder() == str(tmp_path / "site" / "mmnet" / "configs")


@pytest.mark.parametrize(
    "name, says",
    [
        ("parrity", "no preset parrity; did you mean 'parity'?"),
        ("quantise.yaml", "no preset quantise.yaml; did you mean 'quantize'?"),
        ("somewhere/xyz.yaml", "no preset somewhere/xyz.yaml; presets: deeplab_os16_dm0.5_256, "),
        ("", "no preset of an empty name"),
    ],
)
def test_unknown_presets(name, says, training):
    with pytest.raises(FileNotFoundError) as error:
        resolve("train", training, name)
    assert "--config: " + says in str(error.value) and "\n" not in str(error.value)


def test_settings_survive_the_way_through_yaml(tmp_path):
    for name in ("A", "B c"):
        (tmp_path / name).mkdir()
    flags = {
        "dataset_path": [str(tmp_path / "A"), str(tmp_path / "B c")],
        "train_dir": "T",
        "dataset_weights": ["1", "3"],
        "learning_rate": "2e-5",
        "cache_budget": "500MB",
        "use_ema": "true",
    }
    settings = resolve("train", flags)
    assert settings.cache_budget == 500 << 20
    assert resolve("train", {}, write(tmp_path, to_yaml(settings))) == settings


@pytest.mark.parametrize("shape", [(64, 64), (64, 96)])
def test_a_run_says_its_network_to_later_verbs(tmp_path, training, shape):
    network = Network("other", 0.5, shape)
    settings = run_settings(resolve("train", training), network)
    write(tmp_path, to_yaml(settings), "config.yaml")
    prefix = str(tmp_path / "MMNetModel-5")
    assert make_network({}, network_of_run(prefix)) == network
    assert make_network({"shape": (32, 32)}, network_of_run(prefix)) == network._replace(
        shape=(32, 32)
    )
    # The run itself goes on with it, and a warm start takes it.
    (tmp_path / "MMNetModel-5.index").write_text("")
    for flags in ({"train_dir": str(tmp_path)}, {"checkpoint_path": prefix}):
        settings = resolve("train", dict(training, **flags))
        assert make_network(network_of_training(settings)) == network
        settings = resolve("train", dict(training, size="128", **flags))
        assert make_network(network_of_training(settings)).shape == (128, 128)
    # Its file is a preset too, and says the same.
    settings = resolve("train", {}, str(tmp_path / "config.yaml"))
    assert make_network(settings.wanted()) == network


def test_a_checkpoint_without_a_run_says_nothing(tmp_path):
    assert network_of_run(str(tmp_path / "MMNetModel-5")) == {}


@pytest.mark.parametrize(
    "text, says",
    [
        ("size: 250", "size: a multiple of 32"),
        ("shape: [64]", "shape: 2 values"),
        ("width_multiplier: wide", "width_multiplier: a number above 0"),
        ("network: ''", "network: it is empty"),
        ("size: [", "is not YAML"),
        ("sizes: 64", "no setting is named 'sizes'"),
    ],
)
def test_a_damaged_run_file_is_named(tmp_path, text, says):
    path = write(tmp_path, text, "config.yaml")
    with pytest.raises(ValueError) as error:
        network_of_run(str(tmp_path / "MMNetModel-5"))
    said = str(error.value)
    assert says in said and path in said and "\n" not in said
