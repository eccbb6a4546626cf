"""Tests of mmnet.weights.download, with a web server that misbehaves."""

import contextlib
import errno
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time

import pytest

from helpers import ROOT, assert_message, assert_raises
from mmnet.io.errors import MmnetError
from mmnet.weights import download as download_module
from mmnet.weights.download import ATTEMPTS, RegisteredFile, download

DATA = bytes(range(256)) * 2000
FILE = RegisteredFile("MMNetModel-7.index", len(DATA), hashlib.sha256(DATA).hexdigest())
FOLDERS = {"good": DATA, "cut": DATA, "other": DATA[::-1], "long": DATA + b"x", "endless": DATA}
FOLDERS.update(slow=DATA, trailers=b"")
SLOW_PIECES = {"slow": [b"x"] * 40, "trailers": [b"0\r\n"] + [b"a: b\r\n"] * 39}
NO_SERVER = "http://127.0.0.1:9"  # the port "discard"


class Server(http.server.BaseHTTPRequestHandler):
    """Serve FOLDERS: /cut closes the connection too early, and /endless sends without end.

    For two seconds /slow sends a byte per 50 ms, and /trailers lines after the last chunk.
    """

    requests = []

    def do_GET(self):
        folder = self.path.split("/")[1]
        self.requests.append(folder)
        if folder not in FOLDERS:
            self.send_error(404)
            return
        data = FOLDERS[folder]
        self.send_response(200)
        if folder == "trailers":
            self.send_header("Transfer-Encoding", "chunked")
        elif folder != "endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for piece in SLOW_PIECES.get(folder, ()):
                self.wfile.write(piece)
                time.sleep(0.05)
            self.wfile.write(data[:200000] if folder == "cut" else data)
            while folder == "endless":
                self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    """Return the address of a running Server."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()


@pytest.fixture(autouse=True)
def requests():
    del Server.requests[:]
    return Server.requests


def list_files(folder):
    return sorted(name for name in os.listdir(str(folder)) if name != ".lock")


def test_download_writes_the_file_once(server, requests, tmp_path, capfd):
    folder = tmp_path / "a new folder"
    download(FILE, [f"{server}/good/"], str(folder))
    assert (folder / FILE.name).read_bytes() == DATA and list_files(folder) == [FILE.name]
    download(FILE, [f"{server}/good"], str(folder))
    assert requests == ["good"]
    assert os.stat(str(folder / FILE.name)).st_mode & 0o777 == 0o644
    assert capfd.readouterr() == ("", "")


def test_download_replaces_a_file_of_another_size(server, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"x")
    download(FILE, [f"{server}/good"], str(tmp_path))
    assert (tmp_path / FILE.name).read_bytes() == DATA


def test_download_tries_addresses_in_order(server, requests, tmp_path):
    addresses = [NO_SERVER, f"{server}/missing", f"{server}/cut", f"{server}/good"]
    download(FILE, addresses, str(tmp_path))
    assert requests == ["missing"] + ATTEMPTS * ["cut"] + ["good"]
    assert (tmp_path / FILE.name).read_bytes() == DATA and list_files(tmp_path) == [FILE.name]


@pytest.mark.parametrize("folder", ["other", "long", "endless"])
def test_download_keeps_no_wrong_file(server, tmp_path, folder):
    address = f"{server}/{folder}"
    with assert_raises(MmnetError, address, FILE.sha256 if folder == "other" else len(DATA)):
        download(FILE, [address], str(tmp_path))
    assert list_files(tmp_path) == []


@pytest.mark.parametrize(
    "folder, reason", [(None, "refused"), ("missing", "404"), ("cut", f"200000 of {len(DATA)}")]
)
def test_download_reports_why_no_address_works(server, tmp_path, folder, reason):
    address = NO_SERVER if folder is None else f"{server}/{folder}"
    with assert_raises(OSError, FILE.name, address, reason, tmp_path):
        download(FILE, [address], str(tmp_path))
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("folder", ["slow", "trailers"])
def test_download_stops_if_the_server_never_ends(server, requests, tmp_path, monkeypatch, folder):
    monkeypatch.setattr(download_module, "DOWNLOAD_TIMEOUT", 0.5)
    monkeypatch.setattr(download_module, "MIN_SPEED", 1e9)
    with assert_raises(OSError, FILE.name, "slow"):
        download(FILE, [f"{server}/{folder}"], str(tmp_path))
    assert requests == [folder] and list_files(tmp_path) == []


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_download_replaces_only_a_regular_file(server, requests, tmp_path, kind):
    folder, photo = tmp_path / "weights", tmp_path / "photo.jpg"
    photo.write_bytes(b"photo")
    folder.mkdir()
    path = folder / FILE.name
    if kind == "link":
        path.symlink_to(photo)
    elif kind == "pipe":
        os.mkfifo(str(path))
    else:
        path.mkdir()
    mode = os.lstat(str(path)).st_mode
    with assert_raises(MmnetError, path):
        download(FILE, [f"{server}/good"], str(folder))
    assert photo.read_bytes() == b"photo" and os.lstat(str(path)).st_mode == mode
    assert requests == [] and list_files(folder) == [FILE.name]


def test_download_leaves_nothing_on_a_full_disk(server, tmp_path, monkeypatch):
    def full_disk(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download_module, "progress", full_disk)
    with assert_raises(OSError, "No space left"):
        download(FILE, [f"{server}/good"], str(tmp_path))
    assert list_files(tmp_path) == []


def test_download_names_the_folder_that_it_cannot_create(tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "weights")
    with assert_raises(OSError, folder, "MMNET_HOME"):
        download(FILE, [NO_SERVER], folder)


def test_download_removes_what_a_killed_process_left(server, tmp_path):
    abandoned = tmp_path / ".building-abc"
    abandoned.mkdir()
    (abandoned / "part").write_bytes(b"x")
    for path in (abandoned / "part", abandoned):
        os.utime(str(path), (1e9, 1e9))
    download(FILE, [f"{server}/good"], str(tmp_path))
    assert list_files(tmp_path) == [FILE.name]


def test_two_processes_download_once(server, requests, tmp_path):
    code = "from mmnet.weights.download import RegisteredFile, download; "
    code += f"download(RegisteredFile(*{tuple(FILE)}), [{server + '/good'!r}], {str(tmp_path)!r})"
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert (tmp_path / FILE.name).read_bytes() == DATA and list_files(tmp_path) == [FILE.name]
    assert requests == ["good"]


def test_file_without_registered_hash_needs_trust(server, tmp_path, caplog):
    unknown, folder = RegisteredFile(FILE.name), str(tmp_path)
    with assert_raises(MmnetError, len(DATA), FILE.sha256, "--trust"):
        download(unknown, [server + "/good"], folder)
    assert os.listdir(folder) == [] or not unknown.is_complete(folder)
    caplog.set_level("INFO", "mmnet")
    download(unknown, [server + "/good"], folder, trust=True)
    assert unknown.is_complete(folder)
    assert_message(caplog.text, len(DATA), FILE.sha256)
