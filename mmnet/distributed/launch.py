"""Start and watch the processes of a training on this machine, and restart them if one fails."""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Dict, Iterator, List, Mapping, Sequence

from mmnet.distributed.heartbeat import LAUNCHED, LOST
from mmnet.distributed.members import Plan, write_tf_config
from mmnet.io.errors import ERRORS

GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL
POLL_SECONDS = 0.05
BAD_INPUT = 2  # exit code
PARENT_DIED = 1  # prctl of Linux: the signal for a process whose parent dies
GPU_FOLDER = "/proc/driver/nvidia/gpus"

log = logging.getLogger(__name__)


def launch(
    plan: Plan, command: Sequence[str], *, environ: Mapping[str, str], restarts: int = 0
) -> int:
    """Run ``mmnet COMMAND`` in all processes of a plan, and restart them after failures.

    ``environ`` holds additional environment variables.

    Returns:
        The exit code: 0; 2 if a process reports bad input; 128 + signal if a process or the
        launcher received a signal; else LOST.
    """
    with catch_signals() as signals:
        for attempt in range(restarts + 1):
            if attempt:
                log.info("restart %d of %d", attempt, restarts)
            exit_code = _run_once(plan, command, environ, signals)
            if exit_code in (0, BAD_INPUT) or is_stopped(exit_code) or signals:
                break
        return exit_code


@contextlib.contextmanager
def catch_signals() -> Iterator[List[int]]:
    """Collect SIGINT and SIGTERM in a list, instead of ending the process."""
    signals: List[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: signals.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield signals
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def is_stopped(exit_code: int) -> bool:
    """Return whether a process ended by a signal after it saved its state."""
    return exit_code in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def _run_once(plan, command, environ, signals):
    """Start all processes and wait for them. Return the exit code."""
    words = [sys.executable, "-m", "mmnet", *command]
    children = {}  # rank -> process
    with tempfile.TemporaryFile("a+b", buffering=0) as errors:  # messages of the processes
        try:
            for rank in plan.ranks:
                environment = {**process_environment(rank, plan), **environ}
                environment[ERRORS] = str(errors.fileno())
                children[rank] = subprocess.Popen(
                    words, env=environment, pass_fds=[errors.fileno()], preexec_fn=_stop_with_parent
                )
            return wait_for_processes(children, plan, signals)
        finally:
            _stop_processes(children.values())
            _print_once(errors)


def _print_once(errors):
    """Print each error once, because all processes find the same bad input."""
    errors.seek(0)
    for line in dict.fromkeys(errors.read().decode("utf-8", "replace").split("\n")):
        with contextlib.suppress(OSError):  # stderr may be closed
            sys.stderr.write(line + "\n" if line else "")


def wait_for_processes(children, plan: Plan, signals: Sequence[int]) -> int:
    """Wait until all processes (rank -> Popen) end or one fails. Return the exit code."""
    forwarded, failure_time = 0, None
    while any(child.poll() is None for child in children.values()):
        codes = set(_find_failures(children).values())
        if codes and not signals:
            # A process that lost another one exits with LOST, perhaps before the other has ended.
            failure_time = failure_time or time.monotonic()
            if codes != {LOST} or time.monotonic() > failure_time + GRACE_SECONDS:
                break
        if len(signals) > forwarded:
            forwarded = len(signals)
            _send_sigterm(children.values())  # all stop after the same step
        time.sleep(POLL_SECONDS)
    if signals:
        return 128 + signals[0]
    failures = _find_failures(children)
    if not failures:
        return max(child.returncode for child in children.values())
    rank = min(failures, key=lambda rank: failures[rank] == LOST)
    return _report_failure(rank, failures[rank], plan)


def _find_failures(children):
    """Return rank -> exit code of the processes that ended with an error."""
    codes = {rank: child.poll() for rank, child in children.items()}
    return {rank: code for rank, code in codes.items() if code and not is_stopped(code)}


def _report_failure(rank, exit_code, plan):
    """Log a failure that the process did not report itself. Return the launcher's exit code."""
    if exit_code in (BAD_INPUT, LOST):
        return exit_code
    cause = f"ended with exit code {exit_code}"
    if exit_code < 0:
        cause = f"was killed by {signal.Signals(-exit_code).name}"
    log.error(
        f"process {rank} ({plan.addresses[rank]}) {cause}; training stops. The same command "
        "resumes from the last checkpoint"
    )
    return LOST


def _send_sigterm(children):
    """Send SIGTERM to the processes that run. Return them."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        child.send_signal(signal.SIGTERM)
    return running


def _stop_processes(children):
    """Stop processes that still run. A process that waits for others only obeys SIGKILL."""
    deadline = time.monotonic() + GRACE_SECONDS
    for child in _send_sigterm(children):
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
