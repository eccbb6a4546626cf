"""Tests of mmnet.training.train: whole trainings of a small network."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import types
from functools import partial

import numpy as np
import pytest

from helpers import ROOT, SMALL, assert_message, assert_raises
from helpers.runs import read_events, read_last, steps_in
from mmnet.commands.presets import read_preset, resolve
from mmnet.datasets.batches import Batch
from mmnet.datasets.pairs import Dataset, Pair
from mmnet.inference.checkpoints import CheckpointPredictor
from mmnet.inference.open import load_weights, network_of_checkpoint, open_predictor
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device
from mmnet.training import input as input_module
from mmnet.training import saver as saver_module
from mmnet.training import train as train_module
from mmnet.training.setup import resolve_training
from mmnet.training.train import prepare, train
from mmnet.weights.values import WeightOptions
from mmnet.weights.write import write_weights

NETWORK = Network("tiny", 0.5, (32, 32))
FLAGS = {
    "dataset_split_name": "test",
    "network": "tiny",
    "width_multiplier": "0.5",
    "size": "32",
    "batch_size": "4",
    "learning_rate": "5e-3",
    "learning_rate_schedule": "cosine",
    "warm_up_steps": "5",
    "step_save_checkpoint": "10",
    "step_save_summaries": "1",
    "use_ema": "true",
    "max_step_from_restore": "40",
}
FROM_CHECKPOINT = dict.fromkeys(("network", "width_multiplier", "size"))  # it decides
KILL_AT_28 = """
import os, signal, sys
from mmnet import cli
from mmnet.training import train
from mmnet.training.saver import CheckpointWriter
save, learning_rate_at = CheckpointWriter.save, train.learning_rate_at
def save_at_once(writer, *arguments):
    save(writer, *arguments)
    writer._wait()
def kill_at_28(schedule, step, last_step):
    if step == 27:
        os.kill(os.getpid(), signal.SIGKILL)
    return learning_rate_at(schedule, step, last_step)
