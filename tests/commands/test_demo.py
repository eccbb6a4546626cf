"""Tests of mmnet.commands.demo: its functions, and the page in Chromium."""

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest

from helpers import PAGE_TIMEOUT, ROOT, assert_message, assert_raises
from helpers.matting import NETWORK_ONLY, brightness_predictor, colour_image
from mmnet.cli import main
from mmnet.commands import demo
from mmnet.commands.demo import choose_background
from mmnet.io.errors import MmnetError
from mmnet.io.images import read_image
from mmnet.matting import page as page_module
from mmnet.matting.background import Background
from mmnet.matting.load import load_photo
from mmnet.matting.page import TRANSPARENT, Page, process_frame, process_photo

GREEN = (0, 177, 64)  # the default colour of the page


@pytest.fixture
def page(tmp_path):
    predictor = brightness_predictor()
    return Page(lambda name: predictor, NETWORK_ONLY, str(tmp_path))


@pytest.fixture
def photo(portrait_set):
    return portrait_set.pairs[0].image


def decode_html(html):
    """Return the image in HTML of the camera tab, as int [H,W,3]."""
    jpeg = np.frombuffer(base64.b64decode(re.search(r"base64,([^\"]+)", html)[1]), np.uint8)
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def test_process_photo_saves_a_cutout(page, photo):
    image = load_photo(photo).image
    result = process_photo(page, photo, "any", TRANSPARENT)
    stem = os.path.splitext(os.path.basename(photo))[0]
    assert os.path.basename(result.path) == f"{stem}_cutout.png"
    assert cv2.imread(result.path, cv2.IMREAD_UNCHANGED).shape == image.shape[:2] + (4,)
    before, after = result.previews
    assert np.array_equal(before, image) and after.shape == image.shape
    assert_message(result.text, "150 x 200", "person: ", "ms")


def test_process_photo_saves_a_composition(page, photo):
    result = process_photo(page, photo, "any", Background(GREEN))
    assert result.path.endswith("_composition.png")
    assert np.array_equal(read_image(result.path), result.previews[1])


def test_transparent_background_is_a_checkerboard():
    squares = TRANSPARENT.at(colour_image(40, 20, 0), None)
    assert squares[0, 0].tolist() == [255] * 3 and squares[16, 0].tolist() == [204] * 3


def test_process_frame_composes_the_person(page, photo):
    page = page._replace(open=lambda name: brightness_predictor())
    frame = np.zeros_like(load_photo(photo).image)
    result = process_frame(page, frame, "any", Background(GREEN))
    assert_message(result.text, "150 x 200", "ms")
    image = decode_html(result.html)
    assert image.shape == frame.shape and np.abs(image - GREEN).max() <= 2


def test_process_frame_uses_the_previous_frame_of_the_same_weights(page, photo, monkeypatch):
    previous_frames = []

    def matte_next_frame(image, predictor, options, previous):
        previous_frames.append(previous)
        return original(image, predictor, options, previous)

    original = page_module.matte_next_frame
    monkeypatch.setattr(page_module, "matte_next_frame", matte_next_frame)
    frame = load_photo(photo).image
    first = process_frame(page, frame, "any", TRANSPARENT)
    second = process_frame(page, frame, "any", TRANSPARENT, first)
    process_frame(page, frame, "others", TRANSPARENT, second)
    assert previous_frames == [None, first.matted, None]


def test_choose_background_reads_the_fields_of_the_page(page, photo):
    assert choose_background(page, "transparent", "#000000", None) is TRANSPARENT
    assert choose_background(page, "blur", "#000000", None).image is None
    colour = choose_background(page, "colour", "rgba(0, 177.4, 64, 1)", None)
    assert colour.image.tolist() == list(GREEN)
    path = shutil.copy(photo, page.folder)
    for upload in (path, {"path": path}):
        background = choose_background(page, "picture", "", upload)
        assert np.array_equal(background.image, load_photo(photo).image)


