"""Processes that watch each other: one that is gone, silent or behind; real processes, no network.

The limits are short here; nothing but a machine that stands still for seconds could break them.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mmnet.distributed.heartbeat import LOST
from mmnet.distributed.members import free_ports

CODE = """
import json, logging, sys, time
from mmnet.distributed.heartbeat import Peers
from mmnet.tf.device import Device
logging.basicConfig(format="%(message)s")
rank, addresses, identity, steps = json.loads(sys.argv[1])
device = Device(rank=rank, processes=len(addresses), addresses=tuple(addresses))
with Peers(device, 3.0, identity, {"port": 7} if rank == 0 else {}) as peers:
    print("told", json.dumps(peers.told), flush=True)
    for peers.step, seconds in enumerate(steps):
        time.sleep(seconds)
print("done", flush=True)
"""


@pytest.fixture
def start(start_process):
    """Start process ``rank`` of some addresses."""

    def start(rank, addresses, identity="same", steps=()):
        said = json.dumps([rank, addresses, identity, list(steps)])
        command = [sys.executable, "-c", CODE, said]
        return start_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def two_addresses():
    return ["127.0.0.1:%d" % port for port in free_ports(2)]


def test_they_meet_and_part(start):
    addresses = two_addresses()
    late = start(1, addresses, steps=[0.2])
    time.sleep(0.5)  # rank 0 is not there yet
    first = start(0, addresses, steps=[0.1, 0.1])
    for process in (first, late):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert out == 'told {"port": 7}\ndone\n'


def test_none_is_missed_before_all_are_there(start):
    """Longer than the time that one may be silent; one of them has been started again."""
    addresses = ["127.0.0.1:%d" % port for port in free_ports(3)]
    first, again = start(0, addresses), start(1, addresses)
    time.sleep(1.5)
    again.kill()
    processes = [first, start(1, addresses)]
    time.sleep(3.5)
    processes.append(start(2, addresses))
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "") and out.endswith("done\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("lost", [0, 1])
def test_one_that_is_gone_or_stopped(start, number, lost):
    addresses = two_addresses()
    processes = [start(rank, addresses, steps=[60]) for rank in range(2)]
    for process in processes:
        assert process.stdout.readline().startswith("told")
    os.kill(processes[lost].pid, number)
    _, err = processes[1 - lost].communicate(timeout=30)
    assert processes[1 - lost].returncode == LOST
    how = "is gone" if number == signal.SIGKILL else "has given no sign for"
    assert err.count("\n") == 1 and "process %d (%s) %s" % (lost, addresses[lost], how) in err


def test_all_stopped_and_continued(start):
    """Ctrl-Z and fg, or a job that its engine suspends."""
    addresses = two_addresses()
    processes = [start(rank, addresses, steps=[3]) for rank in range(2)]
    for process in processes:
        assert process.stdout.readline().startswith("told")
    time.sleep(1.2)
    for number, seconds in ((signal.SIGSTOP, 4.5), (signal.SIGCONT, 0)):
        for process in processes:
            os.kill(process.pid, number)
        time.sleep(seconds)
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "done\n", "")


def test_one_that_stays_behind(start):
    addresses = two_addresses()
    processes = [start(0, addresses, steps=[0.1] * 5 + [60]), start(1, addresses, steps=[0.1, 60])]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [LOST, LOST]
    assert "process 1 (%s) is in step 1 and the others wait" % addresses[1] in errors[0]
    assert errors[1] == ""  # one line in all


def test_one_that_is_behind_and_moves(start):
    """For longer than one may stay behind."""
    addresses = two_addresses()
    processes = [start(0, addresses, steps=[0.4] * 10), start(1, addresses, steps=[0.6] * 10)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")


def test_other_settings(start):
    addresses = two_addresses()
    processes = [start(0, addresses, "one"), start(1, addresses, "other")]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1 and "has other settings than process 0" in err
