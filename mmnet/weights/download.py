"""Fetch a file from the web: resumed, verified, whole or not at all. No TensorFlow.

The libraries for this (pooch, say) begin anew after a cut connection.
"""

import contextlib
import http.client
import os
import urllib.error
import urllib.request

from mmnet.io.errors import MmnetError
from mmnet.io.files import lock_folder, sha256_of_file
from mmnet.io.progress import progress

CHUNK = 1 << 16  # bytes
ATTEMPTS = 3  # for each address
TIMEOUT = 30  # seconds without a byte


def download(file, addresses, folder):
    """Put a registry.File into ``folder`` from the first of the addresses that has it.

    What a cut connection left is kept and taken up by the next attempt, also by another process's.
    Of two processes the second waits, and finds the file there.

    Raises:
        ValueError: what came is not the file (its SHA-256 differs). OSError: no address could be
            reached, or the folder cannot be written; says what to do.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OSError(
            "%s cannot be made (%s): set MMNET_HOME to a folder that can be written"
            % (folder, error.strerror)
        ) from None
    path = os.path.join(folder, file.name)
    part = os.path.join(folder, ".part-" + file.name)
    with lock_folder(folder, wait=True):
        if os.path.isfile(path) and os.path.getsize(path) == file.bytes:
            return
        fetch(file, addresses, part)
        if sha256_of_file(part) != file.sha256:
            os.unlink(part)
            raise MmnetError(
                "what %s gives as %s is another file (its SHA-256 is not %s): nothing is kept"
                % (", ".join(addresses), file.name, file.sha256)
            )
        os.replace(part, path)


def fetch(file, addresses, part):
    """Bring ``part`` to the file's full length."""
    problem = None
    for address in addresses:
        for _ in range(ATTEMPTS):
            try:
                fetch_rest(file, address.rstrip("/") + "/" + file.name, part)
            except urllib.error.HTTPError as error:
                problem = error
                if error.code == 416:  # what is here is no part of what is there
                    os.unlink(part)
                    continue
                break  # there is no such file, or none for us: the next address
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
                problem = error
            except OSError as error:
                if error.errno is None or isinstance(error, TimeoutError):
                    problem = error
                    continue
                with contextlib.suppress(OSError):  # a full disk: leave room for others
                    os.unlink(part)
                raise
            else:
                if os.path.getsize(part) >= file.bytes:
                    return
                problem = "the connection was cut"
    raise OSError(
        "%s cannot be downloaded from %s (%s): try again with a network, or put it into %s"
        % (file.name, ", ".join(addresses), problem, os.path.dirname(part))
    )


def fetch_rest(file, address, part):
    """Append to ``part`` what it lacks, as far as the connection goes."""
    done = os.path.getsize(part) if os.path.exists(part) else 0
    request = urllib.request.Request(address, headers={"User-Agent": "mmnet"})
    if done:
        request.add_header("Range", "bytes=%d-" % done)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        goes_on = done and answer.status == 206
        with open(part, "ab" if goes_on else "wb") as target:
            left = file.bytes - (done if goes_on else 0)
            chunks = iter(lambda: answer.read(CHUNK), b"")
            what = "downloading " + file.name
            for chunk in progress(chunks, left, what, "bytes", count=len):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
