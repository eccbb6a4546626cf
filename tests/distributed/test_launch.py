"""Trainings by several processes, with the launcher: equal to one, lost processes, restarts."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmnet.distributed.heartbeat import LOST
from mmnet.distributed.launch import environment_of, own_gpu, wait_for_all
from mmnet.distributed.members import Plan, read_tf_config
from mmnet.io import checkpoint_files
from mmnet.tf import checkpoint

FLAGS = {
    "dataset_split_name": "test",
    "width_multiplier": "0.25",
    "size": "64",
    "batch_size": "8",
    # Plain descent: Adam divides by the gradients' size, and makes much of where they are nothing
    # but rounding. These steps move weights by 1e-3 and more.
    "optimizer": "gd",
    "learning_rate": "1e-4",
    "max_step_from_restore": "20",
    "step_save_checkpoint": "10",
    "step_save_summaries": "5",
}


@pytest.fixture
def begin(portraits, lively_weights, start_process):
    """Start ``mmnet launch``: (folder, processes, launcher's flags, training's flags) -> Popen."""

    def begin(folder, processes, launcher=(), **flags):
        flags = dict(FLAGS, dataset_path=portraits, checkpoint_path=lively_weights.source, **flags)
        flags["train_dir"] = str(folder)
        command = [sys.executable, "-m", "mmnet", "launch", "--processes", str(processes)]
        command += [*launcher, "--", "train"]
        for name, value in flags.items():
            command += ["--" + name] + [value] * (value != "true")
        return start_process(command, stderr=subprocess.PIPE)

    return begin


@pytest.fixture
def finish(begin):
    """The same, to its end: (exit code, stderr)."""

    def finish(*arguments, **flags):
        process = begin(*arguments, **flags)
        err = process.communicate(timeout=300)[1]
        return process.returncode, err

    return finish


def values_in(folder):
    return checkpoint.read(checkpoint_files.list_checkpoints(str(folder))[-1])


def assert_alike(folder, other):
    """Weights within 1e-5, what sums in another order amount to in 20 steps; moving statistics,
    which are values of the network and not of size 1, within a thousandth.
    """
    one, two = values_in(folder), values_in(other)
    assert one["global_step"] == two["global_step"]
    assert set(one) == set(two)
    for name in one:
        rtol, atol = (1e-3, 1e-3) if "/moving_" in name else (0, 1e-5)
        np.testing.assert_allclose(two[name], one[name], rtol=rtol, atol=atol, err_msg=name)


def test_two_processes_equal_one_and_go_on_as_the_other(finish, tmp_path):
    """2 x 4 pictures are 1 x 8; so they stay when a run of one goes on with two, and back."""
    whole, more, fewer = (tmp_path / name for name in ("one", "one then two", "two then one"))
    same = {"sync_batch_norm": "true"}
    code, err = finish(whole, 1, **same)
    assert code == 0, err
    more.mkdir()
    first = checkpoint_files.list_checkpoints(str(whole))[0]
    for path in checkpoint_files.files_of(first) + [first + ".json"]:
        shutil.copy(path, str(more))
    code, err = finish(more, 2, **same)
    assert code == 0 and "going on from" in err, err
    assert err.count("saved") == 1  # one process tells and writes
    assert_alike(whole, more)
    code, err = finish(fewer, 2, max_step_from_restore="10", **same)
    assert code == 0, err
    code, err = finish(fewer, 1, **same)
    assert code == 0 and "going on from" in err, err
    assert_alike(whole, fewer)


def wait_for_checkpoint(folder, after=-1):
    """The step of the latest checkpoint, once it is a later one than ``after``."""
    deadline = time.monotonic() + 120
    while True:
        found = checkpoint_files.list_checkpoints(str(folder))
        if found and checkpoint_files.step_of(found[-1]) > after:
            return checkpoint_files.step_of(found[-1])
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def children_of(process):
    """Process ids, by rank."""
    path = "/proc/%d/task/%d/children" % (process.pid, process.pid)
    with open(path, encoding="utf-8") as file:
        children = [int(number) for number in file.read().split()]

    def rank(child):
        with open("/proc/%d/environ" % child, encoding="utf-8") as file:
            return read_tf_config(dict(v.split("=", 1) for v in file.read().split("\0") if v))[1]

    return sorted(children, key=rank)


def test_a_killed_process_ends_all_or_all_start_again(begin, tmp_path):
    flags = {"max_step_from_restore": "100000"}
    process = begin(tmp_path, 2, ["--restarts", "1"], **flags)
    step = -1
    for lost in (1, 0):
        step = wait_for_checkpoint(tmp_path, step + 10)
        os.kill(children_of(process)[lost], signal.SIGKILL)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == LOST
    assert err.count("was ended by SIGKILL: the training ends") == 2
    assert err.count("starting again: 1 of 1") == err.count("going on from") == 1
    assert "Traceback" not in err


def test_all_stop_after_the_same_step(begin, tmp_path):
    process = begin(tmp_path, 2, max_step_from_restore="100000")
    step = wait_for_checkpoint(tmp_path)
    os.kill(children_of(process)[1], signal.SIGTERM)  # not the one that saves
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM at step" in err and "training ends" not in err
    assert values_in(tmp_path)["global_step"] > step


def test_bad_input_is_said_once_and_not_tried_again(finish, tmp_path):
    code, err = finish(tmp_path, 3, ["--restarts", "2"])
    assert code == 2
    assert "--batch_size 8 is no multiple of the 3 processes" in err
    assert "starting again" not in err and "Traceback" not in err
    code, err = finish(tmp_path, 3, seed="x")
    assert code == 2 and err.count("\n") == 1 and "--seed" in err


def test_what_the_lost_one_says_counts(start_process):
    """A process whose input is bad may still be ending when those that lost it have ended."""
    plan = Plan(["127.0.0.1:1", "127.0.0.1:2"], [0, 1])
    for late, code in ((2, 2), (0, LOST), (LOST, LOST)):
        commands = ("exit %d" % LOST, "sleep .3; exit %d" % late)
        children = {n: start_process(["sh", "-c", do]) for n, do in enumerate(commands)}
        assert wait_for_all(children, plan, []) == code


@pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed")
def test_horovod(finish, tmp_path):
    for processes in (1, 2):
        code, err = finish(
            tmp_path / str(processes), processes, engine="horovod", sync_batch_norm="true"
        )
        assert code == 0, err
    assert_alike(tmp_path / "1", tmp_path / "2")


def test_what_a_process_is_given(monkeypatch, tmp_path):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # the user's word stands
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    given = environment_of(3, Plan(["a:1", "a:3", "b:1", "b:3"], [2, 3]))
    assert read_tf_config(given) == (("a:1", "a:3", "b:1", "b:3"), 3)
    assert (given["TF_NUM_INTRAOP_THREADS"], given["OMP_NUM_THREADS"]) == ("4", "7")
    assert (given["RANK_ID"], given["RANK_SIZE"], given["ASCEND_DEVICE_ID"]) == ("3", "4", "1")
    for name in ("gpu0", "gpu1"):
        (tmp_path / name).mkdir()
    gpus = [own_gpu(local, {}, str(tmp_path)) for local in range(3)]
    assert [gpu["CUDA_VISIBLE_DEVICES"] for gpu in gpus] == ["0", "1", "0"]
    assert own_gpu(1, {"CUDA_VISIBLE_DEVICES": "4,6"}) == {"CUDA_VISIBLE_DEVICES": "6"}
    assert own_gpu(0, {}, str(tmp_path / "none")) == {}
