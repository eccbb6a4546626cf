"""The figures of the README that can be drawn anew."""
import importlib.util
import json
import os

import cv2

from conftest import ROOT
from mmnet.networks.mmnet import ENCODER


def load(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, "figure", name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_network_is_read_out_of_its_graph(tmp_path):
    network = load("network")
    blocks, shortcuts = network.read_graph()
    assert [dilations for name, (_, dilations) in blocks.items() if name.startswith("enc")] == [
        list(row.dilations) for row in ENCODER]
    assert blocks["dec_block2"] == ([64, 64, 40], [1, 2, 4]) and blocks["init_block"] == ([128, 128, 32], [])
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


def test_what_is_measured(test_data, portraits, tmp_path, monkeypatch):
    from mmnet.delivery import freeze
    from mmnet.delivery.predictor import CheckpointPredictor

    figure = load("gradient_error_vs_latency")
    predictor = CheckpointPredictor.open(os.path.join(test_data, "checkpoints", "MMNetModel-304500"), as_written=True)
    path = str(tmp_path / "mmnet.pb")
    freeze.freeze(predictor, path, freeze.pictures_to_compare(None, 256))
    benchmark = figure.benchmark
    monkeypatch.setattr(figure, "benchmark", lambda paths: benchmark(paths, seconds=0.5))
    measured = figure.measure(portraits, [path])
    model, = measured["models"]
    assert model["model"] == "mmnet.pb" and model["median_ms"] > 0 and 0 < model["gradient_error"] < 0.1
    assert (measured["pictures"], measured["threads"]) == (6, 1)
    assert json.loads(json.dumps(measured)) == measured
