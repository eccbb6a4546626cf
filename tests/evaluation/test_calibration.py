"""The temperature of a network's log odds."""

import json
import os

import numpy as np
import pytest

from helpers import SMALL, SMALL_FLAGS
from mmnet.cli import main
from mmnet.commands.calibrate import TEMPERATURES
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights
from mmnet.matting.refine import scale_alpha_logits
from mmnet.networks.network import Network
from mmnet.weights.values import WeightOptions, Weights, scale_classifier


def test_sharpening_alphas_by_hand():
    alpha = np.array([0, 0.5, 0.8, 1], np.float32)
    np.testing.assert_allclose(scale_alpha_logits(alpha, 2), [0, 0.5, 16 / 17, 1], atol=1e-6)
    np.testing.assert_allclose(scale_alpha_logits(alpha, 1), alpha, atol=1e-6)


def test_in_the_classifier_it_is_the_same(lively_weights, lively_predictor, lively_images):
    expected = scale_alpha_logits(lively_predictor(lively_images), 3)
    sharp = open_weights(scale_classifier(lively_weights, 3))
    np.testing.assert_allclose(sharp(lively_images), expected, atol=1e-5)
    read = load_weights(
        lively_weights.source, {"width_multiplier": 0.25}, WeightOptions(logit_scale=3)
    )
    names = [name for name, value in read.values.items() if "/pointwise_conv/biases" in name]
    assert len(names) == 2  # the auxiliary classifier's stay
    for name in names:
        factor = 3 if "final_block" in name else 1
        np.testing.assert_allclose(read.values[name], factor * lively_weights.values[name])


def test_a_network_without_a_known_classifier():
    with pytest.raises(ValueError, match="no classifier that is known"):
        scale_classifier(Weights(Network("another"), {}), 2)
    assert scale_classifier(Weights(Network("another"), {}), 1).values == {}


def test_the_verb_finds_and_folds_it(lively_weights, portraits, tmp_path, capfd):
    flags = ["--checkpoint_path", lively_weights.source, "--dataset_path", portraits]
    flags += ["--dataset_split_name", "test"] + SMALL_FLAGS
    prefix = str(tmp_path / "sharp" / "MMNetModel-5")
    os.mkdir(os.path.dirname(prefix))
    assert main(["temperature", "--json", "--output", prefix] + flags) == 0
    found = json.loads(capfd.readouterr().out)
    assert [row["temperature"] for row in found["scores"]] == list(TEMPERATURES)
    limit = 1.01 * min(row["mad"] for row in found["scores"])
    best = next(row for row in found["scores"] if row["mad"] <= limit)
    assert best["temperature"] == found["best"]

    def mad_of(*more):
        assert main(["evaluate", "--json", "--output", str(tmp_path)] + list(more)) == 0
        return json.loads(capfd.readouterr().out)["MAD/test"]

    asked = mad_of("--temperature", "%g" % found["best"], *flags)
    assert asked == pytest.approx(best["mad"], abs=1e-5)
    flags[1] = prefix
    assert mad_of(*flags) == pytest.approx(best["mad"], abs=1e-5)
    folded = load_weights(prefix)  # which network it is lies beside it
    assert folded.step == 5 and folded.network == SMALL
    assert main(["temperature"] + flags) == 0
    assert ": --temperature %g" % TEMPERATURES[0] in capfd.readouterr().out
