"""Tests of mmnet.commands.demo: the server process, and its page in Chromium."""

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from helpers import PAGE_TIMEOUT, ROOT, assert_message, assert_raises
from helpers.matting import colour_image
from mmnet.cli import main
from mmnet.commands import demo
from mmnet.io.errors import MmnetError
from mmnet.io.images import encode_png
from mmnet.networks.network import Network

GREEN = (0, 177, 64)  # the default colour of the page


@pytest.fixture
def photo(portrait_set):
    return portrait_set.pairs[0].image


def test_demo_opens_listed_weights_only(run_folder):
    open_weights = demo.predictor_opener(demo.Options(), ["mmnet-fast", "mmnet-persons"])
    assert open_weights("mmnet-fast").network.shape == (160, 160)
    assert len(open_weights("mmnet-persons").network.views) == 3
    assert open_weights("mmnet-persons", for_photos=False).network == Network()
    with assert_raises(MmnetError, "mmnet-fast"):
        open_weights(run_folder)


def test_demo_reports_a_used_port(capfd):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 2
    assert_message(capfd.readouterr().err, "--port", port, "Address already in use")
    assert main(["demo", "--port", "70000"]) == 2
    assert_message(capfd.readouterr().err, "--port", 70000)


def test_demo_needs_aiohttp(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "aiohttp.web", raising=False)
    assert main(["demo", "--port", "0"]) == 2
    assert_message(capfd.readouterr().err, "aiohttp", "pip install", "[demo]")


def start_demo(start_process, *flags, **options):
    """Start a demo with the bundled weights. Return its process and the printed address."""
    pytest.importorskip("aiohttp")
    command = [sys.executable, "-m", "mmnet", "demo", "--port", "0", *flags]
    environment = dict(os.environ, PYTHONPATH=ROOT)
    server = start_process(command, env=environment, stdout=subprocess.PIPE, **options)
    return server, server.stdout.readline().strip()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_demo_ends_with_a_signal(start_process, number, code):
    server, address = start_demo(start_process, stderr=subprocess.PIPE)
    with socket.create_connection(("127.0.0.1", urlsplit(address).port)) as connection:
        connection.sendall(b"POST /photo HTTP/1.1\r\n")  # a request that never ends
        post_photo(address, colour_image(5000, 5000, 128))  # seconds of work
        server.send_signal(number)
        _, stderr = server.communicate(timeout=2)
    assert server.returncode == code and stderr.count("\n") == 1


def post_photo(address, image):
    """Send a photo, and do not wait for the result."""
    png = encode_png(image)
    query = f"weights=mmnet-persons&background=transparent&length={len(png)}"
    connection = http.client.HTTPConnection(urlsplit(address).netloc)
    connection.request("POST", f"/photo?{query}", png)
    time.sleep(1)


