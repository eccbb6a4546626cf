"""Whole runs of a small network: stop and go on, warm starts, what is written, what goes wrong."""

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers.tiny import one_convolution

from helpers import ROOT, SMALL_FLAGS
from mmnet.cli import main
from mmnet.commands.presets import read_preset, resolve
from mmnet.inference.checkpoints import CheckpointPredictor
from mmnet.inference.open import load_weights, network_of_checkpoint, open_predictor
from mmnet.io import checkpoint_files
from mmnet.networks.network import Network
from mmnet.networks.registry import NETWORKS
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, training_session_config
from mmnet.training import saver as saver_module
from mmnet.training import train as train_module
from mmnet.training.train import train
from mmnet.weights.values import WeightOptions
from mmnet.weights.write import write_weights

SMALLEST = Network(width_multiplier=0.25, shape=(32, 32))
SMALL_RUN = {
    "dataset_split_name": "test",
    "width_multiplier": "0.25",
    "size": "32",
    "batch_size": "4",
    "learning_rate": "1e-3",
    "learning_rate_schedule": "cosine",
    "warm_up_steps": "5",
    "step_save_checkpoint": "10",
    "step_save_summaries": "1",
    "use_ema": "true",
    "max_step_from_restore": "40",
}


def flags_of(portraits, folder, **flags):
    flags = dict(SMALL_RUN, dataset_path=[portraits], train_dir=str(folder), **flags)
    return {name: value for name, value in flags.items() if value is not None}


def settings_of(portraits, folder, **flags):
    steps = flags.pop("max_step_from_restore", "40")
    return resolve("train", dict(flags_of(portraits, folder, **flags), max_step_from_restore=steps))


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
    prefixes = checkpoint_files.list_checkpoints(str(folder))
    return [checkpoint_files.step_of(prefix) for prefix in prefixes]


@contextlib.contextmanager
def signal_at(step, number):
    """Send this process a signal while it takes a step (from restore)."""
    learning_rate = train_module.learning_rate

    def send(current, *rest, **more):
        if current == step - 1:
            os.kill(os.getpid(), number)
        return learning_rate(current, *rest, **more)

    train_module.learning_rate = send
    try:
        yield
    finally:
        train_module.learning_rate = learning_rate


@contextlib.contextmanager
def optimizing_graphs():
    """Sessions as a user's training has them."""
    with pytest.MonkeyPatch.context() as patch:
        config = training_session_config(Device(exact=False))
        patch.setattr(train_module, "training_session_config", lambda device: config)
        yield


