"""Tests of the page of ``mmnet export --format web`` in Chromium."""

import os
import shutil
import socket
import subprocess
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from helpers import PAGE_TIMEOUT, ROOT
from mmnet.cli import main


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_server_survives_damaged_requests(start_process, tmp_path):
    shutil.copy(os.path.join(ROOT, "mmnet", "export", "web", "serve.js"), str(tmp_path))
    (tmp_path / "index.html").write_text("page")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "folder").mkdir()
    command = ["node", str(tmp_path / "serve.js")]
    server = start_process(command, env=dict(os.environ, PORT="0"), stdout=subprocess.PIPE)
    port = urlsplit(server.stdout.readline()).port

    def status(path):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            return int(connection.recv(65536)[9:12])

    for path in (b"%", b"%00", b"/", b"/x:y/", b"%ff", b"\xff", b"x" * 10000, b"folder", b"../x"):
        assert status(b"/" + path) in (400, 404), path
    for path in (b"*", b"x", b"/..%2f..%2f..%2f..%2fetc%2fpasswd", b"/%2e%2e/%2e%2e/etc/passwd"):
        assert status(path) in (400, 404), path
    assert status(b"/") == status(b"/index.html?%") == 200 and server.poll() is None


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    """Address of the page with the bundled weights, served by its own server."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: apt-get install npm")
    folder = str(tmp_path_factory.mktemp("page"))
    assert main(["export", "--format", "web", "--output", folder]) == 0
    folder = os.path.join(folder, "web")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
    if subprocess.call(install, cwd=folder) != 0:
        pytest.skip("npm cannot install onnxruntime-web")
    command = ["node", "serve.js"]
    environment = dict(os.environ, PORT="0")
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE) as server:
        yield server.stdout.readline().decode().strip()
        server.terminate()


@pytest.mark.parametrize("threads", [1, 2])
def test_page_gives_the_alpha_of_predict(browser, address, portrait_set, tmp_path, threads):
    photo = portrait_set.pairs[0].image
    tab, requests = browser.new_page(), []
    tab.set_default_timeout(PAGE_TIMEOUT)
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(f"{address}/?threads={threads}")
    tab.wait_for_selector("text=Choose a photo")
    tab.locator("#file").set_input_files(photo)
    tab.wait_for_selector("#save[href]")
    with tab.expect_download() as download:
        tab.locator("#save").click()
    saved = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    tab.close()
    allowed = (address, "data:", "blob:" + address)
    assert requests and all(url.startswith(allowed) for url in requests)

    flags = ["--no_second_pass", "--no_cleaning", "--no_refinement", "--write", "alpha"]
    assert main(["predict", photo, "--output", str(tmp_path), *flags]) == 0
    (name,) = os.listdir(str(tmp_path))
    alpha = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
    assert 0.05 < (alpha / 255).mean() < 0.95  # a person is visible
    assert np.abs(saved[..., 3].astype(int) - alpha).max() <= 2.55  # 1 % of 255
