"""Connections between the processes of a training, which prove that they know a shared secret.

Each side first sends a random challenge. It signs every later message with HMAC-SHA-256 and a key
from the secret and both challenges, so the secret itself is never sent. A
message is a signature and a JSON object in one line.
"""

import contextlib
import hashlib
import hmac
import json
import logging
import os
import queue
import secrets
import select
import socket
import threading
import time
from typing import Any, Dict, List, Optional

from mmnet.io.errors import MmnetError

SECRET = "MMNET_SECRET"  # environment variable; ``mmnet launch`` creates it on one machine
HELLO_SECONDS = 5.0  # for the first messages of a new connection
RESOLVE_SECONDS = 30.0  # for the name of a new pod of Kubernetes
MAX_LINE_BYTES = 4096
MAX_UNKNOWN = 100  # new connections at a time, and their lines in the log
HEX_DIGITS = 64  # length of a challenge or a signature

log = logging.getLogger(__name__)


def read_secret() -> str:
    """Return the secret that the processes of a training share."""
    secret = os.environ.get(SECRET, "")
    if not secret.strip():
        raise MmnetError(
            f"{SECRET}: is not set; give all machines the same random text in this environment "
            "variable, for example from: openssl rand -hex 32"
        )
    return secret


def choose_secret(*, is_single_host: bool) -> str:
    """Return the user's secret, or a random one if all processes run on this machine."""
    if is_single_host and not os.environ.get(SECRET, "").strip():
        return secrets.token_hex(HEX_DIGITS // 2)
    return read_secret()


class Peer:
    """Another process, and the connection to it."""

    def __init__(self, connection: socket.socket):
        self.last_beat = 0.0  # time of its last message, by the clock of Heartbeat
        self.step: Optional[int] = None  # None before its first step
        self.is_done = False
        self._connection = connection
        self._buffer = b""
        self._send_key = self._receive_key = b""

    def exchange_challenges(self, secret: str, *, is_rank_0: bool) -> None:
        """Derive the keys of this connection. The first signed message then proves the secret."""
        own = secrets.token_hex(HEX_DIGITS // 2).encode()
        self._connection.settimeout(HELLO_SECONDS)
        self._connection.sendall(own + b"\n")
        other = self._receive_line(HELLO_SECONDS)
        if len(other) != HEX_DIGITS:
            raise ValueError("it is no process of a training")
        challenges = [own, other] if is_rank_0 else [other, own]
        keys = [
            _sign(secret.encode("utf-8", "surrogateescape"), b" ".join([sender, *challenges]))
            for sender in (b"rank 0", b"other rank")
        ]
        self._send_key, self._receive_key = keys if is_rank_0 else reversed(keys)

    def send(self, message: Dict[str, Any]) -> None:
        text = json.dumps(message).encode()
        self._connection.sendall(_sign(self._send_key, text) + text + b"\n")

    def receive(self, timeout: Optional[float] = None) -> Dict[str, Any]:
        """Wait for the next message. OSError or ValueError: the connection is useless."""
        line = self._receive_line(timeout)
        signature, text = line[:HEX_DIGITS], line[HEX_DIGITS:]
        if not hmac.compare_digest(signature, _sign(self._receive_key, text)):
            raise ValueError(f"it does not know {SECRET}")
        return json.loads(text.decode())

    def _receive_line(self, timeout):
        """Return the next line. ``timeout`` limits the time for the whole line."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise ValueError("its message is too long")
            if deadline is not None:
                timeout = max(0.001, deadline - time.monotonic())
            self._connection.settimeout(timeout)
            data = self._connection.recv(MAX_LINE_BYTES)
            if not data:
                raise ValueError("it closed the connection")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def has_input(self) -> bool:
        """Return whether a message waits, or the other process has closed the connection."""
        return bool(self._buffer or select.select([self._connection], [], [], 0)[0])

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the other process has closed it
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class Listener:
    """Accepts connections at an address in a thread. Use it as a context manager.

    Connections that do not know the secret are dropped and logged. They delay nobody, because each
    is read in its own thread, for HELLO_SECONDS at most.

    Attributes:
        hellos: queue of (peer, its first message).
    """

    def __init__(self, host: str, port: int, secret: str):
        self.hellos: queue.Queue = queue.Queue()
        self._secret = secret
        self._unknown: List[Peer] = []  # connections without a valid message
        self._lock = threading.Lock()  # protects the line above
        self._dropped = 0
        self._greetings: List[threading.Thread] = []
        self._closing = threading.Event()
        self._server = _open_server(host, port)
        self._server.settimeout(1.0)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Stop listening. Accepted connections stay open."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # ends the wait for a connection
        self._thread.join()
        self._server.close()
        self._limit_unknown(0)
        for thread in self._greetings:
            thread.join(1.0)  # it logs the dropped connection
        if self._dropped > MAX_UNKNOWN:
            log.warning("%d unknown connections dropped", self._dropped)

    def _accept(self):
        while not self._closing.is_set():
            try:
                connection, address = self._server.accept()
            except OSError:  # timeout, or no file descriptor is free
                self._closing.wait(0.01)
                continue
            peer = Peer(connection)
            self._limit_unknown(MAX_UNKNOWN - 1)
            with self._lock:
                self._unknown.append(peer)
            thread = threading.Thread(target=self._greet, args=(peer, address), daemon=True)
            thread.start()
            self._greetings = [other for other in self._greetings if other.is_alive()] + [thread]

    def _limit_unknown(self, limit):
        """Close the oldest connections without a valid message."""
        with self._lock:
            while len(self._unknown) > limit:
                self._unknown.pop(0).close()

    def _greet(self, peer, address):
        """Queue the first message of a connection, or drop the connection."""
        try:
            peer.exchange_challenges(self._secret, is_rank_0=True)
            message = peer.receive(HELLO_SECONDS)
        except (OSError, ValueError) as error:
            reason = error if peer in self._unknown else "it sent no valid message in time"
            self._dropped += 1
            if self._dropped <= MAX_UNKNOWN:
                log.warning("unknown connection from %s:%d dropped: %s", *address[:2], reason)
            message = None
        with self._lock:
            if message is None:
                peer.close()
            elif peer in self._unknown:
                self.hellos.put((peer, message))
            self._unknown = [other for other in self._unknown if other is not peer]


def _open_server(host, port):
    """Listen at an address of this machine. A name may become known to the DNS only now."""
    server, deadline = socket.socket(), time.monotonic() + RESOLVE_SECONDS
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    while True:
        try:
            server.bind((host, port))
            server.listen(MAX_UNKNOWN)
            return server
        except (OSError, ValueError) as error:  # ValueError: not the name of a host
            if isinstance(error, socket.gaierror) and time.monotonic() < deadline:
                time.sleep(1.0)
                continue
            server.close()
            raise MmnetError(f"{host}:{port}: cannot listen there ({error})") from None


def _sign(key, text):
    return hmac.new(key, text, hashlib.sha256).hexdigest().encode()
