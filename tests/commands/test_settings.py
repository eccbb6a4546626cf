"""Settings that do not go together, and what every setting has."""

import dataclasses

import pytest
from mmnet.commands.settings import NEEDED, VERBS, Settings

from mmnet.commands.flag_types import positive_ints
from mmnet.commands.presets import resolve


@pytest.fixture
def files(tmp_path):
    """Folder with a dataset, a checkpoint (run/MMNetModel-3) and a model, all of them empty."""
    for name in ("data/test/image/x", "run/MMNetModel-3.index", "model.pb", "program"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def resolved(verb, files, **flags):
    """``resolve`` with the paths below ``files``."""

    def absolute(name, value):
        is_path = name.endswith(("_path", "_dir", "path", "adb")) or name == "models"
        if isinstance(value, list):
            return [absolute(name, one) for one in value]
        return str(files / value) if is_path else value

    return resolve(verb, {name: absolute(name, value) for name, value in flags.items()})


def test_every_setting_says_what_it_is():
    for name, verb in VERBS.items():
        assert issubclass(verb, Settings) and verb.__doc__.splitlines()[0].endswith("."), name
        for field in dataclasses.fields(verb):
            assert callable(field.metadata["kind"]) and field.metadata["about"], field.name
            # A default is a value that the user could give too.
            if field.default not in (NEEDED, None, ()):
                many = isinstance(field.default, tuple)
                for value in field.default if many else [field.default]:
                    text = str(value).replace(str(4 << 30), "4GB")
                    given = (value,) if field.metadata["kind"] is positive_ints else value
                    assert field.metadata["kind"](text) == given, (name, field.name)


@pytest.mark.parametrize(
    "verb, flags, says",
    [
        (
            "evaluate",
            {"dataset_path": "data", "size": "64", "shape": ["64", "96"]},
            "--size and --shape do not go together: give one of them",
        ),
        (
            "evaluate",
            {"dataset_path": "data", "checkpoint_path": "model.pb", "use_ema": "true"},
            "--use_ema is for a checkpoint, not for .*model.pb",
        ),
        (
            "evaluate",
            {"dataset_path": "data", "valid_type": "loop"},
            "a loop watches a folder of checkpoints, and mmnet-persons is none",
        ),
        (
            "evaluate",
            {"dataset_path": "data", "valid_type": "loop", "checkpoint_path": "run/MMNetModel-3"},
            "a loop watches a folder of checkpoints, and .*MMNetModel-3 is none",
        ),
        (
            "export",
            {"format": ["pb"], "output": "out", "checkpoint_path": "model.pb"},
            "--checkpoint_path .*model.pb is a model file: give the checkpoint",
        ),
        (
            "train",
            {"dataset_path": ["data"], "train_dir": "new", "dataset_weights": ["1", "2"]},
            "--dataset_weights: one number for each of the 1 datasets, not 2",
        ),
        (
            "train",
            {"dataset_path": ["data"], "train_dir": "new", "quantize": "true"},
            "--quantize makes a trained network ready .* --checkpoint_path",
        ),
        (
            "train",
            {"dataset_path": ["data"], "train_dir": "new", "checkpoint_path": "model.pb"},
            "--checkpoint_path .*model.pb is a model file: a warm start takes a checkpoint",
        ),
        (
            "train",
            {"dataset_path": ["data"], "train_dir": "new", "checkpoint_path": "none"},
            "none: no checkpoint",
        ),
        (
            "benchmark",
            {"models": ["model.pb"], "dataset_path": "data"},
            "--dataset_path goes with --train and --input",
        ),
        ("benchmark", {"models": ["model.pb"], "device": "cpu"}, "--device goes with --train"),
        (
            "benchmark",
            {"train": "true", "input": "true", "dataset_path": "data"},
            "--train and --input stand alone",
        ),
        (
            "benchmark",
            {"train": "true", "models": ["model.pb"], "dataset_path": "data"},
            "--train and --input stand alone",
        ),
        (
            "benchmark",
            {"input": "true", "adb": "program", "dataset_path": "data"},
            "--train and --input stand alone",
        ),
        ("benchmark", {"train": "true"}, "--dataset_path is needed: pictures to train on"),
        ("benchmark", {"input": "true"}, "--dataset_path is needed: pictures to prepare"),
        (
            "benchmark",
            {"train": "true", "dataset_path": "data", "batch": "1,8"},
            "--batch: one number with --train and --input",
        ),
    ],
)
def test_what_does_not_go_together(files, verb, flags, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        resolved(verb, files, **flags)


def test_what_goes_together(files):
    settings = resolved("evaluate", files, dataset_path="data", shape=["64", "96"])
    assert settings.wanted() == {"shape": (64, 96)}
    settings = resolved("evaluate", files, dataset_path="data", size="64", network="other")
    assert settings.wanted() == {"name": "other", "shape": (64, 64)}
    assert resolved("evaluate", files, dataset_path="data").wanted() == {}
    resolved("evaluate", files, dataset_path="data", valid_type="loop", checkpoint_path="run")
    resolved("benchmark", files, models=["model.pb", "run"], batch="1,8")


def test_a_run_that_goes_on_needs_its_parent_no_more(files):
    flags = {"dataset_path": ["data"], "train_dir": "run", "quantize": "true"}
    assert resolved("train", files, **flags).checkpoint_path is None
    assert resolved("train", files, checkpoint_path="gone", **flags).quantize
