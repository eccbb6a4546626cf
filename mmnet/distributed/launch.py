"""Start the processes of a training on this machine, watch them, and start them again."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time

from mmnet.distributed.heartbeat import LAUNCHED, LOST
from mmnet.distributed.members import write_tf_config

GRACE_SECONDS = 3.0  # between asking a process to end and ending it
POLL_SECONDS = 0.05
BAD_INPUT = 2
PARENT_DIED = 1  # Linux's prctl: the signal that comes when the parent dies

log = logging.getLogger(__name__)


def launch(plan, settings):
    """Run the processes of a Plan until all are done (settings: config.settings.Launch).

    Returns:
        the exit code: 0; 2 where a process says that its input is bad; 128 + the signal that one
        of them or this one was sent; else LOST, after the restarts that are allowed.
    """
    stopped_by, before = [], {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, lambda number, _: stopped_by.append(number))
    try:
        for attempt in range(settings.restarts + 1):
            if attempt:
                log.info("starting again: %d of %d", attempt, settings.restarts)
            code = run_once(plan, settings, stopped_by)
            if code in (0, BAD_INPUT) or is_stopped(code) or stopped_by:
                break
        return code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_once(plan, settings, stopped_by):
    """Start all, wait until all have ended; the exit code of the first that failed, or 0."""
    command = [sys.executable, "-m", "mmnet", *settings.command]
    children = {}
    try:
        for rank in plan.ranks:
            children[rank] = subprocess.Popen(
                command, env=environment_of(rank, plan), preexec_fn=_end_with_parent
            )
        return wait_for_all(children, plan, stopped_by)
    finally:
        end(children.values())


def wait_for_all(children, plan, stopped_by):
    """0, or the exit code for the first failure, which is told in one line."""
    asked = 0
    while any(child.poll() is None for child in children.values()):
        if failed(children) and not stopped_by:
            break
        if len(stopped_by) > asked:
            asked = len(stopped_by)
            for child in children.values():
                if child.poll() is None:
                    child.send_signal(signal.SIGTERM)  # all stop after the same step, and save
        time.sleep(POLL_SECONDS)
    if stopped_by:
        return 128 + stopped_by[0]
    if failed(children):
        rank = cause(children)
        return failure(rank, children[rank].returncode, plan)
    return max(child.returncode for child in children.values())  # 0, or all were asked to end


def failed(children):
    """The ranks of those that have ended, and neither well nor as they were asked to."""
    return [
        rank for rank, child in children.items() if child.poll() and not is_stopped(child.poll())
    ]


def cause(children):
    """The rank whose end made others fail.

    A process that has lost another ends with LOST, perhaps before that other: ending takes time.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        all_ended = all(child.poll() is not None for child in children.values())
        first = min(failed(children), key=lambda rank: children[rank].returncode == LOST)
        if children[first].returncode != LOST or all_ended or time.monotonic() > deadline:
            return first
        time.sleep(POLL_SECONDS)


def is_stopped(code):
    """Whether a process ended as it was asked to, by a signal, after saving."""
    return code in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def failure(rank, code, plan):
    """The exit code for a process's; what it has not said itself is told."""
    if code in (BAD_INPUT, LOST):
        return code
    how = "ended with exit code %d" % code
    if code < 0:
        how = "was ended by %s" % signal.Signals(-code).name
    log.error(
        "process %d (%s) %s: the training ends; what is saved goes on with the same command",
        rank,
        plan.addresses[rank],
        how,
    )
    return LOST


def end(children):
    """End what still runs: waiting for others, a process hears no signal but SIGKILL."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for child in running:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def environment_of(rank, plan):
    """The environment of a process: who it is, and its share of this machine."""
    local, count = plan.ranks.index(rank), len(plan.ranks)
    given = dict(os.environ, **{LAUNCHED: str(os.getpid())})
    if len(plan.addresses) > 1:
        given["TF_CONFIG"] = write_tf_config(plan.addresses, rank)
    threads = str(max(1, (os.cpu_count() or 1) // count))
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        given.setdefault(name, threads)
    if count > 1:
        given.update(own_gpu(local, given))
        given.setdefault("ASCEND_DEVICE_ID", str(local))
        given.setdefault("RANK_ID", str(rank))
        given.setdefault("RANK_SIZE", str(len(plan.addresses)))
    return given


def own_gpu(local, environ, folder="/proc/driver/nvidia/gpus"):
    """CUDA_VISIBLE_DEVICES of one process of several: a GPU of its own, where there are any."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        gpus = [gpu for gpu in environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    else:
        found = os.listdir(folder) if os.path.isdir(folder) else []
        gpus = [str(number) for number in range(len(found))]
    return {"CUDA_VISIBLE_DEVICES": gpus[local % len(gpus)]} if gpus else {}


def _end_with_parent():
    """Let the system end this process where the launcher is killed."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PARENT_DIED, signal.SIGTERM)
