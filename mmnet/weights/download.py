"""Download a file of the registry: verified, complete or not at all. No TensorFlow."""

import os
import socket
import ssl
import tempfile
import threading
import urllib.request
from functools import partial
from http.client import HTTPException
from typing import NamedTuple, Optional, Sequence
from urllib.error import HTTPError, URLError

from mmnet.io.errors import MmnetError, shorten_name
from mmnet.io.files import lock_folder, remove_abandoned
from mmnet.io.progress import progress

CHUNK = 1 << 16  # bytes
ATTEMPTS = 3  # per address
DOWNLOAD_TIMEOUT = 30  # seconds without data
MIN_SPEED = 10_000  # bytes per second
NETWORK_ERRORS = (URLError, HTTPException, ConnectionError, socket.timeout, ssl.SSLError)


class RegisteredFile(NamedTuple):
    """A file of the registry."""

    name: str
    bytes: int
    sha256: str

    def is_complete(self, folder: str) -> bool:
        """Return whether the file exists in a folder with its registered size."""
        path = os.path.join(folder, self.name)
        return os.path.isfile(path) and os.path.getsize(path) == self.bytes


def download(file: RegisteredFile, addresses: Sequence[str], folder: str) -> None:
    """Download a file into a folder. The second of two processes waits for the first.

    Args:
        addresses: web folders that contain the file, tried in this order.

    Raises:
        MmnetError: an address has another file. Nothing is kept.
        OSError: no address works, or the folder cannot be written.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{folder}: cannot be created ({error.strerror}); set MMNET_HOME to a writable folder"
        ) from None
    with lock_folder(folder, wait=True):
        remove_abandoned(folder)
        if file.is_complete(folder):
            return
        path = os.path.join(folder, file.name)
        if os.path.islink(path) or os.path.exists(path) and not os.path.isfile(path):
            raise MmnetError(f"{path}: not a regular file, so it is not replaced")
        problem: Optional[Exception] = None
        for address in addresses:
            for _ in range(ATTEMPTS):
                try:
                    _retrieve(file, f"{address.rstrip('/')}/{file.name}", folder)
                    return
                except NETWORK_ERRORS as error:
                    problem = error
                    # Another attempt does not help against a 404 or a silent server.
                    if isinstance(error, (HTTPError, socket.timeout)):
                        break
    raise OSError(
        f"{file.name}: cannot be downloaded from {', '.join(addresses)} "
        f"({shorten_name(str(problem))}); check the network, or put the file into {folder}"
    )


def _retrieve(file, url, folder):
    """Download a file into a temporary folder, verify it with pooch, and move it into place."""
    import pooch  # imports slowly, and most commands never download

    pooch.get_logger().setLevel("WARNING")
    # remove_abandoned deletes a folder with this prefix after its process was killed.
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as temporary:
        try:
            path = pooch.retrieve(
                url,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=temporary,
                downloader=partial(_download_bytes, size=file.bytes),
            )
        except MmnetError:
            raise
        except ValueError:
            raise MmnetError(f"{url}: its SHA-256 is not the registered {file.sha256}") from None
        os.chmod(path, 0o644)  # pooch's files are private, but users may share a cache
        os.replace(path, os.path.join(folder, file.name))


def _download_bytes(url, output_file, pooch, *, size):
    """Download for pooch, with a limit for the total time: a server may send bytes without end."""
    errors = []

    def transfer():
        try:
            _transfer(url, output_file, size)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=transfer, daemon=True)
    thread.start()
    thread.join(DOWNLOAD_TIMEOUT + size / MIN_SPEED)
    if thread.is_alive():
        raise socket.timeout("the server is too slow")
    if errors:
        raise errors[0]


def _transfer(url, output_file, size):
    """Download ``size`` bytes. Stop if the server sends more."""
    request = urllib.request.Request(url, headers={"User-Agent": "mmnet"})
    label = f"downloading {os.path.basename(url)}"
    done = 0
    with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT) as response:
        # read would wait for a whole chunk, and read a chunk of the size -1 without end.
        chunks = iter(lambda: response.read1(CHUNK), b"")
        with open(output_file, "wb") as file:
            for chunk in progress(chunks, size, label, "bytes", count=len):
                done += len(chunk)
                if done > size:
                    raise MmnetError(f"{url}: has more than the registered {size} bytes")
                file.write(chunk)
    if done < size:
        raise ConnectionError(f"the connection was lost after {done} of {size} bytes")
