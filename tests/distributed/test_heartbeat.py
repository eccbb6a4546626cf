"""Tests of mmnet.distributed.heartbeat with real processes on this machine.

The timeouts are short. Only a machine that hangs for seconds could break them.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from helpers import assert_message
from mmnet.distributed.connection import HELLO_SECONDS
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

    def start(rank, addresses, identity="same", steps=(), secret="secret"):
        arguments = json.dumps([rank, addresses, identity, list(steps)])
        command = [sys.executable, "-c", CODE, arguments]
        environ = dict(os.environ, MMNET_PEER_TIMEOUT="3", MMNET_SECRET=secret)
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


def connect(address, host=None):
    """Connect to the port for heartbeats of rank 0 as soon as it listens."""
    own_host, port = address.split(":")
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((host or own_host, int(port) + 1), 5)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_rank_0_drops_and_logs_unknown_connections(start, addresses):
    """It does so whatever they send, and also if they send nothing and stay open."""
    challenge = b"0" * 64 + b"\n"
    messages = [
        b"hello\n",
        b'{"rank": "1"}\n',
        b'{"rank": 99, "identity": "same"}\n',
        b'{"rank": 1, "identity": "other"}\n',
        b"\xff\n",
        b"[" * 100000,
        b"5\n",
        challenge + b'{"rank": 1}\n',
        challenge + b"0" * 64 + b'{"rank": 1}\n',
        challenge,
        b"",
    ]
    first = start(0, addresses)
    connections = [connect(addresses[0]) for _ in range(2 * len(messages))]
    for connection, message in zip(connections, messages * 2):
        connection.sendall(message)
    for connection in connections[: len(messages)]:
        connection.close()
    assert assert_success(start(1, addresses)).endswith("done\n")
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0
    assert err.count("\n") == err.count("unknown connection from 127.0.0.1") == len(connections)


def test_silent_connections_do_not_delay_a_training(start, addresses):
    first = start(0, addresses)
    connections = [connect(addresses[0]) for _ in range(150)]
    begin = time.monotonic()
    assert_success(start(1, addresses))
    assert time.monotonic() - begin < HELLO_SECONDS
    assert first.wait(60) == 0
    for connection in connections:
        connection.close()


def test_process_with_another_secret_is_dropped(start, addresses):
    first, stranger = start(0, addresses), start(1, addresses, secret="wrong")
    assert_message(stranger.stderr.readline(), addresses[0].split(":")[0], "not process 0")
    assert_success(start(1, addresses))
    stranger.kill()
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0
    assert_message(err, "unknown connection", "MMNET_SECRET")


@pytest.mark.parametrize("answer", [b"5\n", b"[1]\n", b'{"problem": "x"}\n', b"0" * 64 + b"\n5\n"])
def test_process_ignores_another_program_at_the_port_of_rank_0(start, addresses, answer):
    host, port = addresses[0].split(":")
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, int(port) + 1))
        server.listen()
        last = start(1, addresses)
        with server.accept()[0] as connection:
            data = connection.recv(1000)
            connection.sendall(answer)
            with contextlib.suppress(OSError):
                data += connection.recv(1000)
    assert b"secret" not in data
    assert_success(start(0, addresses))
    _, err = last.communicate(timeout=60)
    assert last.returncode == 0
    assert err.count("\n") == 1


def test_rank_0_listens_at_its_address_only(start):
    addresses = [f"localhost:{port}" for port in find_free_ports(2)]
    first = start(0, addresses)
    connect(addresses[0]).close()
    with pytest.raises(OSError):
        port = int(addresses[0].split(":")[1]) + 1
        socket.create_connection(("127.0.0.2", port), 5)
    assert_success(start(1, addresses))
    assert first.wait(60) == 0


def test_missing_secret_is_reported(start, addresses):
    for rank in range(2):
        _, err = start(rank, addresses, secret=" ").communicate(timeout=60)
        assert_message(err, "MmnetError", "MMNET_SECRET")


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
