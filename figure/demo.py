"""Draw FOLDER/demo.png: the page of mmnet demo with a synthetic portrait, in Chromium.

python figure/demo.py FOLDER
"""

import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from playwright.sync_api import sync_playwright

from mmnet.datasets.synthetic import draw_portrait
from mmnet.io.images import save_png

PORTRAIT = 4  # number of a portrait that `mmnet synthesize` draws with seed 0
WINDOW = {"width": 920, "height": 940}  # pixels


def draw(path):
    """Write the screenshot."""
    command = [sys.executable, "-m", "mmnet", "demo", "--port", "0"]
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
        command, stdout=subprocess.PIPE, universal_newlines=True
    ) as server, sync_playwright() as playwright:
        image, _ = draw_portrait(np.random.RandomState([0, PORTRAIT]))
        photo = os.path.join(folder, "portrait.png")
        save_png(photo, image)
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport=WINDOW)
        tab.goto(server.stdout.readline().strip())
        tab.get_by_label("Choose a photo").set_input_files(photo)
        tab.wait_for_selector("text=pixels, person")
        tab.screenshot(path=path)
        browser.close()
        server.terminate()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(os.path.join(sys.argv[1], "demo.png"))
