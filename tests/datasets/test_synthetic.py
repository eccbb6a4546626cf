"""Tests of mmnet.datasets.synthetic and of `mmnet synthesize`."""

import cv2
import numpy as np
import pytest

from helpers import assert_message
from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.datasets.synthetic import draw_clip, draw_portrait, draw_scene, synthesize
from mmnet.io.images import save_png


def test_draw_portrait_depends_on_seed_only():
    def draw(seed):
        return draw_portrait(np.random.RandomState(seed), (100, 75))

    image, alpha = draw(3)
    np.testing.assert_array_equal(draw(3)[0], image)
    np.testing.assert_array_equal(draw(3)[1], alpha)
    assert np.abs(draw(4)[1] - alpha).mean() > 0.01


def test_draw_portrait_has_soft_edge():
    image, alpha = draw_portrait(np.random.RandomState(0))
    assert image.shape == (800, 600, 3) and image.dtype == np.uint8
    assert alpha.shape == (800, 600) and alpha.dtype == np.float32
    assert alpha.min() == 0 and 0.999 < alpha.max() <= 1
    assert 0.2 < alpha.mean() < 0.8
    assert 0.005 < np.mean((alpha > 0.02) & (alpha < 0.98)) < 0.1
    assert alpha[:20].max() == 0 and alpha[-1, 300] > 0.999  # background above, a body below


def test_draw_clip_moves_smoothly():
    frames = list(draw_clip(np.random.RandomState(3), 6, (120, 90)))
    assert all(image.shape == (120, 90, 3) and alpha.shape == (120, 90) for image, alpha in frames)
    alphas = [alpha for _, alpha in frames]
    changes = [np.mean(np.abs(a - b)) for a, b in zip(alphas, alphas[1:])]
    assert 0 < max(changes) < 0.06
    assert np.mean(np.abs(alphas[0] - alphas[-1])) > 0.5 * max(changes)
    image, _ = next(draw_clip(np.random.RandomState(3), 6, (120, 90)))
    np.testing.assert_array_equal(image, frames[0][0])


def test_draw_scene_composes_foreground_and_background():
    backgrounds = [np.full((90, 70, 3), 200, np.uint8)]
    alphas = []
    for number in range(24):
        scene = draw_scene(np.random.RandomState([9, number]), (96, 72), backgrounds)
        image, alpha, foreground = scene
        assert image.shape == foreground.shape == (96, 72, 3) and image.dtype == np.uint8
        assert alpha.shape == (96, 72) and alpha.min() >= 0 and alpha.max() <= 1
        assert not foreground[alpha == 0].any()
        assert np.abs(image.astype(int) - foreground)[alpha == 1].mean() < 6  # noise
        alphas.append(alpha)
    fractions = [alpha.mean() for alpha in alphas]
    assert max(fractions) - min(fractions) > 0.3  # many sizes
    assert np.mean([alpha[-1].max() > 0.99 for alpha in alphas]) > 0.6  # most stand on the ground
    again = draw_scene(np.random.RandomState([9, 23]), (96, 72), backgrounds)
    np.testing.assert_array_equal(again.image, image)


def test_synthesize_writes_dataset(tmp_path):
    synthesize(str(tmp_path), "train", 3, seed=5, shape=(80, 60))
    pairs = find_dataset(str(tmp_path), "train").pairs
    assert [pair.stem for pair in pairs] == ["portrait5_0000", "portrait5_0001", "portrait5_0002"]
    image, alpha = read_pair(pairs[1])
    drawn_image, drawn_alpha = draw_portrait(np.random.RandomState([5, 1]), (80, 60))
    np.testing.assert_allclose(alpha, drawn_alpha, atol=0.5 / 255 + 1e-6)
    assert np.abs(image.astype(float) - drawn_image).mean() < 6  # JPEG


def test_command_writes_varied_scenes(tmp_path):
    backgrounds = tmp_path / "rooms"
    backgrounds.mkdir()
    save_png(str(backgrounds / "a.png"), np.full((60, 60, 3), (0, 250, 0), np.uint8))
    command = ["synthesize", "--output", str(tmp_path / "set"), "--pictures", "4"]
    command += ["--shape", "64", "48", "--backgrounds_path", str(backgrounds), "--looks", "varied"]
    assert main(command) == 0
    pairs = find_dataset(str(tmp_path / "set"), "test").pairs
    green_backgrounds = 0
    for pair in pairs:
        image, alpha = read_pair(pair)
        path = tmp_path / "set" / "test" / "foreground" / (pair.stem + ".png")
        cutout = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert np.abs(cutout[..., 3] / 255 - alpha).max() < 0.003
        red, green, _ = image[alpha == 0].mean(axis=0)
        green_backgrounds += green > 2 * red
    assert len(pairs) == 4 and green_backgrounds >= 2


@pytest.mark.parametrize(
    "flags, tokens",
    [
        pytest.param(["--backgrounds_path", "."], ["--backgrounds_path", "varied"], id="plain"),
        pytest.param(["--looks", "varied", "--frames", "2"], ["--frames", "plain"], id="clips"),
        pytest.param(["--frames", "100001"], ["--frames", "100000"], id="many frames"),
    ],
)
def test_command_refuses_options(tmp_path, capfd, flags, tokens):
    assert main(["synthesize", "--output", str(tmp_path / "set"), *flags]) == 2
    assert_message(capfd.readouterr().err, *tokens)


def test_command_accepts_old_name_of_output(tmp_path):
    main(["synthesize", "--dataset_path", str(tmp_path), "--shape", "32", "32", "--pictures", "1"])
    assert len(find_dataset(str(tmp_path), "test")) == 1