@pytest.fixture(scope="module")
def unbroken(portraits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken run")
    with optimizing_graphs():
        assert train(settings_of(portraits, folder)) == 0
    return folder


@pytest.fixture
def tiny(monkeypatch):
    """Flags of a run of a network that is built in a moment."""
    monkeypatch.setitem(NETWORKS, "tiny", one_convolution)
    return {"network": "tiny"}


def test_inputs_that_wait_on_a_gpu_change_nothing(unbroken, portraits, tmp_path, monkeypatch):
    """A processor stands for the GPU; the run is stopped and gone on with."""
    flags = {"teacher": str(unbroken), "learning_rate_schedule": "fixed"}
    plain, staged = tmp_path / "plain", tmp_path / "staged"

    def run(folder, steps):
        with optimizing_graphs():
            settings = settings_of(portraits, folder, max_step_from_restore=steps, **flags)
            assert train(settings) == 0

    run(plain, "6")
    monkeypatch.setattr(train_module, "has_gpu", lambda device: True)
    measured = []
    monkeypatch.setattr(train_module, "faster_layout", lambda *given: measured.append(given))
    run(staged, "3")
    run(staged, "6")
    assert len(measured) == 2
    expected, found = (checkpoint.read(str(f / "MMNetModel-6")) for f in (plain, staged))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_killed_stopped_and_resumed_equals_unbroken(unbroken, portraits, tmp_path):
    """Killed, it loses only what came after the last save; asked to stop, nothing."""
    code = """
import os, signal, sys, time
from mmnet import cli
from mmnet.training import train
learning_rate = train.learning_rate
def kill_at_28(step, *rest, **more):
    if step == 27:
        # Its writing goes on beside the steps.
        while not os.path.exists(sys.argv[-1] + "/MMNetModel-20.index"):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    return learning_rate(step, *rest, **more)
train.learning_rate = kill_at_28
cli.main(sys.argv[1:])
"""
    command = [sys.executable, "-c", code, "train", "--dataset_path", portraits]
    for name, value in SMALL_RUN.items():
        command += ["--" + name] + [value] * (value != "true")
    process = subprocess.run(
        command + ["--train_dir", str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, timeout=300
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert steps_in(tmp_path)[-1] == 20

    with signal_at(33, signal.SIGTERM), optimizing_graphs():
        assert train(settings_of(portraits, tmp_path)) == 143
    assert steps_in(tmp_path)[-1] == 33
    with optimizing_graphs():
        assert train(settings_of(portraits, tmp_path)) == 0
    assert steps_in(tmp_path)[-1] == 40
    assert losses_of(tmp_path) == losses_of(unbroken) and len(losses_of(unbroken)) == 40
    ours, theirs = (
        checkpoint.read(os.path.join(str(path), "MMNetModel-40")) for path in (tmp_path, unbroken)
    )
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    with open(str(tmp_path / "MMNetModel-40.json")) as file:
        assert json.load(file)["data_sets"][0]["steps"] == 40


def test_stopped_before_the_first_save(portraits, tmp_path, tiny):
    """SIGINT and SIGTERM alike: the state of the step under way is saved."""
    for number, step, code in ((signal.SIGINT, 3, 130), (signal.SIGTERM, 7, 143)):
        with signal_at(step, number):
            assert train(settings_of(portraits, tmp_path, **tiny)) == code
        assert steps_in(tmp_path)[-1] == step


def test_what_a_run_leaves(unbroken, portraits):
    assert steps_in(unbroken) == [10, 20, 30, 40]
    with open(str(unbroken / "MMNetModel-40.json")) as file:
        record = json.load(file)
    assert (record["global_step"], record["step_from_restore"]) == (40, 40)
    assert record["parent"] is None
    (data_set,) = record["data_sets"]
    assert (data_set["path"], data_set["pictures"], data_set["steps"]) == (portraits, 6, 40)
    assert len(data_set["manifest_sha256"]) == 64
    assert record["configuration"]["optimizer"] == "adam"
    assert record["versions"]["tensorflow"] == tf.__version__
    path = str(unbroken / "config.yaml")
    saved = read_preset(path)
    expected = settings_of(portraits, unbroken, network="mmnet")  # the network is written out
    assert resolve("train", {}, path) == expected
    assert saved["width_multiplier"] == 0.25
    tags, texts = set(), ""
    for path in glob.glob(str(unbroken / "events*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                tags.add(value.tag)
                if value.tag == "configuration":
                    texts += value.tensor.string_val[0].decode()
    terms = ("alpha", "composition", "gradient", "cross_entropy", "auxiliary")
    assert {"loss/" + name for name in ("total", "model", "regularization") + terms} < tags
    assert {"schedule/learning_rate", "schedule/epoch", "speed/images_per_second"} < tags
    assert {"speed/waiting_for_input_percent", "batch/mIoU", "errors/batch/MAD"} < tags
    assert {"batch/0", "batch/1", "_hparams_/session_start_info"} < tags
    assert "width_multiplier: 0.25" in texts


def test_learning_lowers_the_loss(unbroken):
    losses = losses_of(unbroken)
    first, last = (
        np.mean([losses[step] for step in steps]) for steps in (range(1, 11), range(31, 41))
    )
    assert last < 0.9 * first


def test_later_verbs_know_the_network(unbroken, portraits):
    for path, flags, shape in (
        (unbroken, {}, (32, 32)),
        (unbroken / "MMNetModel-40", {"size": "64"}, (64, 64)),
        (unbroken / "MMNetModel-40", {"shape": ["64", "96"]}, (64, 96)),
    ):
        flags = dict(flags, dataset_path=portraits, checkpoint_path=str(path))
        settings = resolve("evaluate", flags)
        prefix = checkpoint_files.find_checkpoint(settings.checkpoint_path)
        network = network_of_checkpoint(prefix, settings.wanted())
        assert network == Network("mmnet", 0.25, shape)


def test_moving_averages(unbroken):
    values = checkpoint.read(str(unbroken / "MMNetModel-40"))
    name = "MMNet/final_block/pointwise_conv/biases"
    assert not np.array_equal(values[name], values[name + "/ExponentialMovingAverage"])
    predictor, alphas = CheckpointPredictor(SMALLEST), []
    for use_ema in (False, True):
        weights = load_weights(str(unbroken), weight_options=WeightOptions(use_ema))
        assert (weights.network, weights.options.use_ema) == (SMALLEST, use_ema)
        predictor.load(weights)
        alphas.append(predictor(np.full((1, 32, 32, 3), 128.0)))
    assert np.abs(alphas[0] - alphas[1]).max() > 1e-4


def test_warm_start(unbroken, portraits, tmp_path, caplog):
    caplog.set_level("INFO")
    settings = settings_of(
        portraits,
        tmp_path,
        checkpoint_path=str(unbroken / "MMNetModel-20"),
        reset_optimizer="true",
        learning_rate_schedule="fixed",
        optimizer="momentum",
        checkpoint_exclude_scopes=["MMNet/final_block"],
        use_ema=None,
        ignore_missing_vars="true",
        max_step_from_restore="2",
    )
    assert train(settings) == 0
    assert steps_in(tmp_path) == [22]  # the global step goes on
    with open(str(tmp_path / "MMNetModel-22.json")) as file:
        record = json.load(file)
    assert record["step_from_restore"] == 2
    assert record["parent"]["global_step"] == 20
    assert record["parent"]["lineage"]["step_from_restore"] == 20
    assert "skipped by the flags" in caplog.text
    assert "MMNet/final_block/pointwise_conv/biases" in caplog.text


def test_a_warm_start_takes_the_network_of_its_checkpoint(portraits, tmp_path, tiny):
    flags = dict(tiny, size=None, shape=["64", "96"], max_step_from_restore="1")
    assert train(settings_of(portraits, tmp_path / "first", **flags)) == 0
    flags = dict.fromkeys(("width_multiplier", "size"), None)
    flags.update(checkpoint_path=str(tmp_path / "first"), max_step_from_restore="1")
    assert train(settings_of(portraits, tmp_path / "second", **flags)) == 0
    saved = read_preset(str(tmp_path / "second" / "config.yaml"))
    assert (saved["network"], saved["shape"], "size" in saved) == ("tiny", [64, 96], False)


def test_what_does_not_fit_is_said(unbroken, portraits, tmp_path):
    with pytest.raises(ValueError, match="does not fit .*another shape.*--ignore_missing_vars"):
        flags = {"checkpoint_path": str(unbroken), "width_multiplier": "0.5"}
        train(settings_of(portraits, tmp_path, **flags))
    with pytest.raises(ValueError, match="was trained with other settings .*missing"):
        more = {"optimizer": "momentum", "max_step_from_restore": "50"}
        train(settings_of(portraits, unbroken, **more))
    saved = read_preset(str(unbroken / "config.yaml"))
    assert saved["optimizer"] == "adam"  # the run's own is untouched
    with pytest.raises(ValueError, match="no variable's name starts so"):
        train(settings_of(portraits, tmp_path, trainable_scopes=["MMNet/head"]))
    assert not (tmp_path / "config.yaml").exists()


def test_a_run_that_is_done_ends_at_once(unbroken, portraits, caplog, monkeypatch):
    caplog.set_level("INFO")
    before = sorted(os.listdir(str(unbroken)))
    monkeypatch.setattr(train_module, "build_training_graph", None)
    assert train(settings_of(portraits, unbroken)) == 0
    assert "has taken its 40 steps: nothing is left to do" in caplog.text
    assert sorted(os.listdir(str(unbroken))) == before


def test_a_loss_that_is_not_finite_stops_with_names_and_the_state_before(
    portraits, tmp_path, monkeypatch
):
    batches = train_module.batches

    def spoil(*args, **named):
        for number, batch in enumerate(batches(*args, **named)):
            if number == 2:
                batch = batch._replace(images=batch.images * np.float32("nan"))
            yield batch

    monkeypatch.setattr(train_module, "batches", spoil)
    says = r"loss of step 3 is not finite; .* the batch: .*portrait0_000\d.jpg"
    with pytest.raises(ValueError, match=says) as error:
        train(settings_of(portraits, tmp_path))
    assert steps_in(tmp_path) == [2]
    for name, value in checkpoint.read(str(tmp_path / "MMNetModel-2")).items():
        assert np.isfinite(value).all(), name
    assert str(error.value).count(".jpg") == 4


def test_a_full_disk_leaves_the_older_checkpoints(portraits, tmp_path, monkeypatch, tiny):
    write = checkpoint.write

    def full_at_20(prefix, values, files):
        if prefix.endswith("-20"):
            raise OSError(28, "No space left on device")
        write(prefix, values, files)

    monkeypatch.setattr(saver_module.checkpoint, "write", full_at_20)
    with pytest.raises(OSError, match="No space left"):
        train(settings_of(portraits, tmp_path, **tiny))
    assert steps_in(tmp_path) == [10]
    checkpoint.read(str(tmp_path / "MMNetModel-10"))


def test_a_damaged_lineage_stops_a_resume(portraits, tmp_path, tiny, capfd):
    run = tmp_path / "run"
    assert train(settings_of(portraits, run, max_step_from_restore="2", **tiny)) == 0
    with open(str(run / "MMNetModel-2.json")) as file:
        record = json.load(file)
    (data_set,) = record["data_sets"]
    parent = {"path": "P", "global_step": 1, "lineage": None}
    damaged = [
        "",
        json.dumps(record)[:-20],
        json.dumps([record]),
        dict(record, global_step="2"),
        dict(record, step_from_restore=None),
        dict(record, data_sets=None),
        dict(record, data_sets=["a dataset"]),
        dict(record, data_sets=[dict(data_set, steps=None)]),
        dict(record, data_sets=[dict(data_set, manifest_sha256=1)]),
        dict(record, parent="P"),
        dict(record, parent=dict(parent, global_step="1")),
        dict(record, parent=dict(parent, lineage=dict(record, data_sets=[{}]))),
    ]
    damaged += [
        {name: value for name, value in record.items() if name != missing}
        for missing in ("global_step", "step_from_restore", "data_sets", "parent")
    ]
    command = ["train"]
    for name, value in flags_of(portraits, run, **tiny).items():
        value = value[0] if isinstance(value, list) else value
        command += ["--" + name] + [value] * (value != "true")
    before = sorted(os.listdir(str(run)))
    for text in damaged:
        (run / "MMNetModel-2.json").write_text(text if isinstance(text, str) else json.dumps(text))
        capfd.readouterr()
        assert main(command) == 2, text
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        assert str(run / "MMNetModel-2.json") in err and "Traceback" not in err
    assert sorted(os.listdir(str(run))) == before
    (run / "MMNetModel-2.json").write_text(json.dumps(dict(record, parent=parent)))
    assert main(command) == 0


@pytest.fixture
def photos(portraits, tmp_path):
    """A folder of two pictures without masks."""
    folder = tmp_path / "photos without masks"
    folder.mkdir()
    for name in ("portrait0_0000.jpg", "portrait0_0001.jpg"):
        shutil.copy(os.path.join(portraits, "test", "image", name), str(folder))
    return str(folder)


def test_a_teacher(lively_weights, portraits, photos, tmp_path, tiny):
    """A network of one convolution learns a teacher's alphas, also of pictures without masks."""
    teacher = str(tmp_path / "teacher")
    write_weights(os.path.join(teacher, "MMNetModel-5"), lively_weights)
    shape = lively_weights.network.shape
    flags = dict(tiny, teacher=teacher, teacher_temperature="2", pictures_path=[photos])
    flags.update(size=str(shape[0]), width_multiplier=None, learning_rate="0.1")
    flags.update(augmentation_method="resize_bilinear", dataset_weights=["1", "3"])
    settings = settings_of(portraits, tmp_path / "run", max_step_from_restore="20", **flags)
    with contextlib.ExitStack() as stack:
        run = train_module.prepare(settings, stack)
        assert list(map(len, run.data_sets)) == [6, 2]
        batch = next(run.batches)
        numbers = [number for number, _ in batch.indices]
        masks = batch.masks.copy()
        taught = train_module.teach(run, batch)
        for slot, number in enumerate(numbers):
            if number == 1:
                assert not masks[slot].any()
                np.testing.assert_allclose(batch.masks[slot] / 255, taught[slot], atol=0.5 / 255)
            else:
                np.testing.assert_array_equal(batch.masks[slot], masks[slot])
        assert set(numbers) == {0, 1}
        images = batch.images.astype("f")
        expected = open_predictor(teacher, {"shape": shape})(images)
        np.testing.assert_allclose(taught, expected, atol=1e-6)
    assert train(settings_of(portraits, tmp_path / "run", max_step_from_restore="20", **flags)) == 0
    with open(str(tmp_path / "run" / "MMNetModel-20.json")) as file:
        data_sets = json.load(file)["data_sets"]
    assert [(one["pictures"], one["split"]) for one in data_sets] == [(6, "test"), (2, "")]
    teachings = {}
    for path in glob.glob(os.path.join(str(tmp_path / "run"), "events*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                if value.tag == "loss/teacher":
                    teachings[event.step] = value.simple_value
    assert np.mean([teachings[step] for step in range(16, 21)]) < teachings[1] - 0.005


def test_bad_teachers(portraits, photos, tmp_path, lively_weights, capfd):
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    command += ["--train_dir", str(tmp_path / "run"), "--max_step_from_restore", "1"]
    model = str(tmp_path / "model.pb")
    assert (
        main(
            ["freeze", "--checkpoint_path", lively_weights.source, "--output", model] + SMALL_FLAGS
        )
        == 0
    )
    for flags, says in (
        (["--teacher", model, "--size", "96"], "model.pb takes pictures of 64x64, not 96x96"),
        (["--teacher", str(tmp_path / "none")], "%s: no checkpoint" % (tmp_path / "none")),
        (["--teacher_temperature", "2"], "--teacher_temperature needs a --teacher"),
        (["--lambda_teacher_loss", "2"], "--lambda_teacher_loss needs a --teacher"),
        (["--pictures_path", photos], "--pictures_path needs a --teacher"),
        (["--teacher", model, "--pictures_path", str(tmp_path)], "no pictures (jpg, jpeg, png) in"),
    ):
        capfd.readouterr()
        assert main(command + flags) == 2
        errors = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
        assert len(errors) == 1 and says in errors[0], errors


def test_frozen_batch_norm(unbroken, portraits, tmp_path, capfd):
    flags = {"freeze_batch_norm": "true", "step_save_checkpoint": "1", "warm_up_steps": "0"}
    with pytest.raises(ValueError, match="--freeze_batch_norm goes on with a trained network"):
        settings_of(portraits, tmp_path, **flags)
    settings = settings_of(
        portraits, tmp_path, checkpoint_path=str(unbroken), max_step_from_restore="2", **flags
    )
    assert train(settings) == 0
    before = checkpoint.read(checkpoint_files.list_checkpoints(str(unbroken))[-1])
    after = checkpoint.read(checkpoint_files.list_checkpoints(str(tmp_path))[-1])
    for name in before:
        kept = np.array_equal(after[name], before[name])
        assert kept == ("/moving_" in name), name


def test_a_network_that_sees_the_frame_before(unbroken, portraits, tmp_path):
    """It begins as the network of three channels that it comes from, and learns to look."""
    flags = {"channels": "4", "checkpoint_path": str(unbroken), "step_save_checkpoint": "1"}
    flags.update(width_multiplier=None, size=None, warm_up_steps="0")
    assert train(settings_of(portraits, tmp_path, max_step_from_restore="2", **flags)) == 0
    prefixes = checkpoint_files.list_checkpoints(str(tmp_path))
    assert network_of_checkpoint(prefixes[-1]) == SMALLEST._replace(channels=4)
    name = "MMNet/init_block/conv/weights"
    before = checkpoint.read(checkpoint_files.find_checkpoint(str(unbroken)))
    first, second = (checkpoint.read(prefix) for prefix in prefixes)
    assert first[name].shape[2] == 4 and first[name + "/Adam"].shape[2] == 4
    assert np.abs(first[name][:, :, :3] - before[name]).max() < 0.01
    assert np.any(second[name][:, :, 3])
    images = np.random.RandomState(0).uniform(0, 255, (2, 32, 32, 4)).astype("f")
    predictor = open_predictor(prefixes[-1])
    images[..., 3] = 0
    plain = predictor(images)
    np.testing.assert_array_equal(plain, predictor(images[..., :3]))  # no frame was before
    images[..., 3] = 255
    assert np.any(plain != predictor(images))


def test_a_warm_start_into_four_channels_changes_nothing_yet(unbroken, portraits, tmp_path):
    flags = {"channels": "4", "checkpoint_path": str(unbroken), "use_ema": None}
    flags.update(width_multiplier=None, size=None)
    settings = settings_of(portraits, tmp_path, max_step_from_restore="1", **flags)
    with contextlib.ExitStack() as stack:
        run = train_module.prepare(settings, stack)
        batch = next(run.batches)
        assert batch.images.shape[3] == 4
        values = run.session.run({v.op.name: v for v in run.graph.variables})
    kernel = values["MMNet/init_block/conv/weights"]
    assert not np.any(kernel[:, :, 3]) and np.any(kernel[:, :, :3])
