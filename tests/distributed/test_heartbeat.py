"""Tests of mmnet.distributed.heartbeat with real processes on this machine.

The timeouts are short. Only a machine that hangs for seconds could break them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from helpers import assert_message
from mmnet.distributed.heartbeat import LOST
from mmnet.distributed.members import find_free_ports

CODE = """
import json, logging, sys, time
from mmnet.distributed.heartbeat import Heartbeat
from mmnet.tf.device import Device
logging.basicConfig(format="%(message)s")
rank, addresses, identity, steps = json.loads(sys.argv[1])
device = Device(rank=rank, processes=len(addresses), addresses=tuple(addresses))
bootstrap = {"port": 7} if rank == 0 else {}
with Heartbeat(device, identity, bootstrap) as heartbeat:
    print("connected", json.dumps(heartbeat.bootstrap), flush=True)
    for heartbeat.step, seconds in enumerate(steps):
        time.sleep(seconds)
print("done", flush=True)
"""


@pytest.fixture
def start(start_process):
    """Start process ``rank``. It computes steps of these durations in seconds."""

    def start(rank, addresses, identity="same", steps=()):
        arguments = json.dumps([rank, addresses, identity, list(steps)])
        command = [sys.executable, "-c", CODE, arguments]
        environ = dict(os.environ, MMNET_PEER_TIMEOUT="3")
        return start_process(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


@pytest.fixture
def addresses():
    return [f"127.0.0.1:{port}" for port in find_free_ports(2)]


def wait_until_connected(processes):
    for process in processes:
        assert process.stdout.readline().startswith("connected")


def assert_success(process):
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    return out


def test_processes_connect_in_any_order(start, addresses):
    last = start(1, addresses, steps=[0.2])
    first = start(0, addresses, steps=[0.1, 0.1])
    for process in (first, last):
        assert assert_success(process) == 'connected {"port": 7}\ndone\n'


def test_rank_0_waits_for_late_and_restarted_processes(start):
    """It waits for longer than the timeout of a heartbeat."""
    addresses = [f"127.0.0.1:{port}" for port in find_free_ports(3)]
    first, killed = start(0, addresses), start(1, addresses)
    time.sleep(1.5)
    killed.kill()
    restarted = start(1, addresses)
    time.sleep(3.5)
    for process in (first, restarted, start(2, addresses)):
        assert assert_success(process).endswith("done\n")


@pytest.mark.parametrize(
    "message",
    [b"hello\n", b'{"rank": "1"}\n', b"\xff\n", b"[1]\n", b""],
    ids=["text", "rank as text", "no UTF-8", "list", "empty"],
)
def test_unknown_connections_are_ignored(start, addresses, message):
    first = start(0, addresses)
    host, port = addresses[0].split(":")
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = socket.create_connection((host, int(port) + 1), 5)
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with connection:
        connection.sendall(message)
    for process in (first, start(1, addresses)):
        assert_success(process)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("lost", [0, 1])
def test_lost_process_is_reported(start, addresses, number, lost):
    processes = [start(rank, addresses, steps=[60]) for rank in range(2)]
    wait_until_connected(processes)
    os.kill(processes[lost].pid, number)
    _, err = processes[1 - lost].communicate(timeout=30)
    assert processes[1 - lost].returncode == LOST
    assert err.count("\n") == 1
    reason = "gone" if number == signal.SIGKILL else "no heartbeat"
    assert_message(err, f"process {lost} ({addresses[lost]})", reason)


def test_suspended_training_continues(start, addresses):
    """Suspend all processes for longer than the timeout, as Ctrl-Z does."""
    processes = [start(rank, addresses, steps=[3]) for rank in range(2)]
    wait_until_connected(processes)
    time.sleep(1.2)
    for number, seconds in ((signal.SIGSTOP, 4.5), (signal.SIGCONT, 0)):
        for process in processes:
            os.kill(process.pid, number)
        time.sleep(seconds)
    for process in processes:
        assert assert_success(process) == "done\n"


def test_lagging_process_is_reported_once(start, addresses):
    processes = [start(0, addresses, steps=[0.1] * 5 + [60]), start(1, addresses, steps=[0.1, 60])]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [LOST, LOST]
    assert_message(errors[0], f"process 1 ({addresses[1]})", "step 1")
    assert errors[1] == ""


def test_slow_process_is_tolerated(start, addresses):
    """It lags for longer than the timeout, but moves."""
    processes = [start(0, addresses, steps=[0.4] * 10), start(1, addresses, steps=[0.6] * 10)]
    for process in processes:
        assert_success(process)


def test_other_options_are_rejected(start, addresses):
    processes = [start(0, addresses, "first"), start(1, addresses, "second")]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert_message(err, "process 1", "options")
