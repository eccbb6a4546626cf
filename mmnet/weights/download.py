"""Download a file of the registry: verified, complete or not at all. No TensorFlow."""

import logging
import os
import socket
import ssl
import tempfile
import threading
import urllib.request
from functools import partial
from http.client import HTTPException
from typing import Optional, Sequence
from urllib.error import HTTPError, URLError

from mmnet.io.errors import MmnetError, shorten_name
from mmnet.io.files import MAX_BYTES, lock_folder, remove_abandoned, sha256_of_file
from mmnet.io.progress import progress
from mmnet.weights.registry import RegisteredFile

CHUNK = 1 << 16  # bytes
ATTEMPTS = 3  # per address
DOWNLOAD_TIMEOUT = 30  # seconds without data
MIN_SPEED = 10_000  # bytes per second
NETWORK_ERRORS = (URLError, HTTPException, ConnectionError, socket.timeout, ssl.SSLError)

log = logging.getLogger(__name__)


def download(
    file: RegisteredFile, addresses: Sequence[str], folder: str, *, trust: bool = False
) -> None:
    """Download a file into a folder. The second of two processes waits for the first.

    Args:
        addresses: web folders that contain the file, tried in this order.
        trust: keep a file without a registered hash. Its size and hash are logged.

    Raises:
        MmnetError: an address has another file, or a file without a registered hash is not
            trusted. Nothing is kept.
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
                    _retrieve(file, f"{address.rstrip('/')}/{file.name}", folder, trust)
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


def _retrieve(file, url, folder, trust):
    """Download a file into a temporary folder, verify it with pooch, and move it into place."""
    import pooch  # imports slowly, and most commands never download

    pooch.get_logger().setLevel("WARNING")
    # remove_abandoned deletes a folder with this prefix after its process was killed.
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as temporary:
        try:
            path = pooch.retrieve(
                url,
                known_hash=file.sha256 and f"sha256:{file.sha256}",
                fname=file.name,
                path=temporary,
                downloader=partial(_download_bytes, size=file.bytes),
            )
        except MmnetError:
            raise
        except ValueError:
            raise MmnetError(f"{url}: its SHA-256 is not the registered {file.sha256}") from None
        if file.sha256 is None:
            found = f"{url}: {os.path.getsize(path)} bytes, SHA-256 {sha256_of_file(path)}"
            if not trust:
                hint = "compare it with the value of the authors and give --trust"
                raise MmnetError(f"{found}, which the registry does not know; {hint}")
            log.info("%s", found)
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
    thread.join(DOWNLOAD_TIMEOUT + (size or MAX_BYTES) / MIN_SPEED)
    if thread.is_alive():
        raise socket.timeout("the server is too slow")
    if errors:
        raise errors[0]


def _transfer(url, output_file, size):
    """Download ``size`` bytes (None: at most MAX_BYTES). Stop if the server sends more."""
    request = urllib.request.Request(url, headers={"User-Agent": "mmnet"})
    label = f"downloading {os.path.basename(url)}"
    done = 0
    with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT) as response:
        # read would wait for a whole chunk, and read a chunk of the size -1 without end.
        chunks = iter(lambda: response.read1(CHUNK), b"")
        with open(output_file, "wb") as file:
            for chunk in progress(chunks, size, label, "bytes", count=len):
                done += len(chunk)
                if done > (size or MAX_BYTES):
                    limit = f"the registered {size}" if size else f"{MAX_BYTES}"
                    raise MmnetError(f"{url}: has more than {limit} bytes")
                file.write(chunk)
    if size and done < size:
        raise ConnectionError(f"the connection was lost after {done} of {size} bytes")
