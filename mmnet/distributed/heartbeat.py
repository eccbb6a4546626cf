"""Signs of life among the processes of a training, so that none waits for one that is gone.

TensorFlow 1.15's collectives wait for ever when a process has died, and no engine tells a slow one
from a stopped one. So every process keeps a connection to that of rank 0 and says each second which
step it is in. Where one is gone, is silent, or stays a step behind the others for too long, rank 0
says so, in one line, and all end.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time

from mmnet.io.errors import MmnetError

LOST = 75  # exit code: another process was lost (sysexits.h: try again later)
LAUNCHED = "MMNET_LAUNCHED"  # set where a launcher watches the processes of this host, and tells
BEAT_SECONDS = 1.0
START_SECONDS = 300.0  # within which all processes are there; machines may have to start first

log = logging.getLogger(__name__)


class Heartbeat:
    """The watch of one process over the others, or over itself alone; use it as a context.

    Attributes:
        step: the step that this process is in; None until its loop begins.
        told: what rank 0 told all at the start (a dict).
    """

    def __init__(self, device, timeout, identity="", telling=None):
        """Meet the others.

        Args:
            device: Device. timeout: seconds that one may be silent or behind.
            identity: text that all must have in common. telling: dict, of rank 0, for all.

        Raises:
            ValueError: one did not come, or is of another training; says which.
        """
        self.step, self.told = None, telling or {}
        self._device, self._timeout = device, timeout
        self._beats = {}  # rank -> [socket, _awake at its last sign, its step, whether it said bye]
        self._awake = 0.0  # seconds by its own signs: none while it was itself stopped (Ctrl-Z)
        self._closing = threading.Event()
        if not device.addresses:
            return
        host, _, port = device.addresses[0].rpartition(":")
        watch = (host, int(port) + 1)
        if device.rank == 0:
            self._welcome(watch, identity)
        else:
            self._join(watch, identity)
        for rank, beat in self._beats.items():
            threading.Thread(target=self._listen, args=(rank, beat), daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        """Say goodbye where all is well, and wait for the others to do so; else just go."""
        deadline = time.monotonic() + START_SECONDS
        if kind is None:
            self._tell({"bye": True})
            while time.monotonic() < deadline and not all(beat[3] for beat in self._beats.values()):
                time.sleep(0.02)
        self._closing.set()
        for connection, *_ in self._beats.values():
            connection.close()

    def failed(self, error):
        """Called where a step fails as it does when another is gone: ends, with its name if known.

        Raises:
            ValueError: the others are well.
        """
        time.sleep(self._timeout + 3 * BEAT_SECONDS if self._beats else 0)  # the watch ends us
        raise MmnetError("a step with the other processes failed (%s)" % str(error)[:200])

    def _welcome(self, watch, identity):
        """Rank 0 waits for the others, and answers them when all are there."""
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind((watch[0] if watch[0].startswith("127.") else "", watch[1]))
            except OSError as error:
                raise MmnetError("port %d is not free (%s)" % (watch[1], error)) from None
            listening.listen()
            deadline = time.monotonic() + START_SECONDS
            while len(self._beats) < self._device.processes - 1:
                listening.settimeout(max(0.01, deadline - time.monotonic()))
                try:
                    connection, _ = listening.accept()
                    connection.settimeout(5)
                    said = _read_line(connection)
                    rank = said["rank"]
                except socket.timeout:
                    missing = set(range(1, self._device.processes)) - set(self._beats)
                    if time.monotonic() < deadline:
                        continue
                    raise MmnetError(
                        "process %s did not come within %d s"
                        % (" and ".join(map(self._name, sorted(missing))), START_SECONDS)
                    ) from None
                except (OSError, ValueError, KeyError, TypeError):
                    continue  # somebody else's knock
                problem = self._problem(rank, said.get("identity") == identity)
                if problem:
                    _send(connection, {"problem": problem})
                    connection.close()
                    raise MmnetError(problem)
                self._beats[rank] = [connection, 0.0, None, False]
        for beat in self._beats.values():
            with contextlib.suppress(OSError):  # _listen sees it
                _send(beat[0], {"told": self.told})

    def _problem(self, rank, fits):
        is_again = rank in self._beats and not _is_closed(self._beats[rank][0])
        if is_again or not 0 < rank < self._device.processes:
            return "two processes say that they are number %s" % rank
        return None if fits else "process %s has other settings than process 0" % self._name(rank)

    def _join(self, watch, identity):
        """Another rank looks for rank 0."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = socket.create_connection(watch, 5)
                _send(connection, {"rank": self._device.rank, "identity": identity})
                connection.settimeout(max(1.0, deadline - time.monotonic()))
                said = _read_line(connection)
                break
            except (OSError, ValueError) as error:
                if time.monotonic() >= deadline:
                    raise MmnetError(
                        "process %s cannot be reached (%s)" % (self._name(0), error)
                    ) from None
                time.sleep(0.2)
        if "told" not in said:
            raise MmnetError(said.get("problem", "process 0 gives no answer that is known"))
        self.told = said["told"]
        self._beats[0] = [connection, 0.0, None, False]

    def _listen(self, rank, beat):
        """Note the signs of one other process until it goes."""
        connection, buffer = beat[0], b""
        connection.settimeout(None)
        while not self._closing.is_set():
            try:
                received = connection.recv(4096)
            except OSError:
                received = b""
            if not received:
                if not beat[3] and not self._closing.is_set():
                    told = LAUNCHED in os.environ and self._host(rank) == self._host()
                    self._end("process %s is gone" % self._name(rank), quietly=told)
                return
            lines = (buffer + received).split(b"\n")
            buffer = lines.pop()
            for line in lines:
                said = json.loads(line.decode())
                beat[1] = self._awake
                beat[2] = said.get("step", beat[2])
                beat[3] = beat[3] or "bye" in said
                if "lost" in said:
                    self._end(said["lost"], quietly=True)

    def _watch(self):
        """Give signs, and look at those of the others."""
        behind_since = {}  # rank -> (step, when it was first seen there, behind the others)
        while not self._closing.wait(BEAT_SECONDS):
            self._tell({"step": self.step})
            self._awake += BEAT_SECONDS
            now = self._awake
            steps = {rank: beat[2] for rank, beat in self._beats.items()}
            steps[self._device.rank] = self.step
            for rank, beat in self._beats.items():
                if not beat[3] and now - beat[1] > self._timeout:
                    self._end(
                        "process %s has given no sign for %d s" % (self._name(rank), now - beat[1])
                    )
            if self._device.rank or any(step is None for step in steps.values()):
                continue
            for rank, step in steps.items():
                # One that moves is well: its signs are older than what rank 0 knows of itself.
                reached, since = behind_since.setdefault(rank, (step, now))
                is_last = step >= max(steps.values())
                if is_last or step > reached or any(beat[3] for beat in self._beats.values()):
                    behind_since[rank] = (step, now)
                elif now - since > self._timeout:
                    self._end(
                        "process %s is in step %d and the others wait for it in step %d, for %d s"
                        % (self._name(rank), step, max(steps.values()), now - since)
                    )

    def _tell(self, said):
        for connection, *_ in self._beats.values():
            with contextlib.suppress(OSError):  # _listen sees it
                _send(connection, said)

    def _end(self, why, quietly=False):
        """End this process at once, whatever its other threads wait for."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._device.rank == 0:
            self._tell({"lost": why})
        if not quietly:
            log.error("%s: the training ends; what is saved goes on with the same command", why)
        logging.shutdown()
        os._exit(LOST)

    def _host(self, rank=None):
        rank = self._device.rank if rank is None else rank
        return self._device.addresses[rank].rpartition(":")[0]

    def _name(self, rank):
        return "%d (%s)" % (rank, self._device.addresses[rank])


def _is_closed(connection):
    """Whether the other side is gone: its process was started again, perhaps."""
    try:
        return connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _send(connection, said):
    connection.sendall(json.dumps(said).encode() + b"\n")


def _read_line(connection):
    """The JSON object of one line."""
    line = b""
    while not line.endswith(b"\n"):
        received = connection.recv(1)
        if not received or len(line) > 4096:
            raise MmnetError("no line came")
        line += received
    return json.loads(line.decode())
