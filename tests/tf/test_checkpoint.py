import os
import resource
import shutil

import numpy as np
import pytest

from mmnet.io.checkpoint_files import delete_checkpoint, find_checkpoint, list_checkpoints, step_of
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf

LATEST = "MMNetModel-100"
DATA = ".data-00000-of-00001"


@pytest.fixture(scope="module")
def written(write_checkpoints):
    """A folder with checkpoints of steps 9, 10 and 100; no test writes into it."""
    return write_checkpoints(100, 9, 10)


@pytest.fixture
def run(written, tmp_path):
    """A copy of them that a test may change."""
    return shutil.copytree(written, str(tmp_path / "a run"))


def test_finding_what_tensorflow_wrote(written):
    assert [step_of(prefix) for prefix in list_checkpoints(written)] == [9, 10, 100]
    latest = os.path.join(written, LATEST)
    for path in (written, latest, latest + ".index", latest + DATA):
        assert find_checkpoint(path) == latest


def test_what_is_not_there(written, tmp_path):
    for prefix in (os.path.join(written, "MMNetModel-8"), str(tmp_path)):
        with pytest.raises(FileNotFoundError, match="no checkpoint " + prefix):
            checkpoint.read(prefix)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_cut_off_files_are_refused(run, share):
    prefix = os.path.join(run, LATEST)
    data = prefix + DATA
    os.truncate(data, int(os.path.getsize(data) * share))
    with pytest.raises(ValueError, match="MMNetModel-100 is damaged or not complete"):
        checkpoint.read(prefix)
    os.unlink(data)
    with pytest.raises(ValueError, match="damaged or not complete"):
        checkpoint.read(prefix)


def test_changed_bytes_are_refused(run):
    prefix = os.path.join(run, LATEST)
    with open(prefix + DATA, "r+b") as file:
        file.seek(1000)
        file.write(b"\xff\xff")
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.read(prefix)


def test_what_is_written_comes_back(tmp_path):
    values = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "global_step": np.int64(7)}
    prefix = str(tmp_path / "MMNetModel-7")
    checkpoint.write(prefix, values, {".json": "{}"})
    read = checkpoint.read(prefix)
    assert sorted(read) == ["a", "global_step"] and read["global_step"] == 7
    np.testing.assert_array_equal(read["a"], values["a"])
    names = [prefix.rpartition("/")[2] + ending for ending in (DATA, ".index", ".json")]
    assert sorted(os.listdir(str(tmp_path))) == names + ["checkpoint"]
    assert tf.train.latest_checkpoint(str(tmp_path)) == prefix


def test_restore_reports_both_ways_and_casts():
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


def test_watch_yields_each_once_also_what_comes_while_busy(run, write_checkpoints):
    steps = []
    for prefix in checkpoint.watch(run, timeout=0):
        steps.append(step_of(prefix))
        if steps == [9]:
            write_checkpoints(50, folder=run)  # written while 9 is scored
            delete_checkpoint(os.path.join(run, "MMNetModel-10"))  # and max_to_keep takes one
    assert steps == [9, 50, 100]


def test_watch_waits_for_the_half_written(run, tmp_path, caplog):
    half = os.path.join(run, "MMNetModel-10" + DATA)
    kept = str(tmp_path / "kept")
    shutil.copy(half, kept)
    os.truncate(half, 1000)
    steps = []
    for prefix in checkpoint.watch(run, timeout=0):
        steps.append(step_of(prefix))
        if steps == [9, 100]:
            shutil.copy(kept, half)
    assert steps == [9, 100, 10]
    assert "waiting for" in caplog.text


def test_published_checkpoints_hold_everything(test_data):
    for step in (304500, 1898000):
        path = os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step)
        values = checkpoint.read(find_checkpoint(path))
        assert len(values) == 1170
        assert values["global_step"] == step and values["global_step"].dtype == np.int32


def test_restore_reaches_variables_that_start_from_others():
    with tf.Graph().as_default(), tf.Session() as session:
        weights = tf.get_variable("weights", [2], initializer=tf.ones_initializer())
        copy = tf.get_variable("copy", initializer=weights.initialized_value())
        session.run(tf.global_variables_initializer())
        checkpoint.restore(session, {"copy": np.array([5, 6], np.float32)}, [copy])
        assert session.run(copy).tolist() == [5, 6]


def test_what_cannot_be_written_says_why(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, limits[1]))
    try:
        with pytest.raises(OSError, match="MMNetModel-1 cannot be written: File too large$"):
            checkpoint.write(str(tmp_path / "MMNetModel-1"), {"x": np.zeros(100000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not os.listdir(str(tmp_path))
