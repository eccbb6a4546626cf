"""The page of mmnet demo: its functions, and the page itself in Chromium."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest

from helpers import PATIENCE, ROOT
from helpers.matting import brightness
from mmnet.cli import main
from mmnet.commands import demo
from mmnet.commands.demo import Page, as_hex, background_of, cut_frame, cut_photo, visible
from mmnet.io.images import read_image
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions

ALONE = MattingOptions(second_pass=False, refinement=False, foreground_colours=False)
GREEN = (0, 177, 64)  # the colour that the page begins with


@pytest.fixture
def page(tmp_path):
    return Page(lambda name: brightness((64, 64)), ALONE, str(tmp_path))


def test_a_photo(page, portrait_set):
    path = portrait_set.pairs[0].image
    image = load_photo(path)
    shorten, saved, said = cut_photo(page, path, "any", None)
    stem = os.path.splitext(os.path.basename(path))[0]
    assert os.path.basename(saved) == stem + "_cutout.png"
    assert cv2.imread(saved, cv2.IMREAD_UNCHANGED).shape == image.shape[:2] + (4,)
    assert np.array_equal(shorten[0], image) and shorten[1].shape == image.shape
    assert re.match(r"150 x 200 pixels, person: [\d.]+ % of them. Alpha in \d+ ms, all", said)

    shorten, saved, _ = cut_photo(page, path, "any", np.array(GREEN, np.uint8))
    assert saved.endswith(stem + "_composition.png")
    assert np.array_equal(read_image(saved, True), shorten[1])


def test_a_frame_is_made_steady_by_the_one_before(page, portrait_set, monkeypatch):
    seen = []

    def next_frame(small, predictor, care, temporal_filter, before):
        seen.append(before)
        return demo.Before(small, np.zeros(small.shape[:2], np.float32))

    monkeypatch.setattr(demo, "next_frame", next_frame)
    frame = load_photo(portrait_set.pairs[0].image)
    html, said, live = cut_frame(page, frame, "any", np.array(GREEN, np.uint8), None)
    assert re.match(r"150 x 200 pixels, \d+ ms a frame", said)
    jpeg = np.frombuffer(base64.b64decode(re.search(r"base64,(.+)\"", html)[1]), np.uint8)
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1]
    assert decoded.shape == frame.shape and np.abs(decoded.astype(int) - GREEN).max() <= 2

    _, _, after = cut_frame(page, frame, "any", None, live)
    cut_frame(page, frame, "others", None, after)  # other weights, and a camera turned: anew
    cut_frame(page, frame[:100].copy(), "any", None, after)
    assert seen[0] is None and seen[1] is live.before and seen[2:] == [None, None]


def test_backgrounds(portrait_set):
    assert background_of("transparent", "#000000", None) is None
    assert background_of("blur", "#000000", None) == "blur"
    assert background_of("colour", "rgba(0, 177.4, 64, 1)", None).tolist() == list(GREEN)
    assert as_hex("#00b140") == as_hex("rgb(0,177,64)") == "#00b140"
    path = portrait_set.pairs[0].image
    assert np.array_equal(background_of("picture", "", path), load_photo(path))
    with pytest.raises(ValueError, match="choose the picture"):
        background_of("picture", "", None)
    squares = visible(np.zeros((40, 20, 4), np.uint8))
    assert squares[0, 0].tolist() == [255] * 3 and squares[16, 0].tolist() == [204] * 3


def test_bad_input(monkeypatch, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(demo, "import_gradio", lambda folder: None)
        assert main(["demo", "--port", str(port)]) == 2
        assert "--port %d cannot be opened (Address already" % port in capfd.readouterr().err
    assert main(["demo", "--port", "70000"]) == 2
    assert "a port from 0 to 65535, not '70000'" in capfd.readouterr().err
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo"]) == 2
    assert "the demo needs Gradio (pip install 'mmnet[demo]'" in capfd.readouterr().err


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a page that runs the weights in the box; it leaves nothing behind."""
    pytest.importorskip("gradio")
    temporary = tmp_path_factory.mktemp("temporary")
    environment = dict(os.environ, TMPDIR=str(temporary), PYTHONPATH=ROOT)
    command = [sys.executable, "-m", "mmnet", "demo", "--port", "0", "--upload_limit", "1MB"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, universal_newlines=True
    ) as server:
        address = server.stdout.readline().strip()
        try:
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
    assert list(temporary.iterdir()) == []


@pytest.fixture
def tab(browser, address):
    """The page, opened; nothing comes from anywhere else."""
    tab = browser.new_page(viewport={"width": 1000, "height": 900})
    tab.set_default_timeout(PATIENCE)
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(address)
    tab.wait_for_selector("input[type=file]", state="attached")
    yield tab
    tab.close()
    assert asked
    assert all(url.startswith((address, "data:", "blob:" + address)) for url in asked), asked


def upload(tab, path):
    tab.locator("input[type=file]").last.set_input_files(path)


def test_an_uploaded_photo_is_cut_out_as_by_predict(whole, tab, portrait_set, tmp_path):
    photo = portrait_set.pairs[0].image
    upload(tab, photo)
    tab.wait_for_selector("text=150 x 200 pixels, person")
    with tab.expect_download() as download:
        tab.get_by_text("Save the PNG").click()
    saved = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    assert main(["predict", photo, "--output", str(tmp_path), "--write", "cutout"]) == 0
    name = download.value.suggested_filename
    predicted = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
    assert 0.05 < (predicted[..., 3] / 255).mean() < 0.95  # there is a person
    assert np.abs(saved.astype(int) - predicted).max() <= 1


def test_what_is_no_photo_and_what_is_too_large(tab, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    upload(tab, str(tmp_path / "a.png"))
    said = tab.locator(".toast-body").inner_text()
    assert "a.png: not a JPEG" in said and "mmnet-demo" not in said
    (tmp_path / "b.jpg").write_bytes(bytes(2 << 20))
    tab.reload()
    tab.wait_for_selector("input[type=file]", state="attached")
    with tab.expect_file_chooser() as chooser:
        tab.get_by_text("Click to Upload").first.click()
    chooser.value.set_files(str(tmp_path / "b.jpg"))
    assert "exceed the maximum allowed size of 1.0 Mb" in tab.locator(".toast-body").inner_text()


def test_the_camera(tab):
    tab.get_by_label("colour").check()
    tab.get_by_role("tab", name="Live").click()
    tab.get_by_text("Click to Access Webcam").click()
    tab.get_by_text("Record").click()
    tab.wait_for_selector("text=ms a frame")
    frame = tab.get_by_alt_text("the person cut out").get_attribute("src")
    jpeg = np.frombuffer(base64.b64decode(frame.partition(",")[2]), np.uint8)
    image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    person = np.abs(image - GREEN).max(axis=2) > 40
    rows, columns = person.shape
    assert person[rows // 2, columns // 2] and not person[2, 2] and 0.05 < person.mean() < 0.95
