"""Fetching files from a web server that misbehaves in every way."""

import contextlib
import errno
import hashlib
import http.server
import os
import subprocess
import sys
import threading

import pytest

from helpers import ROOT
from mmnet.weights import download as module
from mmnet.weights.download import download
from mmnet.weights.registry import File

DATA = bytes(range(256)) * 2000
FILE = File("MMNetModel-7.index", len(DATA), hashlib.sha256(DATA).hexdigest())


class Server(http.server.BaseHTTPRequestHandler):
    """Serves DATA below /whole; /cut ends each answer early; /other holds something else."""

    asked = []

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Range")))
        place = self.path.split("/")[1]
        data = {"whole": DATA, "cut": DATA, "other": DATA[::-1], "old": DATA}.get(place)
        if data is None:
            self.send_error(404)
            return
        start = 0
        if self.headers.get("Range") and place != "old":  # an old server knows no ranges
            start = int(self.headers["Range"][len("bytes=") :].rstrip("-"))
            if start >= len(data):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + 200000 if place == "cut" else len(data)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    """Its address."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:%d" % running.server_port
    running.shutdown()


@pytest.fixture(autouse=True)
def asked():
    del Server.asked[:]
    return Server.asked


def contents(folder):
    return sorted(name for name in os.listdir(str(folder)) if name != ".lock")


def test_a_file_comes_whole_and_once(server, asked, tmp_path):
    folder = tmp_path / "a new folder"
    download(FILE, [server + "/whole/"], str(folder))
    assert (folder / FILE.name).read_bytes() == DATA and contents(folder) == [FILE.name]
    download(FILE, [server + "/whole"], str(folder))
    assert len(asked) == 1


def test_a_cut_connection_is_taken_up_where_it_ended(server, asked, tmp_path):
    download(FILE, [server + "/cut"], str(tmp_path))
    assert (tmp_path / FILE.name).read_bytes() == DATA
    assert [start for _, start in asked] == [None, "bytes=200000-", "bytes=400000-"]


def test_what_an_earlier_process_left_is_taken_up(server, asked, tmp_path):
    part = tmp_path / (".part-" + FILE.name)
    part.write_bytes(DATA[:1000])
    download(FILE, [server + "/whole"], str(tmp_path))
    assert asked == [("/whole/" + FILE.name, "bytes=1000-")]
    assert (tmp_path / FILE.name).read_bytes() == DATA and contents(tmp_path) == [FILE.name]


def test_a_server_without_ranges_and_a_part_that_is_too_long(server, tmp_path):
    part = tmp_path / (".part-" + FILE.name)
    part.write_bytes(b"x" * 1000)
    download(FILE, [server + "/old"], str(tmp_path))
    assert (tmp_path / FILE.name).read_bytes() == DATA
    (tmp_path / FILE.name).unlink()
    part.write_bytes(b"x" * (len(DATA) + 1))
    download(FILE, [server + "/whole"], str(tmp_path))
    assert (tmp_path / FILE.name).read_bytes() == DATA


def test_another_file_is_not_kept(server, tmp_path):
    with pytest.raises(ValueError, match="is another file .*nothing is kept"):
        download(FILE, [server + "/other"], str(tmp_path))
    assert contents(tmp_path) == []


def test_the_next_address_is_tried(server, asked, tmp_path):
    download(FILE, [server + "/none", server + "/whole"], str(tmp_path))
    assert [path.split("/")[1] for path, _ in asked] == ["none", "whole"]
    assert (tmp_path / FILE.name).read_bytes() == DATA


def test_no_way_there_is_one_line_that_says_what_to_do(server, tmp_path):
    nobody = "http://127.0.0.1:9"  # the port that discards
    with pytest.raises(OSError, match="cannot be downloaded from .*:9 .*or put it into"):
        download(FILE, [nobody], str(tmp_path))
    with pytest.raises(OSError, match="HTTP Error 404"):
        download(FILE, [server + "/none"], str(tmp_path))
    assert contents(tmp_path) == []


def test_a_full_disk_leaves_nothing(server, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        download(FILE, [server + "/whole"], str(tmp_path))
    assert contents(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be made .*set MMNET_HOME"):
        download(FILE, ["http://127.0.0.1:9"], str(tmp_path / "file" / "weights"))


def test_two_processes_at_once_download_once(server, asked, tmp_path):
    code = "from mmnet.weights.download import download; from mmnet.weights.registry import File; "
    code += "download(File(*%r), [%r], %r)" % (tuple(FILE), server + "/cut", str(tmp_path))
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert (tmp_path / FILE.name).read_bytes() == DATA and contents(tmp_path) == [FILE.name]
    assert len(asked) == 3  # the parts of one download
