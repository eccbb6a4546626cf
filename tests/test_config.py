import dataclasses
import glob
import os

import pytest

from conftest import ROOT
from mmnet import config

NEEDED = {"dataset_path": "D"}


def write(tmp_path, text):
    path = tmp_path / "preset.yaml"
    path.write_text(text)
    return str(path)


def test_flag_beats_preset_beats_default(tmp_path):
    preset = write(tmp_path, "size: 128\nbatch_size: 4\ntarget_eval_shape: [400, 300]\nall_metrics: true\n")
    settings = config.resolve("evaluate", dict(NEEDED, batch_size="2"), preset)
    assert (settings.size, settings.batch_size, settings.width_multiplier) == (128, 2, 1.0)
    assert settings.target_eval_shape == (400, 300) and settings.all_metrics is True
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.size = 64


def test_yaml_floats_without_a_point(tmp_path):
    assert config.resolve("evaluate", NEEDED, write(tmp_path, "width_multiplier: 5e-1")).width_multiplier == 0.5


def test_a_preset_may_hold_another_verbs_settings(tmp_path):
    assert config.resolve("evaluate", NEEDED, write(tmp_path, "background: white\nsize: 64")).size == 64


@pytest.mark.parametrize("text, message", [
    ("bacth_size: 4", "no setting is named 'bacth_size'; did you mean 'batch_size'?"),
    ("batch_size: four", "batch_size: a whole number above 0, not 'four'"),
    ("batch_size: [4]", "batch_size: one value"),
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
])
def test_wrong_presets(tmp_path, text, message):
    preset = write(tmp_path, text)
    with pytest.raises(ValueError) as error:
        config.resolve("evaluate", NEEDED, preset)
    assert message in str(error.value) and preset in str(error.value) and "\n" not in str(error.value)


def test_what_is_needed_is_named():
    with pytest.raises(ValueError, match="--dataset_path is needed: folder"):
        config.resolve("evaluate", {})


@pytest.mark.parametrize("path", sorted(glob.glob(os.path.join(ROOT, "configs", "*.yaml"))), ids=os.path.basename)
def test_shipped_presets(path):
    flags = {"dataset_path": ["D"], "train_dir": "T"}
    defaults, settings = config.resolve("train", flags), config.resolve("train", flags, path)
    for name in config.read_preset(path):  # a preset says only what differs
        assert getattr(settings, name) != getattr(defaults, name), name
    with open(path) as file:
        assert file.read().startswith("# ")  # what it is, and the result to expect


def test_settings_survive_the_way_through_yaml(tmp_path):
    settings = config.resolve("train", {"dataset_path": ["A", "B c"], "train_dir": "T", "dataset_weights": ["1", "3"],
                                        "learning_rate": "2e-5", "cache_budget": "500MB", "use_ema": "true"})
    assert settings.cache_budget == 500 << 20
    assert config.resolve("train", {}, write(tmp_path, config.to_yaml(settings))) == settings
