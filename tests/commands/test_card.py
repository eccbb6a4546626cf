"""Tests of mmnet.commands.card: models of other projects, from their file to every command."""

import json
import os

import numpy as np
import pytest

from helpers import assert_raises
from helpers.foreign import known_alpha, known_logits, write_onnx, write_rvm, write_tensorflow
from helpers.matting import NETWORK_ONLY
from mmnet import load
from mmnet.inference import trial
from mmnet.inference.card import card_path, read_card
from mmnet.inference.foreign import run_mirrored
from mmnet.inference.recipes import IMAGENET, RECIPES
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear
from mmnet.matting.clip import matte_next_frame
from mmnet.matting.compose import OutputOptions

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
ANY = [1, 3, "height", "width"]


@pytest.fixture
def card(run, monkeypatch):
    """Run `mmnet card` without a child process, which takes seconds. Return the signature."""
    monkeypatch.setattr(trial, "run_in_child", lambda path, function, *values: function(*values))

    def card(model, *flags):
        output = run("card", model, "--json", *flags)[1]
        return json.loads(output)["signature"]

    return card


def random_image(*shape):
    return np.random.RandomState(0).randint(0, 256, (*shape, 3)).astype(np.uint8)


def write_recipe_model(name, folder):
    """Write a model with the signature of a recipe. Return its path and the range of its input."""
    path = folder / "model.onnx"
    if name.startswith("mediapipe"):
        shape = [1, *RECIPES[name].fields["shape"], 3]
        return write_tensorflow(folder / "model.tflite", shape), {}
    if name == "modnet":
        return write_onnx(path, ["batch", 3, "height", "width"]), HALF
    if name == "u2net":
        return write_onnx(path, [1, 3, 320, 320], [f"d{n}" for n in range(7)]), IMAGENET
    if name == "isnet":
        return write_onnx(path, [1, 3, 1024, 1024], ["d0", "d1"]), {"mean": HALF["mean"]}
    if name == "pp-humanseg":
        return write_onnx(path, [1, 3, 192, 192], ends=("classes", "Softmax")), HALF
    return write_rvm(path), {}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_gives_the_known_alpha(card, tmp_path, name):
    path, ranges = write_recipe_model(name, tmp_path)
    signature = card(path, "--like", name)
    with load(path) as predictor:
        shape = predictor.network.shape
        assert tuple(signature["shape"]) == shape == RECIPES[name].fields["shape"]
        image = random_image(*shape)
        expected = known_alpha(image, **ranges) / (2 if name == "rvm" else 1)
        np.testing.assert_allclose(predictor.run_image(image), expected, atol=1e-5)
        np.testing.assert_allclose(predictor(image[np.newaxis])[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["tflite", "pb", "savedmodel"])
def test_card_describes_each_format(card, tmp_path, kind):
    path = tmp_path / ("model" if kind == "savedmodel" else f"model.{kind}")
    path = write_tensorflow(path, [1, 64, 96, 3], kind)
    assert card(path, "--channel_order", "bgr")["shape"] == [64, 96]
    image = random_image(64, 96)
    with load(path) as predictor:
        np.testing.assert_allclose(
            predictor.run_image(image), known_alpha(image, order=-1), atol=1e-5
        )


@pytest.mark.parametrize(
    "ends, flags",
    [
        ((), ["logit"]),
        (("Sigmoid",), ["probability"]),
        (("classes",), ["two_class_logits"]),
        (("classes", "Softmax"), ["probability", "--channel", "1"]),
        (("classes", "ArgMax"), ["label_mask", "--channel", "1"]),
    ],
)
def test_output_kinds(card, tmp_path, ends, flags):
    path = write_onnx(tmp_path / "model.onnx", [1, 3, 64, 64], ends=ends)
    card(path, "--output_kind", *flags)
    image = random_image(64, 64)
    expected = known_alpha(image)
    if flags[0] == "label_mask":
        expected = known_logits(image) > 0
    with load(path) as predictor:
        differences = abs(predictor.run_image(image) - expected)
    assert np.percentile(differences, 99) < 1e-5  # a label at the threshold may differ


@pytest.mark.parametrize("resizing, shape", [("pad", (32, 64)), ("keep", (32, 64))])
def test_resizing_keeps_the_aspect_ratio(card, tmp_path, resizing, shape):
    path = write_onnx(tmp_path / "model.onnx", ANY)
    card(path, "--resizing", resizing, "--size", "64", "--layout", "nchw", "--multiple", "16")
    image = random_image(50, 100)
    with load(path) as predictor:
        alpha = predictor.run_image(image)
    assert alpha.shape == shape
    expected = known_alpha(resize_bilinear(image, shape, align_corners=True))
    np.testing.assert_allclose(alpha, expected, atol=1e-5)


def test_mirrored_images_are_averaged(card, tmp_path, assert_refused):
    path = write_onnx(tmp_path / "model.onnx", [1, 3, 64, 64])
    assert card(path, "--mirrored")["mirrored"]
    image = random_image(64, 64)
    with load(path) as predictor:  # its alpha of a pixel depends on this pixel only
        np.testing.assert_allclose(predictor.run_image(image), known_alpha(image), atol=1e-4)
    ramp = np.tile(np.linspace(0.1, 0.9, 64, dtype=np.float32), (64, 1))
    alpha = run_mirrored(lambda *_: ramp, image, None, None)
    np.testing.assert_allclose(alpha, 0.5, atol=1e-6)
    assert_refused(
        ["card", write_rvm(tmp_path / "rvm.onnx"), "--like", "rvm", "--mirrored"], "one view"
    )


def test_clip_passes_the_state_of_a_recurrent_model(card, tmp_path):
    path = write_rvm(tmp_path / "model.onnx")
    card(path, "--size", "64", "--resizing", "keep")  # the file names the states
    frames = [random_image(64, 48), random_image(64, 48)[::-1]]
    options = OutputOptions(("alpha",), matting=NETWORK_ONLY, temporal_filter="none")
    with load(path) as predictor:
        assert predictor.is_recurrent
        photos = [predictor.run_image(frame) for frame in frames]
        first = matte_next_frame(frames[0], predictor, options)
        second = matte_next_frame(frames[1], predictor, options, first)
    known = [known_alpha(frame) for frame in frames]
    np.testing.assert_allclose(photos, [alpha / 2 for alpha in known], atol=1e-5)
    np.testing.assert_allclose(first.alpha, known[0] / 2, atol=1e-5)
    np.testing.assert_allclose(second.alpha, known[0] / 4 + known[1] / 2, atol=1e-5)
    np.testing.assert_array_equal(second.state["r4i"], np.full((1, 1, 1, 1), 2, np.float32))


@pytest.mark.parametrize(
    "ends, flags, tokens",
    [
        ((), [], ["output", "0..1", "output_kind"]),
        (("Sigmoid",), ["--output_kind", "logit"], ["output", "no logits", "output_kind"]),
        (("Sigmoid",), ["--scale", "1e-9"], ["constant", "scale"]),
        (("Sigmoid",), ["--layout", "nhwc"], ["[1,3,64,64]", "layout nhwc"]),
        (("classes",), ["--output_kind", "logit"], ["which channel"]),
        (("classes", "ArgMax"), ["--output_kind", "label_mask"], ["constant", "labels 0, 1"]),
        (("Sigmoid",), ["--size", "32"], ["[1,3,64,64]", "size"]),
        (("Sigmoid",), ["--output_name", "no"], ["output no", "output [1,1,64,64]"]),
        (("Sigmoid",), ["--channel", "7"], ["channel 7"]),
        (("Sigmoid",), ["--states", "a=b"], ["a, b"]),
        (("Sigmoid",), ["--downsample", "9"], ["downsample_ratio"]),
        (("Sigmoid",), ["--like", "rvm"], ["src", "input [1,3,64,64]"]),
    ],
)
def test_wrong_card_is_one_line(assert_refused, monkeypatch, tmp_path, ends, flags, tokens):
    monkeypatch.setattr(trial, "run_in_child", lambda path, function, *values: function(*values))
    path = write_onnx(tmp_path / "model.onnx", [1, 3, 64, 64], ends=ends)
    assert_refused(["card", path, *flags], path, *tokens)
    assert not os.path.exists(card_path(path))


def test_layout_must_fit_a_model_of_any_size(assert_refused, monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "run_in_child", lambda path, function, *values: function(*values))
    path = write_onnx(tmp_path / "model.onnx", ANY)
    assert_refused(["card", path, "--layout", "nhwc", "--size", "64"], path, "layout nhwc")


def test_alpha_of_the_background_is_an_error(card, tmp_path):
    path = write_onnx(tmp_path / "model.onnx", [1, 3, 64, 64])
    card(path)
    image = random_image(64, 64)
    alpha = known_alpha(image)
    trial.try_card("onnx", path, read_card(path), [(image, alpha)])
    with assert_raises(MmnetError, path, "channel"):
        trial.try_card("onnx", path, read_card(path), [(image, 1 - alpha)])


def test_model_that_crashes_ends_only_the_child():
    with assert_raises(MmnetError, "a.tflite", "damaged"):
        trial.run_in_child("a.tflite", os._exit, 7)


def test_card_refuses_a_changed_file_and_keeps_other_cards(card, assert_refused, tmp_path):
    path = write_onnx(tmp_path / "model.onnx", [1, 3, 64, 64])
    card(path)
    card(path)  # replaces its own card
    write_onnx(path, [1, 3, 32, 32])
    assert_refused(["info", path], card_path(path))
    with open(card_path(path), "w") as file:
        file.write("{}")
    assert_refused(["card", path], card_path(path))


def test_shards_of_another_card_are_scored_again(card, run_json, portraits, tmp_path):
    path = write_onnx(tmp_path / "model.onnx", [1, 3, 64, 64])
    data = ["--dataset_path", portraits, "--checkpoint_path", path, "--shard", "0/1"]
    scores = []
    for flags in ([], ["--channel_order", "bgr"]):
        card(path, *flags)
        scores.append(run_json("evaluate", *data, "--output", tmp_path / "out")[0]["MAD/test"])
    assert scores[0] != scores[1]


def test_commands_accept_a_foreign_model(card, run_json, run, portraits, tmp_path):
    path = write_onnx(tmp_path / "model.onnx", [1, 3, 96, 64])
    card(path)
    data = ["--dataset_path", portraits, "--checkpoint_path", path]
    own = run_json("evaluate", *data)[0]
    ours = run_json("evaluate", *data, "--size", "64")[0]
    assert own["pictures"] == ours["pictures"] and own["MAD/test"] != ours["MAD/test"]
    assert own["MAD/test"] == pytest.approx(ours["MAD/test"], abs=0.02)
    rows = run_json("parity", path, *data)
    assert rows[1]["largest_difference"] == 0
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    run("predict", photo, "--output", str(tmp_path / "a.png"), "--checkpoint_path", path)
    assert os.path.getsize(str(tmp_path / "a.png")) > 100
    assert run_json("info", path)[0]["signature"]["layout"] == "nchw"
