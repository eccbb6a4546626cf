"""Tests of mmnet.tf.checkpoint."""

import os
import resource
import shutil

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from mmnet.io.checkpoint_files import delete_checkpoint, step_of
from mmnet.io.errors import MmnetError
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf

LATEST = "MMNetModel-100"
DATA = ".data-00000-of-00001"


@pytest.fixture(scope="module")
def saved_folder(write_checkpoints):
    """A folder with checkpoints of the steps 9, 10 and 100. No test writes to it."""
    return write_checkpoints(100, 9, 10)


@pytest.fixture
def folder(saved_folder, tmp_path):
    """A copy of ``saved_folder``. TensorFlow treats its name as a pattern."""
    return shutil.copytree(saved_folder, str(tmp_path / "a run [1]"))


@pytest.mark.parametrize("name", ["MMNetModel-8", ""], ids=["missing", "folder"])
def test_read_rejects_other_paths(saved_folder, name):
    path = os.path.join(saved_folder, name)
    with assert_raises(FileNotFoundError, path):
        checkpoint.read(path)


def test_read_rejects_damaged_files(folder):
    prefix = os.path.join(folder, LATEST)
    data = prefix + DATA
    with open(data, "r+b") as file:
        file.seek(1000)
        file.write(b"\xff\xff")
    with assert_raises(MmnetError, prefix, "damaged"):
        checkpoint.read(prefix)
    size = os.path.getsize(data)
    for length in (int(size * 0.99), size // 2, 0):
        os.truncate(data, length)
        with assert_raises(MmnetError, prefix):
            checkpoint.read(prefix)
    os.unlink(data)
    with assert_raises(MmnetError, prefix):
        checkpoint.read(prefix)
    os.mkfifo(data)
    with assert_raises(MmnetError, prefix, "regular file"):
        checkpoint.read(prefix)


def test_write_is_readable(tmp_path):
    values = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "global_step": np.int64(7)}
    prefix = str(tmp_path / "MMNetModel-7")
    checkpoint.write(prefix, values, {".json": "{}"})
    read = checkpoint.read(prefix)
    assert sorted(read) == ["a", "global_step"] and read["global_step"] == 7
    np.testing.assert_array_equal(read["a"], values["a"])
    names = ["MMNetModel-7" + suffix for suffix in (DATA, ".index", ".json")]
    assert sorted(os.listdir(str(tmp_path))) == names + ["checkpoint"]
    assert tf.train.latest_checkpoint(str(tmp_path)) == prefix


def test_read_ignores_texts(tmp_path):
    prefix = str(tmp_path / "MMNetModel-7")
    values = {"a": np.zeros(3, np.float32), "b": np.array(b"x", object), "global_step": np.int32(7)}
    checkpoint.write(prefix, values)
    assert sorted(checkpoint.read(prefix)) == ["a", "global_step"]


def test_write_reports_reason_and_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, limits[1]))
    try:
        with assert_raises(OSError, tmp_path / "MMNetModel-1", "File too large") as caught:
            checkpoint.write(str(tmp_path / "MMNetModel-1"), {"x": np.zeros(100000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert not os.listdir(str(tmp_path))


def test_restore_casts_and_reports_mismatches():
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.get_variable("global_step", [], tf.int64, tf.zeros_initializer())
        weights = tf.get_variable("weights", [2, 2], initializer=tf.zeros_initializer())
        new = tf.get_variable("new", [3], initializer=tf.ones_initializer())
        session.run(tf.global_variables_initializer())
        operations = len(session.graph.get_operations())
        values = {
            "global_step": np.int32(7),
            "weights": np.zeros([2, 3], np.float32),
            "old": np.zeros(1),
        }
        report = checkpoint.restore(session, values, [step, weights, new])
        reshaped = [("weights", [2, 3], [2, 2])]
        assert report == checkpoint.RestoreReport(["global_step"], ["new"], ["old"], reshaped)
        assert session.run(step) == 7
        assert session.run(new).tolist() == [1, 1, 1]
        assert len(session.graph.get_operations()) == operations


def test_restore_assigns_variables_initialized_from_others():
    with tf.Graph().as_default(), tf.Session() as session:
        weights = tf.get_variable("weights", [2], initializer=tf.ones_initializer())
        copy = tf.get_variable("copy", initializer=weights.initialized_value())
        session.run(tf.global_variables_initializer())
        checkpoint.restore(session, {"copy": np.array([5, 6], np.float32)}, [copy])
        assert session.run(copy).tolist() == [5, 6]


def test_watch_yields_new_checkpoints_in_order(folder, write_checkpoints):
    steps = []
    for prefix in checkpoint.watch(folder, timeout=0):
        steps.append(step_of(prefix))
        if steps == [9]:
            write_checkpoints(50, folder=folder)
            delete_checkpoint(os.path.join(folder, "MMNetModel-10"))
    assert steps == [9, 50, 100]


def test_watch_waits_for_incomplete_checkpoint(folder, tmp_path, caplog):
    data = os.path.join(folder, "MMNetModel-10" + DATA)
    complete = str(tmp_path / "complete")
    shutil.copy(data, complete)
    os.truncate(data, 1000)
    steps = []
    for prefix in checkpoint.watch(folder, timeout=0):
        steps.append(step_of(prefix))
        if steps == [9, 100]:
            shutil.copy(complete, data)
    assert steps == [9, 100, 10]
    assert_message(caplog.text, "waiting", "MMNetModel-10")


@pytest.mark.parametrize("step", [304500, 1898000])
def test_read_published_checkpoint(test_data, step):
    values = checkpoint.read(os.path.join(test_data, "checkpoints", f"MMNetModel-{step}"))
    assert len(values) == 1170
    assert values["global_step"] == step and values["global_step"].dtype == np.int32
