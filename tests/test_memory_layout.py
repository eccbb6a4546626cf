"""The choice of a GPU's layout, on a processor: what is measured, and what follows from it."""

import logging

import pytest

from mmnet.device import LAYOUTS, Device, training_session_config
from mmnet.network import Network
from mmnet.networks.quantization import QUANTIZED_TRAINING
from mmnet.training import memory_layout
from mmnet.training.graph import Recipe
from mmnet.training.losses import recipe_of

SMALLEST = Network(width_multiplier=0.25, shape=(32, 32))


def test_sessions_of_a_layout():
    for layout in (None, *LAYOUTS):
        rewrites = training_session_config(Device(layout=layout)).graph_options.rewrite_options
        wanted = {None: rewrites.DEFAULT, "NHWC": rewrites.OFF, "NCHW": rewrites.ON}
        assert rewrites.layout_optimizer == wanted[layout]


@pytest.mark.parametrize("fastest", LAYOUTS)
def test_the_faster_one_is_taken(monkeypatch, caplog, fastest):
    """Each process measures for itself, whatever it is one of."""
    measured = []

    def seconds(graph, network, batch_size, device):
        measured.append(device)
        return 0.002 if device.layout == fastest else 0.003

    monkeypatch.setattr(memory_layout, "step_seconds", seconds)
    several = Device(rank=1, processes=2, addresses=("a:1", "b:1"), mixed="mixed_float16")
    recipe = Recipe(recipe_of(SMALLEST, {}), mode=QUANTIZED_TRAINING)
    with caplog.at_level(logging.INFO):
        assert memory_layout.faster_layout(SMALLEST, recipe, 2, several) == fastest
    assert measured == [Device(mixed="mixed_float16", layout=layout) for layout in LAYOUTS]
    assert "2.00 ms in %s" % fastest in caplog.text and "%s it is" % fastest in caplog.text


def test_steps_are_measured(monkeypatch):
    """Real ones; a processor knows one layout only, so which one it is means nothing here."""
    monkeypatch.setattr(memory_layout, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(memory_layout, "STEPS", 1)
    seconds, step_seconds = [], memory_layout.step_seconds

    def noted(*given):
        seconds.append(step_seconds(*given))
        return seconds[-1]

    monkeypatch.setattr(memory_layout, "step_seconds", noted)
    terms = dict(recipe_of(SMALLEST, {}), teacher=1.0)
    chosen = memory_layout.faster_layout(SMALLEST, Recipe(terms), 2, Device("cpu"))
    assert len(seconds) == len(LAYOUTS) and min(seconds) > 0
    assert chosen == LAYOUTS[seconds.index(min(seconds))]
