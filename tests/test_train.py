"""Whole runs of a small network: stop and go on, warm starts, what is written, what goes wrong."""
import glob
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT
from mmnet import checkpoint, config
from mmnet.compat import tf
from mmnet.training import saver as saver_module
from mmnet.training import train as train_module
from mmnet.training.train import train

SMALL_RUN = {"dataset_split_name": "test", "width_multiplier": "0.25", "size": "32", "batch_size": "4",
             "learning_rate": "1e-3", "learning_rate_schedule": "cosine", "warm_up_steps": "5",
             "step_save_checkpoint": "10", "step_save_summaries": "1", "use_ema": "true"}


def settings_of(portraits, folder, **flags):
    flags = dict(SMALL_RUN, dataset_path=[portraits], train_dir=str(folder), max_step_from_restore="40", **flags)
    return config.resolve("train", {name: value for name, value in flags.items() if value is not None})


def losses_of(folder):
    """step -> total loss, over all the events files of a run."""
    losses = {}
    for path in glob.glob(os.path.join(str(folder), "events*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                if value.tag == "loss/total":
                    losses[event.step] = value.simple_value
    return losses


def steps_in(folder):
    return [checkpoint.step_of(prefix) for prefix in checkpoint.list_checkpoints(str(folder))]


def assert_same_end(folder, other):
    ours, theirs = (checkpoint.read(os.path.join(str(path), "MMNetModel-40")) for path in (folder, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def unbroken(portraits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken run")
    assert train(settings_of(portraits, folder)) == 0
    return folder


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143)])
def test_stopped_and_resumed_equals_unbroken(unbroken, portraits, tmp_path, monkeypatch, number, code):
    rate_of = train_module.learning_rate

    def stop_at_17(step, *rest):
        if step == 16:
            os.kill(os.getpid(), number)
        return rate_of(step, *rest)
    monkeypatch.setattr(train_module, "learning_rate", stop_at_17)
    assert train(settings_of(portraits, tmp_path)) == code
    assert steps_in(tmp_path)[-1] == 17
    monkeypatch.undo()
    assert train(settings_of(portraits, tmp_path)) == 0
    assert steps_in(tmp_path)[-1] == 40
    assert losses_of(tmp_path) == losses_of(unbroken) and len(losses_of(unbroken)) == 40
    assert_same_end(tmp_path, unbroken)
    with open(str(tmp_path / "MMNetModel-40.json")) as file:
        assert json.load(file)["data_sets"][0]["steps"] == 40


def test_killed_loses_only_what_came_after_the_last_save(unbroken, portraits, tmp_path):
    settings = settings_of(portraits, tmp_path)
    flags = " ".join("--%s" % name if value == "true" else "--%s %s" % (name, value) for name, value in SMALL_RUN.items())
    code = """
import os, signal, sys, time
from mmnet import cli
from mmnet.training import train
rate_of = train.learning_rate
def kill_at_28(step, *rest):
    if step == 27:
        while not os.path.exists(sys.argv[-1] + "/MMNetModel-20.index"):  # its writing goes on beside the steps
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    return rate_of(step, *rest)
train.learning_rate = kill_at_28
cli.main(sys.argv[1:])
"""
    process = subprocess.run([sys.executable, "-c", code, "train", "--dataset_path", portraits] + flags.split() +
                             ["--max_step_from_restore", "40", "--train_dir", str(tmp_path)], cwd=ROOT,
                             stderr=subprocess.PIPE, timeout=300)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert steps_in(tmp_path)[-1] == 20
    assert train(settings) == 0
    assert_same_end(tmp_path, unbroken)


def test_what_a_run_leaves(unbroken, portraits):
    assert steps_in(unbroken) == [10, 20, 30, 40]
    with open(str(unbroken / "MMNetModel-40.json")) as file:
        record = json.load(file)
    assert (record["global_step"], record["step_from_restore"], record["parent"]) == (40, 40, None)
    (data_set,) = record["data_sets"]
    assert data_set["path"] == portraits and data_set["pictures"] == 6 and data_set["steps"] == 40 and len(data_set["manifest_sha256"]) == 64
    assert record["configuration"]["optimizer"] == "adam" and record["versions"]["tensorflow"] == tf.__version__
    saved = config.read_preset(str(unbroken / "config.yaml"))
    assert config.resolve("train", {}, str(unbroken / "config.yaml")) == config.resolve("train", dict(
        SMALL_RUN, dataset_path=[portraits], train_dir=str(unbroken), max_step_from_restore="40"))
    assert saved["width_multiplier"] == 0.25
    tags, texts = set(), ""
    for path in glob.glob(str(unbroken / "events*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                tags.add(value.tag)
                if value.tag == "configuration":
                    texts += value.tensor.string_val[0].decode()
    assert {"loss/" + name for name in ("total", "model", "regularization", "alpha", "composition", "gradient",
                                        "cross_entropy", "auxiliary")} < tags
    assert {"learning_rate", "images_per_second", "waiting_for_input_percent", "epoch", "train/0", "train/1"} < tags
    assert "width_multiplier: 0.25" in texts


def test_learning_lowers_the_loss(unbroken):
    losses = losses_of(unbroken)
    assert np.mean([losses[step] for step in range(31, 41)]) < 0.9 * np.mean([losses[step] for step in range(1, 11)])


def test_later_verbs_know_the_network(unbroken):
    settings = config.resolve("evaluate", {"dataset_path": "D", "checkpoint_path": str(unbroken)})
    assert (settings.width_multiplier, settings.size) == (0.25, 32)
    settings = config.resolve("evaluate", {"dataset_path": "D", "checkpoint_path": str(unbroken / "MMNetModel-40"),
                                           "size": "64"})
    assert (settings.width_multiplier, settings.size) == (0.25, 64)


def test_moving_averages(unbroken, portraits):
    from mmnet.delivery.predictor import CheckpointPredictor
    values = checkpoint.read(str(unbroken / "MMNetModel-40"))
    name = "MMNet/final_block/pointwise_conv/biases"
    plain, average = (CheckpointPredictor.open(str(unbroken), 0.25, 32, use_ema) for use_ema in (False, True))
    picture = np.full((1, 32, 32, 3), 128.0)
    assert not np.array_equal(values[name], values[name + "/ExponentialMovingAverage"])
    assert np.abs(plain(picture) - average(picture)).max() > 1e-4


def test_warm_start(unbroken, portraits, tmp_path, caplog):
    caplog.set_level("INFO")
    flags = dict(checkpoint_path=str(unbroken / "MMNetModel-20"), reset_optimizer="true", learning_rate_schedule="fixed",
                 optimizer="momentum", checkpoint_exclude_scopes=["MMNet/final_block"], use_ema=None)
    settings = settings_of(portraits, tmp_path, **dict(flags, ignore_missing_vars="true"))
    settings = config.dataclasses.replace(settings, max_step_from_restore=2)
    assert train(settings) == 0
    assert steps_in(tmp_path) == [22]  # the global step goes on
    with open(str(tmp_path / "MMNetModel-22.json")) as file:
        record = json.load(file)
    assert record["step_from_restore"] == 2
    assert record["parent"]["global_step"] == 20 and record["parent"]["lineage"]["step_from_restore"] == 20
    assert "skipped by the flags" in caplog.text and "MMNet/final_block/pointwise_conv/biases" in caplog.text


def test_what_does_not_fit_is_said(unbroken, portraits, tmp_path):
    with pytest.raises(ValueError, match="does not fit .*another shape.*--ignore_missing_vars"):
        train(settings_of(portraits, tmp_path, checkpoint_path=str(unbroken), width_multiplier="0.5"))
    with pytest.raises(ValueError, match="was trained with other settings .*missing"):
        train(settings_of(portraits, unbroken, optimizer="momentum"))
    assert config.read_preset(str(unbroken / "config.yaml"))["optimizer"] == "adam"  # the run's own is untouched
    with pytest.raises(ValueError, match="no variable's name starts so"):
        train(settings_of(portraits, tmp_path, trainable_scopes=["MMNet/head"]))
    assert not (tmp_path / "config.yaml").exists()


def test_a_loss_that_is_not_finite_stops_with_names_and_the_state_before(portraits, tmp_path, monkeypatch):
    batches = train_module.batches

    def spoil(*args):
        for number, batch in enumerate(batches(*args)):
            yield batch._replace(images=batch.images * np.float32("nan")) if number == 2 else batch
    monkeypatch.setattr(train_module, "batches", spoil)
    with pytest.raises(ValueError, match=r"loss of step 3 is not finite; .* the batch: .*portrait0_000\d.jpg") as error:
        train(settings_of(portraits, tmp_path))
    assert steps_in(tmp_path) == [2]
    for name, value in checkpoint.read(str(tmp_path / "MMNetModel-2")).items():
        assert np.isfinite(value).all(), name
    assert str(error.value).count(".jpg") == 4


def test_a_full_disk_leaves_the_older_checkpoints(portraits, tmp_path, monkeypatch):
    write = checkpoint.write

    def full_at_20(prefix, values, files):
        if prefix.endswith("-20"):
            raise OSError(28, "No space left on device")
        write(prefix, values, files)
    monkeypatch.setattr(saver_module.checkpoint, "write", full_at_20)
    with pytest.raises(OSError, match="No space left"):
        train(settings_of(portraits, tmp_path))
    assert steps_in(tmp_path) == [10]
    checkpoint.read(str(tmp_path / "MMNetModel-10"))
