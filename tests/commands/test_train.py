"""Tests of mmnet.commands.train and mmnet.commands.launch: options, and their errors."""

import dataclasses
import json
import os
import re

import pytest

from helpers import SMALL_FLAGS, assert_message, assert_raises
from mmnet.cli import main
from mmnet.commands.presets import resolve
from mmnet.io.errors import MmnetError
from mmnet.networks.layers import INFERENCE
from mmnet.networks.quantization import QUANTIZED_TRAINING
from mmnet.tf.device import Device
from mmnet.training.losses import ADAPTATION
from mmnet.training.schedule import Schedule
from mmnet.weights.run_file import to_yaml


@pytest.fixture
def folder(tmp_path):
    """A folder with a dataset, images without masks, a checkpoint and a model, all empty."""
    for name in ("data/train/image/x", "photos/x.jpg", "run/MMNetModel-3.index", "model.pb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.fixture
def options(folder):
    """Resolve flags of mmnet train. Paths are relative to ``folder``."""

    def options(**flags):
        flags = {"dataset_path": ["data"], "train_dir": "new", **flags}
        for name in ("dataset_path", "train_dir", "checkpoint_path", "teacher", "backgrounds_path"):
            value = flags.get(name)
            if isinstance(value, list):
                flags[name] = [str(folder / path) for path in value]
            elif value is not None:
                flags[name] = str(folder / value)
        return resolve("train", flags)

    return options


def test_help_has_groups_and_at_most_50_flags(capfd):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capfd.readouterr().out
    assert len(set(re.findall(r"^ +(?:-\w, )?(--\w+)", text, re.M))) <= 50
    headings = re.findall(r"^(\w+):$", text, re.M)
    assert headings[0] == "required"
    groups = "data model optimization augmentation losses checkpoints device processes"
    assert set(groups.split()) <= set(headings)


@pytest.mark.parametrize(
    "flags, tokens",
    [
        ({"dataset_weights": ["1", "2"]}, ["--dataset_weights", "2", "1"]),
        ({"mode": "quantize"}, ["--mode quantize", "--checkpoint_path"]),
        ({"mode": "freeze_batch_norm"}, ["--mode freeze_batch_norm", "--checkpoint_path"]),
        ({"mode": "adapt", "teacher": "run"}, ["--mode adapt", "--teacher"]),
        ({"checkpoint_path": "model.pb"}, ["--checkpoint_path", "model.pb"]),
        ({"checkpoint_path": "none"}, ["none"]),
        ({"teacher": "none"}, ["none"]),
        ({"loss_weights": ["teacher=2"]}, ["--loss_weights", "--teacher"]),
        ({"loss_parameters": ["teacher_temperature=2"]}, ["--loss_parameters", "--teacher"]),
        ({"loss_weights": ["alpha=2"], "lambda_alpha_loss": "1"}, ["--loss_weights", "alpha"]),
        ({"loss_weights": ["hair=2"]}, ["--loss_weights", "hair=2", "gradient"]),
        ({"loss_weights": ["alpha=-2"]}, ["--loss_weights", "alpha=-2"]),
        ({"loss_parameters": ["composition_range=0"]}, ["--loss_parameters", "0"]),
        ({"learning_rate_schedule": "step:x"}, ["--learning_rate_schedule", "step:x"]),
        ({"learning_rate_schedule": "cosine:2"}, ["--learning_rate_schedule", "cosine:2"]),
        ({"cache": "much"}, ["--cache", "much", "4GB"]),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else None,
)
def test_bad_options_are_rejected(options, flags, tokens):
    with assert_raises((MmnetError, FileNotFoundError), *tokens):
        options(**flags)


def test_resumed_training_needs_no_warm_start(options):
    assert options(train_dir="run", mode="quantize").checkpoint_path is None
    assert options(train_dir="run", checkpoint_path="gone").config().warm_start is not None


def test_loss_flags_set_terms(options):
    flags = {"lambda_kd_loss": "0.5", "loss_weights": ["gradient=16", "teacher=7"]}
    recipe = options(teacher="run", loss_parameters=["teacher_temperature=2"], **flags).recipe()
    assert recipe.loss_weights == {"cross_entropy": 0.5, "gradient": 16, "teacher": 7}
    assert (recipe.teacher_temperature, recipe.composition_range) == (2, 1)
    assert options(teacher="run").recipe().loss_weights == {"teacher": 1}


def test_mode_selects_losses_and_layers(options):
    recipe = options(mode="adapt", checkpoint_path="run", dataset_path=["photos"]).recipe()
    assert (recipe.loss_weights, recipe.mode) == (ADAPTATION, INFERENCE)
    assert options(mode="quantize", checkpoint_path="run").recipe().mode is QUANTIZED_TRAINING


@pytest.mark.parametrize(
    "text, expected",
    [
        ("cosine", Schedule(name="cosine")),
        ("step:50", Schedule(name="step", decay_steps=50)),
        ("step:50:.5", Schedule(name="step", decay_steps=50, decay_factor=0.5)),
        ("polynomial:2", Schedule(name="polynomial", power=2)),
    ],
)
def test_learning_rate_schedule_has_parameters(options, text, expected):
    assert options(learning_rate_schedule=text).schedule() == expected


@pytest.mark.parametrize(
    "text, expected", [("none", ("none", 0)), ("disk", ("disk", 0)), ("2GB", ("memory", 2 << 30))]
)
def test_cache_is_a_kind_or_a_size(options, text, expected):
    data = options(cache=text).data()
    assert (data.cache, data.cache_budget) == expected


@pytest.mark.parametrize(
    "flags, expected",
    [
        ({}, Device()),
        ({"precision": "mixed_float16"}, Device(precision="mixed_float16")),
        ({"device": "npu", "precision": "force_fp16"}, Device("npu", "force_fp16")),
        ({"device": "cpu", "precision": "force_fp16"}, Device("cpu", "force_fp16")),
    ],
)
def test_precision_depends_on_the_device(options, flags, expected):
    assert options(**flags).make_device() == expected


def test_identity_ignores_local_options(options):
    identity = options().identity()
    assert options(train_dir="other", device="cpu", cache="disk").identity() == identity
    assert options(dataset_path=["photos"]).identity() == identity  # another mount
    assert options(seed="1").identity() != identity
    assert options(backgrounds_path="photos").identity() != identity


def test_preset_of_0_2_with_default_flags_is_accepted(options, folder):
    """config.yaml of a training of 0.2 contains every flag."""
    values = dict(dataclasses.asdict(options()), cache="memory", cache_budget=4 << 30)
    del values["mode"], values["loss_weights"], values["loss_parameters"]
    values.update(quantize=False, xla=False, precision="float32", lambda_focal_loss=None)
    values.update(precision_mode="allow_mix_precision", learning_rate_power=0.9, engine="hccl")
    (folder / "config.yaml").write_text(to_yaml(values))
    resumed = resolve("train", {}, str(folder / "config.yaml"))
    assert resumed.precision == "float32" and resumed.cache == "memory"
    (folder / "config.yaml").write_text(to_yaml(dict(values, quantize=True)))
    with assert_raises(MmnetError, "quantize", "--mode quantize"):
        resolve("train", {}, str(folder / "config.yaml"))


@pytest.fixture
def train_command(portraits, tmp_path):
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    return [*command, "--train_dir", str(tmp_path / "run"), "--batch_size", "2", *SMALL_FLAGS]


def assert_one_error(capfd, *tokens):
    out, err = capfd.readouterr()
    errors = [line for line in err.splitlines() if "error: " in line]
    assert len(errors) == 1 and "Traceback" not in err, err
    assert_message(errors[0], *tokens)


def test_teacher_of_another_size_gets_resized_images(train_command, small_weights, tmp_path):
    model = str(tmp_path / "model.pb")
    flags = ["--checkpoint_path", small_weights.source, "--output", model]
    assert main(["freeze", *flags, *SMALL_FLAGS]) == 0
    flags = ["--max_step_from_restore", "1", "--teacher", model, "--size", "96"]
    assert main(train_command + flags) == 0


def test_images_without_masks_need_a_teacher(train_command, portraits, tmp_path, capfd):
    photos = os.path.join(portraits, "test", "image")
    assert main([*train_command, "--dataset_path", photos]) == 2
    assert_one_error(capfd, "--dataset_path", photos, "teacher")


def test_damaged_lineage_stops_resume(train_command, tmp_path, capfd):
    assert main([*train_command, "--max_step_from_restore", "1"]) == 0
    path = tmp_path / "run" / "MMNetModel-1.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(dict(record, global_step="1")))
    files = sorted(os.listdir(str(tmp_path / "run")))
    capfd.readouterr()
    assert main([*train_command, "--max_step_from_restore", "2"]) == 2
    assert_one_error(capfd, str(path), "global_step")
    assert sorted(os.listdir(str(tmp_path / "run"))) == files
    path.write_text(json.dumps(record))
    assert main([*train_command, "--max_step_from_restore", "2"]) == 0


@pytest.mark.parametrize(
    "words, tokens",
    [
        (["--", "predict", "photo.jpg"], ["predict", "--shard"]),
        (["--", "train", "--seed", "x"], ["--seed", "x"]),
        (["--", "train", "--sede", "1"], ["--sede", "--seed"]),
        (["--engine", "mpi", "--", "train"], ["--engine", "mpi", "horovod"]),
    ],
    ids=["other command", "bad value", "unknown flag", "unknown engine"],
)
def test_launch_reports_bad_input_before_it_starts_processes(capfd, words, tokens):
    assert main(["launch", *words]) == 2
    assert_one_error(capfd, *tokens)


def test_launch_checks_batch_size(train_command, capfd):
    assert main(["launch", "--processes", "3", "--", *train_command]) == 2
    assert_one_error(capfd, "--batch_size 2", "3")
