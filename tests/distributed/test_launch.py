"""Tests of mmnet.distributed.launch: trainings by several processes."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers import assert_message
from helpers.runs import read_last, steps_in
from mmnet.cli import main
from mmnet.distributed.heartbeat import LOST
from mmnet.distributed.launch import launch as run_launch
from mmnet.distributed.launch import process_environment, select_gpu, wait_for_processes
from mmnet.distributed.members import Plan, read_tf_config
from mmnet.io import checkpoint_files

FLAGS = {
    "dataset_split_name": "test",
    "network": "tiny",
    "size": "64",
    "batch_size": "8",
    # Adam divides by the size of the gradients, so it amplifies rounding errors of small gradients.
    "optimizer": "gd",
    "learning_rate": "1e-4",
    "max_step_from_restore": "20",
    "step_save_checkpoint": "10",
    "step_save_summaries": "5",
}
ENDLESS = {"max_step_from_restore": "100000"}


@pytest.fixture
def train_command(portraits, small_weights):
    """Return the command line of a training: (folder, flags) -> words."""

    def train_command(folder, **flags):
        flags = {**FLAGS, "dataset_path": portraits, "train_dir": str(folder), **flags}
        words = ["train", "--checkpoint_path", small_weights.source, "--sync_batch_norm"]
        for flag, value in flags.items():
            words += [f"--{flag}", value]
        return words

    return train_command


@pytest.fixture
def start_launch(train_command, start_process):
    """Start `mmnet launch`, two processes: (folder, flags of launch, flags of train) -> Popen."""

    def start(folder, *launch_flags, **flags):
        command = [sys.executable, "-m", "mmnet", "launch", "--processes", "2", *launch_flags]
        command += ["--", *train_command(folder, **flags)]
        return start_process(command, stderr=subprocess.PIPE)

    return start


@pytest.fixture
def launch(start_launch):
    """Run `mmnet launch` to its end. Return stderr."""

    def launch(*arguments, **flags):
        process = start_launch(*arguments, **flags)
        err = process.communicate(timeout=300)[1]
        assert process.returncode == 0, err
        return err

    return launch


def assert_close(folder, other):
    """Assert that weights differ by rounding only. Moving statistics have larger values."""
    values, other_values = read_last(folder), read_last(other)
    assert values["global_step"] == other_values["global_step"]
    assert values.keys() == other_values.keys()
    for name in values:
        rtol, atol = (1e-3, 1e-3) if "/moving_" in name else (0, 1e-5)
        np.testing.assert_allclose(
            other_values[name], values[name], rtol=rtol, atol=atol, err_msg=name
        )


def test_two_processes_equal_one(train_command, launch, tmp_path, capfd):
    """2 x 4 images equal 1 x 8, also if a training resumes with another number of processes."""
    one, one_two, two_one = (tmp_path / name for name in ("one", "one then two", "two then one"))
    assert main(train_command(one)) == 0
    one_two.mkdir()
    first = checkpoint_files.list_checkpoints(str(one))[0]
    for path in [*checkpoint_files.files_of(first), first + ".json"]:
        shutil.copy(path, str(one_two))
    err = launch(one_two)
    assert_message(err, "resume from")
    assert err.count("saved") == 1  # only rank 0 writes
    assert_close(one, one_two)
    launch(two_one, max_step_from_restore="10")
    capfd.readouterr()
    assert main(train_command(two_one)) == 0
    assert_message(capfd.readouterr().err, "resume from")
    assert_close(one, two_one)


def wait_for_checkpoint(folder, after=-1):
    """Wait for a checkpoint with a later step than ``after``. Return its step."""
    deadline = time.monotonic() + 120
    while max(steps_in(folder), default=-1) <= after:
        assert time.monotonic() < deadline, steps_in(folder)
        time.sleep(0.1)
    return steps_in(folder)[-1]


def child_pids(process):
    """Return the process ids of the children by rank."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="utf-8") as file:
        children = [int(number) for number in file.read().split()]

    def rank(child):
        with open(f"/proc/{child}/environ", encoding="utf-8") as file:
            return read_tf_config(dict(v.split("=", 1) for v in file.read().split("\0") if v))[1]

    return sorted(children, key=rank)