def test_page_never_reads_other_files_of_the_machine(page, photo):
    with assert_raises(MmnetError, photo):
        choose_background(page, "colour", photo, None)
    link = os.path.join(page.folder, "link.jpg")
    os.symlink(photo, link)
    for upload in (photo, {"path": photo}, os.path.join(page.folder, "..", "x.jpg"), link):
        with assert_raises(MmnetError, "upload"):
            choose_background(page, "picture", "", upload)
    with assert_raises(MmnetError, "upload"):
        choose_background(page, "picture", "", None)


def test_page_opens_listed_weights_only(run_folder):
    open_weights = demo.predictor_opener(demo.Options(), ["mmnet-fast"])
    assert open_weights("mmnet-fast").network.shape == (160, 160)
    with assert_raises(MmnetError, run_folder, "mmnet-fast"):
        open_weights(run_folder)


def test_demo_reports_a_used_port(monkeypatch, capfd):
    monkeypatch.setattr(demo, "import_gradio", lambda folder: None)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 2
    assert_message(capfd.readouterr().err, "--port", port, "Address already in use")
    assert main(["demo", "--port", "70000"]) == 2
    assert_message(capfd.readouterr().err, "--port", 70000)


def test_demo_needs_gradio(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo"]) == 2
    assert_message(capfd.readouterr().err, "Gradio", "pip install 'mmnet[demo]'")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of a demo with the bundled weights. It leaves no temporary files."""
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
    """The page in a browser tab. It requests nothing from other hosts."""
    tab = browser.new_page(viewport={"width": 1000, "height": 900})
    tab.set_default_timeout(PAGE_TIMEOUT)
    urls = []
    tab.on("request", lambda request: urls.append(request.url))
    tab.goto(address)
    tab.wait_for_selector("input[type=file]", state="attached")
    yield tab
    tab.close()
    assert urls
    assert all(url.startswith((address, "data:", "blob:" + address)) for url in urls), urls


def upload(tab, path):
    tab.locator("input[type=file]").last.set_input_files(path)


def test_page_cuts_out_photos_like_predict(tab, photo, tmp_path):
    upload(tab, photo)
    tab.wait_for_selector("text=150 x 200 pixels, person")
    with tab.expect_download() as download:
        tab.get_by_text("Save the PNG").click()
    saved = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    assert main(["predict", photo, "--output", str(tmp_path), "--write", "cutout"]) == 0
    name = download.value.suggested_filename
    predicted = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
    assert 0.05 < (predicted[..., 3] / 255).mean() < 0.95
    assert np.abs(saved.astype(int) - predicted).max() <= 1


def test_page_reports_bad_and_large_uploads(tab, tmp_path):
    (tmp_path / "a.png").write_text("no image")
    upload(tab, str(tmp_path / "a.png"))
    message = tab.locator(".toast-body").inner_text()
    assert "a.png" in message and "mmnet-demo" not in message
    (tmp_path / "b.jpg").write_bytes(bytes(2 << 20))
    tab.reload()
    tab.wait_for_selector("input[type=file]", state="attached")
    with tab.expect_file_chooser() as chooser:
        tab.get_by_text("Click to Upload").first.click()
    chooser.value.set_files(str(tmp_path / "b.jpg"))
    assert_message(tab.locator(".toast-body").inner_text(), "1.0 Mb")


def test_page_cuts_out_the_camera(tab):
    tab.get_by_label("colour").check()
    tab.get_by_role("tab", name="Live").click()
    tab.get_by_text("Click to Access Webcam").click()
    tab.get_by_text("Record").click()
    tab.wait_for_selector("text=ms per frame")
    image = decode_html(tab.get_by_alt_text("the person cut out").get_attribute("src") + '"')
    person = np.abs(image - GREEN).max(axis=2) > 40
    rows, columns = person.shape
    assert person[rows // 2, columns // 2] and not person[2, 2] and 0.05 < person.mean() < 0.95
