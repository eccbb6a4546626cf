"""The page of ``export --format web``, in Chromium: its network against ``predict``."""

import os
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from helpers import PATIENCE
from mmnet.cli import main


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    """Of the page with the weights in the box, served as its package.json says."""
    from helpers.brief import WHOLE, using

    if shutil.which("npm") is None:
        pytest.skip("no npm here: apt-get install npm")
    folder = str(tmp_path_factory.mktemp("a page"))
    with using(WHOLE):
        assert main(["export", "--format", "web", "--output", folder]) == 0
    folder = os.path.join(folder, "web")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
    if subprocess.call(install, cwd=folder) != 0:
        pytest.skip("npm cannot install onnxruntime-web here")
    command = ["node", "serve.js"]
    with subprocess.Popen(
        command, cwd=folder, env=dict(os.environ, PORT="0"), stdout=subprocess.PIPE
    ) as server:
        yield server.stdout.readline().decode().strip()
        server.terminate()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_photo_is_cut_out_as_by_predict(browser, address, portrait_set, tmp_path, threads):
    photo = portrait_set.pairs[0].image
    tab, asked = browser.new_page(), []
    tab.set_default_timeout(PATIENCE)
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto("%s/?threads=%d" % (address, threads))
    tab.wait_for_selector("text=Choose a photo")
    tab.locator("#file").set_input_files(photo)
    tab.wait_for_selector("#save[href]")
    with tab.expect_download() as download:
        tab.locator("#save").click()
    saved = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    tab.close()
    assert asked and all(url.startswith((address, "data:", "blob:" + address)) for url in asked)

    bare = ["--no_second_pass", "--no_refinement", "--write", "alpha"]
    assert main(["predict", photo, "--output", str(tmp_path)] + bare) == 0
    (name,) = os.listdir(str(tmp_path))
    alpha = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
    assert 0.05 < (alpha / 255).mean() < 0.95  # there is a person
    assert np.abs(saved[..., 3].astype(int) - alpha).max() <= 2.55  # of 255: a hundredth