def test_demo_survives_damaged_requests(start_process):
    server, address = start_demo(start_process, stderr=subprocess.PIPE)
    port = urlsplit(address).port
    valid = f"POST /photo?length=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1\r\n\r\nx"
    generator = random.Random(0)
    statuses = set()
    for number in range(300):
        data = bytearray(valid.encode())
        for _ in range(number % 4):
            data[generator.randrange(len(data))] = generator.getrandbits(8)
        statuses.add(send_bytes(port, bytes(data) + b"\r\n\r\n"))
    for path in (b"/%", b"/%00", b"//x:y/", b"/\xff", b"*", b"/" + b"x" * 100000, b"/?\n\n"):
        statuses.add(send_bytes(port, b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert statuses <= {b"", b"400", b"403", b"404", b"405", b"417"} and b"400" in statuses
    server.terminate()
    _, stderr = server.communicate(timeout=10)
    assert stderr.count("\n") == 1


def send_bytes(port, data):
    """Send a request to this machine and return the status of the response."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(data)
            response = connection.recv(65536)
            body = response.partition(b"\r\n\r\n")[2].decode()
            assert not body or "error" in json.loads(body)
            return response[9:12]
    except OSError:  # the server closed the connection, or waits for more
        return b""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of a demo. It writes no temporary files."""
    pytest.importorskip("aiohttp")
    temporary = tmp_path_factory.mktemp("temporary")
    environment = dict(os.environ, TMPDIR=str(temporary), PYTHONPATH=ROOT)
    command = [sys.executable, "-m", "mmnet", "demo", "--port", "0", "--upload_limit", "1MB"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, universal_newlines=True
    ) as server:
        try:
            yield server.stdout.readline().strip()
            assert list(temporary.iterdir()) == []
        finally:
            server.kill()


@pytest.fixture
def tab(browser, address):
    """The page in a browser tab of a phone's size. It requests nothing from other hosts."""
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.set_default_timeout(PAGE_TIMEOUT)
    urls, errors = [], []
    tab.on("request", lambda request: urls.append(request.url))
    tab.on("pageerror", lambda error: errors.append(error))
    tab.goto(address)
    yield tab
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.close()
    assert urls and errors == []
    assert all(url.startswith((address, "data:", "blob:" + address)) for url in urls), urls


def read_shown_image(tab):
    """Return the image that the page shows as the result, int [H,W,3]."""
    png = tab.get_by_alt_text("the person cut out").screenshot()
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def test_page_cuts_out_photos_like_predict(tab, photo, tmp_path):
    tab.get_by_label("Choose a photo").set_input_files(photo)
    tab.wait_for_selector("text=150 x 200 pixels, person")
    with tab.expect_download() as download:
        tab.get_by_text("Save the PNG").click()
    saved = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    assert main(["predict", photo, "--output", str(tmp_path), "--write", "cutout"]) == 0
    predicted = cv2.imread(str(tmp_path / download.value.suggested_filename), cv2.IMREAD_UNCHANGED)
    assert 0.05 < (predicted[..., 3] / 255).mean() < 0.95
    assert np.abs(saved.astype(int) - predicted).max() <= 1


def test_page_waits_for_the_background_image(tab, photo, tmp_path):
    green = str(tmp_path / "green.png")
    cv2.imwrite(green, np.full((4, 4, 3), GREEN[::-1], np.uint8))
    assert not tab.get_by_label("Background image").is_visible()
    tab.get_by_role("radio", name="image").check()
    tab.get_by_label("Choose a photo").set_input_files(photo)
    tab.wait_for_selector("text=Choose a background image")
    assert not tab.get_by_text("Save the PNG").is_visible()
    tab.get_by_label("Background image").set_input_files(green)
    tab.wait_for_selector("text=150 x 200 pixels, person")
    assert "composition" in tab.get_by_text("Save the PNG").get_attribute("download")
    split = tab.get_by_label("Before and after")
    split.fill("0")
    assert np.abs(read_shown_image(tab)[5:15, 5:15] - GREEN).max() <= 2
    split.fill("100")
    assert np.abs(read_shown_image(tab)[5:15, 5:15] - GREEN).max() > 10


def test_page_takes_css_colours(tab, photo):
    tab.get_by_role("radio", name="colour").check()
    tab.get_by_label("Choose a photo").set_input_files(photo)
    text, picker = tab.get_by_label("Colour", exact=True), tab.get_by_label("Colour picker")
    split = tab.get_by_label("Before and after")
    for name, code in (("Green ", "#00ff00"), ("rebeccapurple", "#663399")):
        text.fill(name)
        assert picker.input_value() == code
        text.press("Enter")
        tab.wait_for_selector("#progress", state="hidden")
        split.fill("0")
        colour = [int(code[start : start + 2], 16) for start in (1, 3, 5)]
        assert np.abs(read_shown_image(tab)[5:15, 5:15] - colour).max() <= 2
    picker.fill("#00b140")
    assert text.input_value() == "#00b140"
    text.fill("grin")
    text.press("Enter")
    assert_message(tab.get_by_role("alert").filter(has_text="CSS").inner_text(), "grin")


def test_page_reports_bad_and_large_uploads(tab, tmp_path):
    (tmp_path / "a.png").write_text("no image")
    (tmp_path / "b.jpg").write_bytes(bytes(2 << 20))
    for name, message in (("a.png", "JPEG"), ("b.jpg", "1 MiB")):
        tab.get_by_role("tabpanel").locator("input[type=file]").first.set_input_files(
            str(tmp_path / name)
        )
        error = tab.get_by_role("alert").filter(has_text=re.compile(f"^{re.escape(name)}: "))
        assert_message(error.inner_text(), message)


def test_page_cuts_out_the_camera(tab):
    tab.get_by_role("radio", name="colour").check()
    tab.get_by_role("tab", name="Photo").press("ArrowRight")
    tab.get_by_text("Start the camera").click()
    tab.wait_for_selector("text=ms per frame")
    person = np.abs(read_shown_image(tab) - GREEN).max(axis=2) > 40
    rows, columns = person.shape
    assert person[rows // 2, columns // 2] and not person[20, 20] and 0.05 < person.mean() < 0.95
    tab.get_by_text("Take a photo").click()
    tab.wait_for_selector("text=160 x 120 pixels, person")
