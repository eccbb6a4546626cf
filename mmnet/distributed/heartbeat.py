"""Heartbeats between the processes of a training, to detect a dead, hanging or slow process.

The collectives of TensorFlow 1.15 wait forever for a dead process, and no engine distinguishes a
slow process from a stopped one. So every process sends its step to rank 0 once per second, and rank
0 sends its own step to all. If a process is gone, is silent or stays behind the others for too
long, rank 0 reports it in one line, and all processes exit.
"""

import contextlib
import hashlib
import logging
import math
import os
import queue
import socket
import threading
import time
from typing import Any, Dict, Optional

from mmnet.distributed.connection import Listener, Peer, read_secret
from mmnet.io.errors import MmnetError, shorten
from mmnet.tf.device import Device

LOST = 75  # exit code: another process was lost (sysexits.h: try again later)
LAUNCHED = "MMNET_LAUNCHED"  # environment variable: a launcher on this host reports dead processes
TIMEOUT = "MMNET_PEER_TIMEOUT"  # environment variable, set by ``mmnet launch``
DEFAULT_TIMEOUT = 20.0  # seconds that a process may be silent or behind the others
BEAT_SECONDS = 1.0
START_SECONDS = 300.0  # for all processes to connect; machines may have to start first

log = logging.getLogger(__name__)


def read_timeout() -> float:
    """Return the seconds that a process may be silent or behind the others."""
    text = os.environ.get(TIMEOUT, str(DEFAULT_TIMEOUT))
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise MmnetError(f"{TIMEOUT}: must be a number of seconds, not {shorten(text)}")


