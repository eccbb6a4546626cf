"""Tests of the scripts in figure/."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import SMALL, load_script
from mmnet.benchmark.models import Load
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.networks.mmnet import ENCODER
from mmnet.networks.network import Network
from mmnet.weights.write import write_weights


@pytest.fixture
def predictor():
    """A predictor whose alpha is the brightness of the image."""

    def run(images):
        return images.mean(axis=3, keepdims=True) / 255

    return Predictor(run, Card(SMALL))


def assert_drawn(path):
    assert cv2.imread(str(path)).std() > 10


def test_network_is_read_from_its_graph(tmp_path):
    figure = load_script("figure/network.py")
    blocks, shortcuts = figure.read_graph()
    dilations = [block for name, (_, block) in blocks.items() if name.startswith("enc")]
    assert dilations == [list(block.dilations) for block in ENCODER]
    assert blocks["dec_block2"] == ([64, 64, 40], [1, 2, 4])
    assert blocks["init_block"] == ([128, 128, 32], [])
    assert sorted(shortcuts) == [("enc_block0", "dec_block1"), ("enc_block4", "dec_block0")]
    figure.draw(blocks, shortcuts, str(tmp_path / "network.png"))
    assert_drawn(tmp_path / "network.png")


@pytest.mark.parametrize("name", ["gradient_error_vs_latency", "networks"])
def test_committed_results_are_drawn(tmp_path, name):
    figure = load_script(f"figure/{name}.py")
    with open(figure.RESULTS) as file:
        results = json.load(file)
    assert results["machine"] and len(results.get("models") or results["rows"]) >= 4
    figure.draw(results, str(tmp_path / "figure.png"))
    assert_drawn(tmp_path / "figure.png")


def test_gradient_error_and_latency_are_measured(exported_models, portraits, portrait_set):
    figure = load_script("figure/gradient_error_vs_latency.py")
    results = figure.measure(portraits, [exported_models.path("frozen.pb")], Load(seconds=0.5))
    (model,) = results["models"]
    assert model["model"] == "frozen.pb" and 0 < model["median_ms"] <= model["p90_ms"]
    assert 0 < model["gradient_error"] < 1
    assert (results["pictures"], results["threads"]) == (6, 1)
    assert results["data_set"] == portrait_set.name
    assert json.loads(json.dumps(results)) == results


def test_networks_are_measured_and_drawn(portrait_set, mmnet_weights, tmp_path):
    figure = load_script("figure/networks.py")
    prefix = str(tmp_path / "run" / "MMNetModel-5")
    write_weights(prefix, mmnet_weights)
    networks = [mmnet_weights.network, Network("deeplab", 0.25, SMALL.shape)]
    results = figure.measure(portrait_set, [prefix], networks, Load(seconds=0.2))
    assert json.loads(json.dumps(results)) == results
    ours, deeplab = results["rows"]
    assert (ours["name"], ours["source"], ours["ratio"]) == ("mmnet", "MMNetModel-5", 1.0)
    assert 0 < ours["mad"] < 1 and deeplab["mad"] is None and deeplab["name"] == "deeplab"
    assert ours["parameters"] < deeplab["parameters"] and deeplab["median_ms"] > 0
    table = figure.format_markdown(results)
    assert table.count("\n") == 3 and "(MMNetModel-5) |" in table
    figure.draw(results, str(tmp_path / "networks.png"))
    assert_drawn(tmp_path / "networks.png")


def test_cutout_is_drawn(predictor, tmp_path):
    figure = load_script("figure/cutout.py")
    figure.draw(predictor, str(tmp_path / "cutout.jpg"))
    drawn = cv2.imread(str(tmp_path / "cutout.jpg")).astype(int)
    assert drawn.shape == (figure.SIDE, 2 * figure.SIDE, 3)
    photo, cutout = np.hsplit(drawn, 2)
    assert abs(photo - cutout).mean() > 10
    # In front of the light checkerboard, few pixels are darker than the photo and the board.
    assert (cutout < np.minimum(photo, 215) - 40).mean() < 0.05


def test_clip_is_drawn(predictor, tmp_path):
    figure = load_script("figure/clip.py")
    figure.draw(predictor, str(tmp_path / "clip.webp"), frames=3)
    with Image.open(str(tmp_path / "clip.webp")) as drawn:
        # Forwards and backwards.
        assert (drawn.n_frames, drawn.size) == (4, (2 * figure.SIDE, figure.SIDE))
