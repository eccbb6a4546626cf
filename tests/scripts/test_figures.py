"""The figures of the README that can be drawn anew."""

import importlib.util
import json
import os

import cv2
import numpy as np
from helpers.brief import WHOLE, brief_encoder
from PIL import Image

from helpers import ROOT, SMALL
from mmnet.benchmark.models import Load
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.networks.inference_graph import inference_graph
from mmnet.networks.network import Network
from mmnet.weights.values import read_weights
from mmnet.weights.write import write_weights


def load(name):
    path = os.path.join(ROOT, "figure", name + ".py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_network_is_read_out_of_its_graph(tmp_path):
    network = load("network")
    blocks, shortcuts = network.read_graph()
    dilations = [row for name, (_, row) in blocks.items() if name.startswith("enc")]
    assert dilations == [list(row.dilations) for row in WHOLE[0]]
    assert blocks["dec_block2"] == ([64, 64, 40], [1, 2, 4])
    assert blocks["init_block"] == ([128, 128, 32], [])
    assert sorted(shortcuts) == [("enc_block0", "dec_block1"), ("enc_block4", "dec_block0")]
    network.draw(blocks, shortcuts, str(tmp_path / "network.png"))
    assert cv2.imread(str(tmp_path / "network.png")).std() > 10


def test_both_series_are_drawn(tmp_path):
    figure = load("gradient_error_vs_latency")
    with open(figure.KEPT) as file:
        measured = json.load(file)
    assert measured["machine"] and len(measured["models"]) >= 4
    figure.draw(measured, str(tmp_path / "figure.png"))
    assert cv2.imread(str(tmp_path / "figure.png")).std() > 10


def test_what_is_measured(test_data, portraits, portrait_set, tmp_path):
    figure = load("gradient_error_vs_latency")
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-304500")
    weights = read_weights(prefix, Network())
    path = str(tmp_path / "mmnet.pb")
    with open(path, "wb") as file:
        file.write(inference_graph(weights.network, weights.values).SerializeToString())
    measured = figure.measure(portraits, [path], Load(seconds=0.5))
    (model,) = measured["models"]
    assert model["model"] == "mmnet.pb" and 0 < model["median_ms"] <= model["p90_ms"]
    assert 0 < model["gradient_error"] < 0.1
    assert (measured["pictures"], measured["threads"]) == (6, 1)
    assert measured["data_set"] == portrait_set.name
    assert json.loads(json.dumps(measured)) == measured


def test_the_networks_are_measured_and_drawn(portrait_set, lively_weights, tmp_path):
    figure = load("networks")
    prefix = str(tmp_path / "run" / "MMNetModel-5")
    write_weights(prefix, lively_weights)
    networks = [lively_weights.network, Network("deeplab", 0.25, SMALL.shape)]
    with brief_encoder():
        measured = figure.measure(portrait_set, [prefix], networks, Load(seconds=0.2))
    assert json.loads(json.dumps(measured)) == measured
    ours, deeplab = measured["rows"]
    assert (ours["name"], ours["source"], ours["ratio"]) == ("mmnet", "MMNetModel-5", 1.0)
    assert 0 < ours["mad"] < 1 and deeplab["mad"] is None and deeplab["name"] == "deeplab"
    assert ours["parameters"] < deeplab["parameters"] and deeplab["median_ms"] > 0
    text = figure.table(measured)
    assert text.count("\n") == 3 and "(MMNetModel-5) |" in text
    figure.draw(measured, str(tmp_path / "networks.png"))
    assert cv2.imread(str(tmp_path / "networks.png")).std() > 10


def test_the_cut_out_is_drawn(tmp_path):
    figure = load("cutout")

    def run(images):
        return images.mean(axis=3, keepdims=True) / 255

    figure.draw(Predictor(run, Card(SMALL)), str(tmp_path / "cutout.png"))
    drawn = cv2.imread(str(tmp_path / "cutout.png"))
    assert drawn.shape == (267, 6 * 200, 3)
    photo, alpha, composition = (drawn[:, at : at + 200] for at in (0, 200, 400))
    np.testing.assert_array_equal(alpha[..., 0], alpha[..., 2])  # grey
    # Before white, nothing is darker than in the photo.
    assert (composition >= photo.astype(int) - 1).all() and composition.mean() > photo.mean()


def test_the_clip_is_drawn(tmp_path):
    figure = load("clip")

    def run(images):
        return images.mean(axis=3, keepdims=True) / 255

    figure.draw(Predictor(run, Card(SMALL)), str(tmp_path / "clip.webp"), frames=3)
    with Image.open(str(tmp_path / "clip.webp")) as drawn:
        height, width = figure.SHAPE
        assert (drawn.n_frames, drawn.size) == (4, (3 * width, height))  # there and back
