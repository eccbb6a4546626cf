"""Start and watch the processes of a training on this machine, and restart them if one fails."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from typing import Dict, List, Mapping, Sequence

from mmnet.distributed.heartbeat import LAUNCHED, LOST
from mmnet.distributed.members import Plan, write_tf_config

GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL
POLL_SECONDS = 0.05
BAD_INPUT = 2  # exit code
PARENT_DIED = 1  # prctl of Linux: the signal for a process whose parent dies
GPU_FOLDER = "/proc/driver/nvidia/gpus"

log = logging.getLogger(__name__)


def launch(
    plan: Plan, command: Sequence[str], *, environ: Mapping[str, str], restarts: int = 0
) -> int:
    """Run ``mmnet COMMAND`` in all processes of a plan until they end.

    Args:
        plan: the processes.
        command: words after ``mmnet``.
        environ: additional environment variables of the processes.
        restarts: number of restarts after failures.

    Returns:
        The exit code: 0; 2 if a process reports bad input; 128 + signal if a process or the
        launcher received a signal; else LOST.
    """
    signals: List[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: signals.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        for attempt in range(restarts + 1):
            if attempt:
                log.info("restart %d of %d", attempt, restarts)
            exit_code = _run_once(plan, command, environ, signals)
            if exit_code in (0, BAD_INPUT) or is_stopped(exit_code) or signals:
                break
        return exit_code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _run_once(plan, command, environ, signals):
    """Start all processes and wait for them. Return the exit code."""
    words = [sys.executable, "-m", "mmnet", *command]
    children: Dict[int, subprocess.Popen] = {}
    try:
        for rank in plan.ranks:
            children[rank] = subprocess.Popen(
                words,
                env={**process_environment(rank, plan), **environ},
                preexec_fn=_stop_with_parent,
            )
        return wait_for_processes(children, plan, signals)
    finally:
        _stop_processes(children.values())


def wait_for_processes(children, plan: Plan, signals: Sequence[int]) -> int:
    """Wait until all processes (rank -> Popen) end or one fails. Return the exit code.

    A signal handler may append to ``signals``.
    """
    forwarded = 0
    while any(child.poll() is None for child in children.values()):
        if _find_failed(children) and not signals:
            break
        if len(signals) > forwarded:
            forwarded = len(signals)
            for child in children.values():
                if child.poll() is None:
                    child.send_signal(signal.SIGTERM)  # all stop after the same step
        time.sleep(POLL_SECONDS)
    if signals:
        return 128 + signals[0]
    if _find_failed(children):
        rank = _find_cause(children)
        return _report_failure(rank, children[rank].returncode, plan)
    return max(child.returncode for child in children.values())


def _find_failed(children):
    """Return the ranks of processes that ended with an error."""
    return [
        rank for rank, child in children.items() if child.poll() and not is_stopped(child.poll())
    ]


def _find_cause(children):
    """Return the rank of the process that failed first.

    A process that lost another one exits with LOST, perhaps before the other has ended.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        all_ended = all(child.poll() is not None for child in children.values())
        first = min(_find_failed(children), key=lambda rank: children[rank].returncode == LOST)
        if children[first].returncode != LOST or all_ended or time.monotonic() > deadline:
            return first
        time.sleep(POLL_SECONDS)


def is_stopped(exit_code: int) -> bool:
    """Return whether a process ended by a signal after it saved its state."""
    return exit_code in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def _report_failure(rank, exit_code, plan):
    """Log a failure that the process did not report itself. Return the launcher's exit code."""
    if exit_code in (BAD_INPUT, LOST):
        return exit_code
    cause = f"ended with exit code {exit_code}"
    if exit_code < 0:
        cause = f"was killed by {signal.Signals(-exit_code).name}"
    log.error(
        "process %d (%s) %s; training stops. The same command resumes from the last checkpoint",
        rank,
        plan.addresses[rank],
        cause,
    )
    return LOST


def _stop_processes(children):
    """Stop processes that still run. A process that waits for others only obeys SIGKILL."""
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


def process_environment(rank: int, plan: Plan) -> Dict[str, str]:
    """Return the environment of a process: its rank, its threads and its GPU."""
    local_rank, local_count = plan.ranks.index(rank), len(plan.ranks)
    environ = dict(os.environ)
    environ[LAUNCHED] = str(os.getpid())
    if len(plan.addresses) > 1:
        environ["TF_CONFIG"] = write_tf_config(plan.addresses, rank)
    threads = str(max(1, (os.cpu_count() or 1) // local_count))
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        environ.setdefault(name, threads)
    if local_count > 1:
        environ.update(select_gpu(local_rank, environ))
        environ.setdefault("ASCEND_DEVICE_ID", str(local_rank))
        environ.setdefault("RANK_ID", str(rank))
        environ.setdefault("RANK_SIZE", str(len(plan.addresses)))
    return environ


def select_gpu(
    local_rank: int, environ: Mapping[str, str], folder: str = GPU_FOLDER
) -> Dict[str, str]:
    """Return CUDA_VISIBLE_DEVICES with one GPU, or nothing if the machine has no GPU."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        gpus = [gpu for gpu in environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    else:
        count = len(os.listdir(folder)) if os.path.isdir(folder) else 0
        gpus = [str(number) for number in range(count)]
    return {"CUDA_VISIBLE_DEVICES": gpus[local_rank % len(gpus)]} if gpus else {}


def _stop_with_parent():
    """Ask Linux to stop this process if the launcher is killed."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PARENT_DIED, signal.SIGTERM)