class Heartbeat:
    """The connections of one process to the others. Use it as a context manager.

    Attributes:
        step: the step that this process computes; None before its first step.
        bootstrap: the values that rank 0 sent to all processes at the start.
    """

    def __init__(
        self, device: Device, identity: str = "", bootstrap: Optional[Dict[str, Any]] = None
    ):
        """Connect to the other processes.

        Args:
            device: rank and addresses of the processes.
            identity: a text that must be equal in all processes.
            bootstrap: values of rank 0 for all processes.
        """
        self.step: Optional[int] = None
        self.bootstrap = bootstrap or {}
        self._device = device
        self._identity = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
        self._timeout = read_timeout()
        self._peers: Dict[int, Peer] = {}  # rank -> Peer
        self._clock = 0.0  # seconds; it stops while this process is suspended (Ctrl-Z)
        self._closing, self._all_done = threading.Event(), threading.Event()
        if not device.addresses:
            return
        host, _, port = device.addresses[0].rpartition(":")
        if device.rank == 0:
            self._accept_all(host, int(port) + 1)
        else:
            self._connect(host, int(port) + 1)
        for rank, peer in self._peers.items():
            threading.Thread(target=self._listen, args=(rank, peer), daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        """Disconnect. After success, first wait until all processes are done."""
        if kind is None and self._peers:
            self._send_all({"done": True})
            self._all_done.wait(START_SECONDS)
        self._closing.set()
        for peer in self._peers.values():
            peer.close()

    def handle_failed_step(self, error: Exception) -> None:
        """Wait until the watch names the process whose loss made a step fail, and exits."""
        if self._peers:
            time.sleep(self._timeout + 3 * BEAT_SECONDS)
        raise MmnetError(f"a step with the other processes failed ({str(error)[:200]})")

    def _accept_all(self, host, port):
        """Accept the connections of all other ranks, then send the bootstrap values (rank 0)."""
        deadline = time.monotonic() + START_SECONDS
        with Listener(host, port, read_secret()) as listener:
            while len(self._peers) < self._device.processes - 1:
                try:
                    peer, message = listener.hellos.get(timeout=deadline - time.monotonic())
                except (queue.Empty, ValueError):  # ValueError: the deadline is over
                    missing = sorted(set(range(1, self._device.processes)) - set(self._peers))
                    names = " and ".join(map(self._name, missing))
                    raise MmnetError(
                        f"process {names} did not connect in {START_SECONDS:g} s"
                    ) from None
                self._add_peer(peer, message["rank"], message["identity"])
        self._send_all({"bootstrap": self.bootstrap})

    def _add_peer(self, peer, rank, identity):
        """Add a process that knows the secret. Raise MmnetError if it does not fit."""
        # A process sends nothing while it waits. A restarted process replaces a dead one.
        is_repeated = rank in self._peers and not self._peers[rank].has_input()
        problem = None
        if is_repeated or not 0 < rank < self._device.processes:
            problem = f"two processes have the rank {rank}"
        elif identity != self._identity:
            problem = f"process {self._name(rank)} has other options than process 0"
        if problem is not None:
            peer.send({"problem": problem})
            peer.close()
            raise MmnetError(problem)
        self._peers[rank] = peer

    def _connect(self, host, port):
        """Connect to rank 0 and read the bootstrap values."""
        secret, deadline, is_reported = read_secret(), time.monotonic() + START_SECONDS, False
        while True:
            peer = None
            try:
                peer = Peer(socket.create_connection((host, port), 5))
                peer.exchange_challenges(secret, is_rank_0=False)
                peer.send({"rank": self._device.rank, "identity": self._identity})
                message = peer.receive(max(1.0, deadline - time.monotonic()))
                break
            except (OSError, ValueError) as error:
                if time.monotonic() >= deadline:
                    raise MmnetError(
                        f"process {self._name(0)} cannot be reached ({error})"
                    ) from None
                if peer is not None:  # the port belongs to another program, or secrets differ
                    peer.close()
                    if not is_reported:
                        log.warning("%s:%d is not process 0 yet: %s", host, port, error)
                    is_reported = True
                time.sleep(0.2)
        if "problem" in message:
            raise MmnetError(message["problem"])
        self.bootstrap = message["bootstrap"]
        self._peers[0] = peer

    def _listen(self, rank, peer):
        """Read the messages of one process until it disconnects."""
        with contextlib.suppress(OSError, ValueError):
            while True:
                self._receive(peer, peer.receive())
        if not peer.is_done:
            is_reported = LAUNCHED in os.environ and self._host(rank) == self._host()
            self._exit(f"process {self._name(rank)} is gone", quietly=is_reported)

    def _receive(self, peer, message):
        peer.last_beat = self._clock
        peer.step = message.get("step", peer.step)
        if "done" in message:
            peer.is_done = True
            if all(other.is_done for other in self._peers.values()):
                self._all_done.set()
        if "lost" in message:
            self._exit(message["lost"], quietly=True)

    def _watch(self):
        """Send heartbeats, and check the heartbeats of the other processes."""
        lagging_since = {}  # rank -> (step, time when it fell behind the others)
        while not self._closing.wait(BEAT_SECONDS):
            self._send_all({"step": self.step})
            self._clock += BEAT_SECONDS
            for rank, peer in self._peers.items():
                silence = self._clock - peer.last_beat
                if not peer.is_done and silence > self._timeout:
                    self._exit(f"process {self._name(rank)} sent no heartbeat for {silence:.0f} s")
            if self._device.rank == 0:
                self._check_progress(lagging_since)

    def _check_progress(self, lagging_since):
        """Exit if a process stays in one step while others have passed it."""
        steps = {0: self.step, **{rank: peer.step for rank, peer in self._peers.items()}}
        if None in steps.values():
            return
        last = max(steps.values())
        is_ending = any(peer.is_done for peer in self._peers.values())
        for rank, step in steps.items():
            # A process that moves is fine: its step is older than the step of rank 0 known here.
            lagging_step, since = lagging_since.setdefault(rank, (step, self._clock))
            if step >= last or step > lagging_step or is_ending:
                lagging_since[rank] = (step, self._clock)
            elif self._clock - since > self._timeout:
                self._exit(
                    f"process {self._name(rank)} is in step {step}, but the others have waited "
                    f"for it in step {last} for {self._clock - since:.0f} s"
                )

    def _send_all(self, message):
        for peer in self._peers.values():
            with contextlib.suppress(OSError):  # _listen notices the lost connection
                peer.send(message)

    def _exit(self, reason, quietly=False):
        """End this process at once, because its other threads may wait forever."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._device.rank == 0:
            self._send_all({"lost": reason})
        if not quietly:
            log.error(
                "%s; training stops. The same command resumes from the last checkpoint", reason
            )
        logging.shutdown()
        os._exit(LOST)

    def _host(self, rank=None):
        rank = self._device.rank if rank is None else rank
        return self._device.addresses[rank].rpartition(":")[0]

    def _name(self, rank):
        return f"{rank} ({self._device.addresses[rank]})"
