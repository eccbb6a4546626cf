import os
import shutil

import numpy as np
import pytest

from mmnet import checkpoint
from mmnet.compat import tf


@pytest.fixture
def run(write_checkpoints, tmp_path):
    """A folder with checkpoints of steps 9, 10 and 100."""
    return write_checkpoints(100, 9, 10)


def test_finding(run):
    assert [checkpoint.step_of(prefix) for prefix in checkpoint.list_checkpoints(run)] == [9, 10, 100]
    latest = os.path.join(run, "MMNetModel-100")
    for path in (run, latest, latest + ".index", latest + ".data-00000-of-00001"):
        assert checkpoint.resolve(path) == latest
    assert checkpoint.step_of("model.ckpt") is None


def test_what_is_not_there(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint .*MMNetModel-8"):
        checkpoint.resolve(os.path.join(run, "MMNetModel-8"))
    with pytest.raises(FileNotFoundError, match="no checkpoint .* in"):
        checkpoint.resolve(str(tmp_path))
    os.unlink(os.path.join(run, "MMNetModel-100.index"))
    with pytest.raises(FileNotFoundError, match="data file but not its index"):
        checkpoint.resolve(os.path.join(run, "MMNetModel-100"))


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_cut_off_files_are_refused(run, share):
    prefix = os.path.join(run, "MMNetModel-100")
    data = prefix + ".data-00000-of-00001"
    os.truncate(data, int(os.path.getsize(data) * share))
    with pytest.raises(ValueError, match="MMNetModel-100 is damaged or not complete"):
        checkpoint.read(prefix)
    os.unlink(data)
    with pytest.raises(ValueError, match="damaged or not complete"):
        checkpoint.read(prefix)


def test_changed_bytes_are_refused(run):
    prefix = os.path.join(run, "MMNetModel-100")
    with open(prefix + ".data-00000-of-00001", "r+b") as file:
        file.seek(1000)
        file.write(b"\xff\xff")
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.read(prefix)


def test_restore_reports_both_ways_and_casts():
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.get_variable("global_step", [], tf.int64, tf.zeros_initializer())
        weights = tf.get_variable("weights", [2, 2], initializer=tf.zeros_initializer())
        new = tf.get_variable("new", [3], initializer=tf.ones_initializer())
        session.run(tf.global_variables_initializer())
        operations = len(session.graph.get_operations())
        values = {"global_step": np.int32(7), "weights": np.zeros([2, 3], np.float32), "old": np.zeros(1)}
        report = checkpoint.restore(session, values, [step, weights, new])
        assert report == checkpoint.Report(["global_step"], ["new"], ["old"], [("weights", [2, 3], [2, 2])])
        assert session.run(step) == 7
        assert session.run(new).tolist() == [1, 1, 1]
        assert len(session.graph.get_operations()) == operations


def test_watch_yields_each_once_also_what_comes_while_busy(run, write_checkpoints):
    steps = []
    for prefix in checkpoint.watch(run, timeout=0):
        steps.append(checkpoint.step_of(prefix))
        if steps == [9]:
            write_checkpoints(50, folder=run)  # written while 9 is scored
            checkpoint.delete(os.path.join(run, "MMNetModel-10"))  # and max_to_keep takes one
    assert steps == [9, 50, 100]


def test_watch_waits_for_the_half_written(run, tmp_path, caplog):
    half = os.path.join(run, "MMNetModel-10.data-00000-of-00001")
    kept = str(tmp_path / "kept")
    shutil.copy(half, kept)
    os.truncate(half, 1000)
    steps = []
    for prefix in checkpoint.watch(run, timeout=0):
        steps.append(checkpoint.step_of(prefix))
        if steps == [9, 100]:
            shutil.copy(kept, half)
    assert steps == [9, 100, 10]
    assert "waiting for" in caplog.text


def test_published_checkpoints_hold_everything(test_data):
    for step in (304500, 1898000):
        values = checkpoint.read(checkpoint.resolve(os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step)))
        assert len(values) == 1170
        assert values["global_step"] == step and values["global_step"].dtype == np.int32


def test_restore_reaches_variables_that_start_from_others():
    with tf.Graph().as_default(), tf.Session() as session:
        weights = tf.get_variable("weights", [2], initializer=tf.ones_initializer())
        copy = tf.get_variable("copy", initializer=weights.initialized_value())
        session.run(tf.global_variables_initializer())
        checkpoint.restore(session, {"copy": np.array([5, 6], np.float32)}, [copy])
        assert session.run(copy).tolist() == [5, 6]