CheckpointWriter.save, train.learning_rate_at = save_at_once, kill_at_28
cli.main(sys.argv[1:])
"""


def make_options(portraits, folder, **flags):
    """Return the options of mmnet train with FLAGS and other flags; None removes a flag."""
    flags = {**FLAGS, "dataset_path": [portraits], "train_dir": str(folder), **flags}
    return resolve("train", {name: v for name, v in flags.items() if v is not None})


@pytest.fixture
def options(portraits):
    return partial(make_options, portraits)


@pytest.fixture
def run(options):
    """Train into a folder with flags. Return the exit code."""
    return lambda folder, **flags: train(options(folder, **flags).config())


@pytest.fixture(scope="module")
def whole(portraits, tmp_path_factory):
    """The folder of a training of 40 steps without interruption."""
    folder = tmp_path_factory.mktemp("whole training")
    assert train(make_options(portraits, folder).config()) == 0
    return folder


def read_scalars(folder, tag):
    return dict(read_events(folder)[tag])


def read_record(folder, step):
    with open(os.path.join(str(folder), f"MMNetModel-{step}.json")) as file:
        return json.load(file)


def assert_equal(values, expected):
    assert values.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(values[name], expected[name], err_msg=name)


@contextlib.contextmanager
def signal_at(step, number):
    """Send a signal to this process during a step. Steps are counted from the restore."""
    learning_rate_at = train_module.learning_rate_at

    def send(schedule, current, last_step):
        if current == step - 1:
            os.kill(os.getpid(), number)
        return learning_rate_at(schedule, current, last_step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "learning_rate_at", send)
        yield


def test_resume_after_kill_and_signal_is_bit_equal(whole, run, portraits, tmp_path):
    """A killed training loses the steps after the last checkpoint, a stopped one loses nothing."""
    command = [sys.executable, "-c", KILL_AT_28, "train", "--dataset_path", portraits]
    for name, value in FLAGS.items():
        command += [f"--{name}"] if value == "true" else [f"--{name}", value]
    command += ["--train_dir", str(tmp_path)]
    process = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, timeout=300)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert steps_in(tmp_path)[-1] == 20

    with signal_at(33, signal.SIGTERM):
        assert run(tmp_path) == 143
    assert steps_in(tmp_path)[-1] == 33
    assert run(tmp_path) == 0
    assert steps_in(tmp_path)[-1] == 40
    losses = read_scalars(whole, "loss/total")
    assert read_scalars(tmp_path, "loss/total") == losses and len(losses) == 40
    assert_equal(read_last(tmp_path), read_last(whole))
    assert read_record(tmp_path, 40)["data_sets"][0]["steps"] == 40


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_state_before_first_checkpoint(run, tmp_path, number, code):
    with signal_at(3, number):
        assert run(tmp_path) == code
    assert steps_in(tmp_path) == [3]


def test_train_writes_checkpoints_with_lineage(whole, portraits):
    assert steps_in(whole) == [10, 20, 30, 40]
    record = read_record(whole, 40)
    assert (record["global_step"], record["step_from_restore"], record["parent"]) == (40, 40, None)
    (dataset,) = record["data_sets"]
    assert (dataset["path"], dataset["pictures"], dataset["steps"]) == (portraits, 6, 40)
    assert len(dataset["manifest_sha256"]) == 64
    assert record["configuration"]["optimizer"] == "adam"
    assert record["versions"]["tensorflow"] == tf.__version__


def test_config_yaml_is_a_preset(whole, options):
    path = str(whole / "config.yaml")
    assert resolve("train", {}, path) == options(whole)
    assert read_preset(path)["width_multiplier"] == 0.5


def test_train_writes_tensorboard_events(whole):
    tags = read_events(whole).keys()
    terms = ("alpha", "composition", "gradient", "cross_entropy", "auxiliary")
    assert {f"loss/{name}" for name in ("total", "model", "regularization", *terms)} < tags
    assert {"schedule/learning_rate", "schedule/epoch", "speed/images_per_second"} < tags
    assert {"speed/waiting_for_input_percent", "batch/mIoU", "errors/batch/MAD"} < tags
    assert {"batch/0", "batch/1", "configuration", "_hparams_/session_start_info"} < tags
    (path,) = whole.glob("events*")
    assert b"width_multiplier: 0.5" in path.read_bytes()


def test_missing_tensorboard_is_reported_before_images_are_read(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr(train_module, "open_data", None)  # is not called
    with assert_raises(MmnetError, "tensorboard", "pip install"):
        run(tmp_path)


def test_training_lowers_the_loss(whole):
    losses = read_scalars(whole, "loss/total")
    first, last = ([losses[i] for i in steps] for steps in (range(1, 11), range(31, 41)))
    assert np.mean(last) < 0.9 * np.mean(first)


@pytest.mark.parametrize(
    "name, fields, shape",
    [
        ("", {}, (32, 32)),
        ("MMNetModel-40", {"shape": (64, 64)}, (64, 64)),
        ("MMNetModel-40", {"shape": (64, 96)}, (64, 96)),
    ],
)
def test_checkpoint_records_its_network(whole, name, fields, shape):
    prefix = checkpoint_files.find_checkpoint(str(whole / name))
    assert network_of_checkpoint(prefix, fields) == NETWORK._replace(shape=shape)


def test_moving_averages_are_other_weights(whole):
    values = read_last(whole)
    name = "Tiny/final_block/pointwise_conv/biases"
    assert not np.array_equal(values[name], values[name + "/ExponentialMovingAverage"])
    predictor, alphas = CheckpointPredictor(NETWORK), []
    for use_ema in (False, True):
        weights = load_weights(str(whole), weight_options=WeightOptions(use_ema))
        assert (weights.network, weights.options.use_ema) == (NETWORK, use_ema)
        predictor.load(weights)
        alphas.append(predictor(np.full((1, 32, 32, 3), 128.0)))
    assert np.abs(alphas[0] - alphas[1]).max() > 1e-4


def test_warm_start_selects_variables(whole, run, tmp_path, caplog):
    caplog.set_level("INFO")
    flags = {
        "checkpoint_path": str(whole / "MMNetModel-20"),
        "reset_optimizer": "true",
        "learning_rate_schedule": "fixed",
        "optimizer": "momentum",
        "checkpoint_exclude_scopes": ["Tiny/final_block"],
        "use_ema": None,
        "ignore_missing_vars": "true",
        "max_step_from_restore": "2",
    }
    assert run(tmp_path, **flags) == 0
    assert steps_in(tmp_path) == [22]  # the global step continues
    record = read_record(tmp_path, 22)
    assert record["step_from_restore"] == 2
    assert record["parent"]["global_step"] == 20
    assert record["parent"]["lineage"]["step_from_restore"] == 20
    assert_message(caplog.text, "skipped", "Tiny/final_block/pointwise_conv/biases")


def test_warm_start_uses_network_of_its_checkpoint(run, tmp_path):
    flags = {"size": None, "shape": ["64", "96"], "max_step_from_restore": "1"}
    assert run(tmp_path / "first", **flags) == 0
    flags = {"checkpoint_path": str(tmp_path / "first"), "max_step_from_restore": "1"}
    assert run(tmp_path / "second", **flags, **FROM_CHECKPOINT) == 0
    saved = read_preset(str(tmp_path / "second" / "config.yaml"))
    assert (saved["network"], saved["shape"], "size" in saved) == ("tiny", [64, 96], False)


def test_train_rejects_checkpoint_that_does_not_fit(whole, run, tmp_path):
    with assert_raises(MmnetError, str(whole), "shape", "ignore_missing_vars"):
        run(tmp_path, checkpoint_path=str(whole), width_multiplier="2")
    with assert_raises(MmnetError, str(whole), "missing"):
        run(whole, optimizer="momentum", max_step_from_restore="50")
    assert read_preset(str(whole / "config.yaml"))["optimizer"] == "adam"  # unchanged
    with assert_raises(MmnetError, "trainable_scopes", "Tiny/head"):
        run(tmp_path, trainable_scopes=["Tiny/head"])
    assert not (tmp_path / "config.yaml").exists()


def test_complete_training_ends_at_once(whole, run, caplog, monkeypatch):
    caplog.set_level("INFO")
    files = sorted(os.listdir(str(whole)))
    monkeypatch.setattr(train_module, "build_training_graph", None)
    assert run(whole) == 0
    assert_message(caplog.text, str(whole), "complete", "40")
    assert sorted(os.listdir(str(whole))) == files


def test_loss_that_is_not_finite_saves_previous_state(run, tmp_path, monkeypatch):
    generate_batches = input_module.generate_batches

    def spoil_third_batch(*args, **kwargs):
        for number, batch in enumerate(generate_batches(*args, **kwargs)):
            if number == 2:
                batch = batch._replace(images=batch.images * np.float32("nan"))
            yield batch

    monkeypatch.setattr(input_module, "generate_batches", spoil_third_batch)
    with assert_raises(MmnetError, "step 3", "not finite", str(tmp_path)) as caught:
        run(tmp_path)
    assert str(caught.value).count(".jpg") == 4  # the images of the batch
    assert steps_in(tmp_path) == [2]
    for name, value in read_last(tmp_path).items():
        assert np.isfinite(value).all(), name


def test_full_disk_keeps_older_checkpoints(run, tmp_path, monkeypatch):
    write = checkpoint.write

    def fail_at_20(prefix, values, files):
        if prefix.endswith("-20"):
            raise OSError(28, "No space left on device")
        write(prefix, values, files)

    monkeypatch.setattr(saver_module.checkpoint, "write", fail_at_20)
    with assert_raises(OSError, "No space left"):
        run(tmp_path)
    assert steps_in(tmp_path) == [10]
    assert read_last(tmp_path)["global_step"] == 10


@pytest.fixture
def photos(portraits, tmp_path):
    """A folder with two images without masks."""
    folder = tmp_path / "photos without masks"
    folder.mkdir()
    for name in ("portrait0_0000.jpg", "portrait0_0001.jpg"):
        shutil.copy(os.path.join(portraits, "test", "image", name), str(folder))
    return str(folder)


@pytest.fixture
def teacher_flags(small_weights, portraits, photos, tmp_path):
    """Flags with a teacher, and with a folder of images without masks."""
    teacher = str(tmp_path / "teacher")
    write_weights(os.path.join(teacher, "MMNetModel-5"), small_weights)
    return {
        "teacher": teacher,
        "loss_parameters": ["teacher_temperature=2"],
        "dataset_path": [portraits, photos],
        "dataset_weights": ["1", "3"],
        "size": "64",
        "width_multiplier": None,
        "learning_rate": "0.1",
        "augmentation_method": "resize_bilinear",
        "max_step_from_restore": "20",
    }


def test_teacher_alphas_replace_missing_masks(options, teacher_flags, tmp_path):
    with contextlib.ExitStack() as stack:
        run = prepare(options(tmp_path / "run", **teacher_flags).config(), stack)
        assert list(map(len, run.setup.datasets)) == [6, 2]
        batch = next(run.batches)
        masks = batch.masks.copy()
        alphas = train_module.feed_batch(run, batch)[run.graph.teacher_alphas]
    datasets = [dataset for dataset, _ in batch.indices]
    assert set(datasets) == {0, 1}
    for slot, dataset in enumerate(datasets):
        if dataset == 1:
            assert not masks[slot].any()
            np.testing.assert_allclose(batch.masks[slot] / 255, alphas[slot], atol=0.5 / 255)
        else:
            np.testing.assert_array_equal(batch.masks[slot], masks[slot])
    teacher = open_predictor(teacher_flags["teacher"], {"shape": (64, 64)})
    np.testing.assert_allclose(alphas, teacher(batch.images.astype("f")), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_teacher_keeps_the_shape_of_its_model_file(exported_models, count):
    path = exported_models.path("mmnet.tflite")  # of several files the mean
    config = types.SimpleNamespace(teacher=" + ".join([path] * count), device=Device())
    network = SMALL._replace(shape=(96, 128))
    teacher = train_module.open_teacher(types.SimpleNamespace(config=config, network=network), 2)
    assert teacher(np.zeros((2, 96, 128, 3))).shape == (2, 96, 128)


def test_teacher_of_weight_0_only_sets_missing_masks(portrait_set):
    datasets = [portrait_set, Dataset("b", "", [Pair("a", "a.jpg", None)])]
    run = types.SimpleNamespace(
        graph=types.SimpleNamespace(images="images", truths="truths", teacher_alphas=None),
        teacher=lambda images: np.ones(images.shape[:3], np.float32),
        setup=types.SimpleNamespace(datasets=datasets),
    )
    batch = Batch(
        images=np.zeros((2, 4, 4, 3), np.uint8),
        masks=np.zeros((2, 4, 4), np.uint8),
        indices=[(0, 0), (1, 0)],
        epoch=0.0,
    )
    feed = train_module.feed_batch(run, batch)
    assert sorted(feed) == ["images", "truths"]
    np.testing.assert_array_equal(feed["truths"].mean((1, 2)), [0, 1])


def test_network_learns_from_a_teacher(run, teacher_flags, tmp_path):
    assert run(tmp_path / "run", **teacher_flags) == 0
    datasets = read_record(tmp_path / "run", 20)["data_sets"]
    assert [(d["pictures"], d["split"]) for d in datasets] == [(6, "test"), (2, "")]
    losses = read_scalars(tmp_path / "run", "loss/teacher")
    assert np.mean([losses[step] for step in range(16, 21)]) < losses[1] - 0.005


def test_frozen_batch_norm_keeps_moving_statistics(whole, run, tmp_path):
    flags = {"mode": "freeze_batch_norm", "step_save_checkpoint": "1", "warm_up_steps": "0"}
    assert run(tmp_path, checkpoint_path=str(whole), max_step_from_restore="2", **flags) == 0
    before, after = read_last(whole), read_last(tmp_path)
    for name in before:
        assert np.array_equal(after[name], before[name]) == ("/moving_" in name), name


def test_four_channels_start_as_three(whole, options, tmp_path):
    flags = {"channels": "4", "checkpoint_path": str(whole), "use_ema": None, **FROM_CHECKPOINT}
    with contextlib.ExitStack() as stack:
        run = prepare(options(tmp_path, max_step_from_restore="1", **flags).config(), stack)
        assert next(run.batches).images.shape[3] == 4
        values = run.session.run({v.op.name: v for v in run.graph.variables})
    kernel = values["Tiny/init_block/conv/weights"]
    assert not np.any(kernel[:, :, 3])
    np.testing.assert_array_equal(
        kernel[:, :, :3], read_last(whole)["Tiny/init_block/conv/weights"]
    )


def test_four_channels_cannot_be_quantized(whole, options, tmp_path):
    flags = {"mode": "quantize", "checkpoint_path": whole, "channels": "4"}
    with assert_raises(MmnetError, "channels", 4):
        resolve_training(options(tmp_path, **flags).config())


def test_four_channels_learn_from_the_previous_alpha(whole, run, tmp_path):
    flags = {"channels": "4", "checkpoint_path": str(whole), "step_save_checkpoint": "1"}
    flags.update(FROM_CHECKPOINT, warm_up_steps="0", max_step_from_restore="2")
    assert run(tmp_path, **flags) == 0
    prefixes = checkpoint_files.list_checkpoints(str(tmp_path))
    assert network_of_checkpoint(prefixes[-1]) == NETWORK._replace(channels=4)
    name = "Tiny/init_block/conv/weights"
    first, second = (checkpoint.read(prefix) for prefix in prefixes)
    assert first[name].shape[2] == 4 and first[name + "/Adam"].shape[2] == 4
    assert np.abs(first[name][:, :, :3] - read_last(whole)[name]).max() < 0.01
    assert np.any(second[name][:, :, 3])

    images = np.random.RandomState(0).uniform(0, 255, (2, 32, 32, 4)).astype("f")
    predictor = open_predictor(prefixes[-1])
    images[..., 3] = 0
    alphas = predictor(images)
    np.testing.assert_array_equal(alphas, predictor(images[..., :3]))  # no previous frame
    images[..., 3] = 255
    assert np.any(alphas != predictor(images))