def test_killed_process_stops_or_restarts_all(start_launch, tmp_path):
    process = start_launch(tmp_path, "--restarts", "1", **ENDLESS)
    step = -1
    for lost in (1, 0):
        step = wait_for_checkpoint(tmp_path, step + 10)
        os.kill(child_pids(process)[lost], signal.SIGKILL)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == LOST
    assert err.count("SIGKILL") == 2
    assert err.count("restart 1 of 1") == err.count("resume from") == 1
    assert "Traceback" not in err


def test_signal_stops_all_processes_after_one_step(start_launch, tmp_path):
    process = start_launch(tmp_path, **ENDLESS)
    step = wait_for_checkpoint(tmp_path)
    os.kill(child_pids(process)[1], signal.SIGTERM)  # this process does not write
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert_message(err, "stopped by SIGTERM")
    assert read_last(tmp_path)["global_step"] > step


@pytest.mark.parametrize("exit_code, expected", [(2, 2), (0, LOST), (LOST, LOST)])
def test_failure_of_the_lost_process_decides(start_process, exit_code, expected):
    """A process with bad input may still be ending after others reported that it is lost."""
    plan = Plan(["127.0.0.1:1", "127.0.0.1:2"], [0, 1])
    commands = (f"exit {LOST}", f"sleep .3; exit {exit_code}")
    children = {rank: start_process(["sh", "-c", code]) for rank, code in enumerate(commands)}
    assert wait_for_processes(children, plan, []) == expected


def test_error_of_all_processes_is_printed_once(capfd):
    plan = Plan([f"127.0.0.1:{port}" for port in (1, 3, 5)], [0, 1, 2])
    assert run_launch(plan, ["nocommand"], environ={}) == 2
    err = capfd.readouterr().err
    assert err.count("nocommand") == err.count("\n") == 1


@pytest.mark.parametrize(
    "flags, tokens",
    [
        (["--port", "65535"], ["--port", "65534"]),
        (["--port", "0"], ["--port", "65534"]),
        (["--hosts", "a", "b:99999", "--host_index", "0"], ["--hosts", "b:99999"]),
        (["--hosts", "a", "b", "--host_index", "0"], ["MMNET_SECRET"]),
        (["--processes", "1000000"], ["--batch_size", "1000000"]),
        (["--hosts", *"abcdefg", "--host_index", "0"], ["--batch_size", "processes, 7"]),
        (["--peer_timeout", "9" * 400], ["--peer_timeout"]),
    ],
    ids=[
        "last port",
        "port 0",
        "port of a host",
        "no secret",
        "many processes",
        "many hosts",
        "long timeout",
    ],
)
def test_bad_launch_is_refused(assert_refused, portraits, tmp_path, monkeypatch, flags, tokens):
    monkeypatch.delenv("MMNET_SECRET", raising=False)
    train = ["train", "--dataset_path", portraits, "--train_dir", tmp_path / "run"]
    assert_refused(["launch", *flags, "--", *train], *tokens)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed")
def test_horovod_equals_one_process(train_command, launch, tmp_path):
    assert main(train_command(tmp_path / "1")) == 0
    launch(tmp_path / "2", "--engine", "horovod")
    assert_close(tmp_path / "1", tmp_path / "2")


def test_process_environment_has_rank_and_threads(monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # a value of the user is kept
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    plan = Plan(["a:1", "a:3", "b:1", "b:3"], [2, 3])
    environ = process_environment(3, plan)
    assert read_tf_config(environ) == (("a:1", "a:3", "b:1", "b:3"), 3)
    assert (environ["TF_NUM_INTRAOP_THREADS"], environ["OMP_NUM_THREADS"]) == ("4", "7")
    assert (environ["RANK_ID"], environ["RANK_SIZE"], environ["ASCEND_DEVICE_ID"]) == (
        "3",
        "4",
        "1",
    )


def test_select_gpu_gives_each_process_one(tmp_path):
    for name in ("gpu0", "gpu1"):
        (tmp_path / name).mkdir()
    gpus = [select_gpu(rank, {}, str(tmp_path)) for rank in range(3)]
    assert [gpu["CUDA_VISIBLE_DEVICES"] for gpu in gpus] == ["0", "1", "0"]
    visible = {"CUDA_VISIBLE_DEVICES": "4,6"}
    assert select_gpu(1, visible) == {"CUDA_VISIBLE_DEVICES": "6"}
    assert select_gpu(0, {}, str(tmp_path / "none")) == {}
