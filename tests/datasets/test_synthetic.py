import cv2
import numpy as np

from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.datasets.synthetic import draw_clip, draw_portrait, draw_scene, synthesize
from mmnet.io.images import save_png


def test_seeded():
    def draw(seed):
        return draw_portrait(np.random.RandomState(seed), (100, 75))

    image, alpha = draw(3)
    again, alpha_again = draw(3)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(alpha, alpha_again)
    assert np.abs(draw(4)[1] - alpha).mean() > 0.01


def test_a_person_with_a_soft_edge():
    image, alpha = draw_portrait(np.random.RandomState(0))
    assert image.shape == (800, 600, 3) and image.dtype == np.uint8
    assert alpha.shape == (800, 600) and alpha.dtype == np.float32
    assert alpha.min() == 0 and 0.999 < alpha.max() <= 1
    assert 0.2 < alpha.mean() < 0.8
    assert 0.005 < np.mean((alpha > 0.02) & (alpha < 0.98)) < 0.1
    assert alpha[:20].max() == 0 and alpha[-1, 300] > 0.999  # sky above, a body below


def test_written_as_a_data_set(tmp_path):
    synthesize(str(tmp_path), "train", 3, seed=5, shape=(80, 60))
    pairs = find_dataset(str(tmp_path), "train").pairs
    assert [pair.stem for pair in pairs] == ["portrait5_0000", "portrait5_0001", "portrait5_0002"]
    image, alpha = read_pair(pairs[1])
    drawn, true_alpha = draw_portrait(np.random.RandomState([5, 1]), (80, 60))
    np.testing.assert_allclose(alpha, true_alpha, atol=0.5 / 255 + 1e-6)
    assert np.abs(image.astype(float) - drawn).mean() < 6  # JPEG of quality 95


def test_a_varied_scene_is_what_its_parts_compose():
    backgrounds = [np.full((90, 70, 3), 200, np.uint8)]
    shares, borders = [], []
    for number in range(24):
        random = np.random.RandomState([9, number])
        image, alpha, foreground = draw_scene(random, (96, 72), backgrounds)
        assert image.shape == foreground.shape == (96, 72, 3) and image.dtype == np.uint8
        assert alpha.shape == (96, 72) and alpha.min() >= 0 and alpha.max() <= 1
        assert not foreground[alpha == 0].any()
        inside = alpha == 1
        assert np.abs(image.astype(int) - foreground)[inside].mean() < 6  # noise
        shares.append(alpha.mean())
        borders.append(alpha[-1].max())
    assert max(shares) - min(shares) > 0.3  # of many sizes
    assert np.mean(np.array(borders) > 0.99) > 0.6  # few float above the ground
    again = draw_scene(np.random.RandomState([9, 3]), (96, 72), backgrounds)
    assert np.array_equal(
        again[0], draw_scene(np.random.RandomState([9, 3]), (96, 72), backgrounds)[0]
    )


def test_varied_scenes_as_a_data_set(tmp_path, capfd):
    backgrounds = tmp_path / "rooms"
    backgrounds.mkdir()
    save_png(str(backgrounds / "a.png"), np.full((60, 60, 3), (0, 250, 0), np.uint8))
    command = ["synthesize", "--dataset_path", str(tmp_path / "set"), "--pictures", "4"]
    command += ["--shape", "64", "48", "--backgrounds_path", str(backgrounds)]
    assert main([*command, "--looks", "varied"]) == 0
    pairs = find_dataset(str(tmp_path / "set"), "test").pairs
    greens = 0
    for pair in pairs:
        image, alpha = read_pair(pair)
        cutout = tmp_path / "set" / "test" / "foreground" / (pair.stem + ".png")
        drawn = cv2.imread(str(cutout), cv2.IMREAD_UNCHANGED)
        assert np.abs(drawn[..., 3] / 255 - alpha).max() < 0.003
        greens += image[alpha == 0].mean(axis=0)[1] > 2 * image[alpha == 0].mean(axis=0)[0]
    assert len(pairs) == 4 and greens >= 2
    capfd.readouterr()
    assert main(command) == 2
    assert "--backgrounds_path goes with --looks varied" in capfd.readouterr().err
    assert main([*command[:5], "--looks", "varied", "--frames", "2"]) == 2
    assert "clips (--frames) are plain" in capfd.readouterr().err


def test_draw_clip_moves_smoothly():
    frames = list(draw_clip(np.random.RandomState(3), 6, (120, 90)))
    assert all(image.shape == (120, 90, 3) and alpha.shape == (120, 90) for image, alpha in frames)
    alphas = [alpha for _, alpha in frames]
    changes = [np.mean(np.abs(a - b)) for a, b in zip(alphas, alphas[1:])]
    assert 0 < max(changes) < 0.06
    assert np.mean(np.abs(alphas[0] - alphas[-1])) > 0.5 * max(changes)
    image, _ = next(draw_clip(np.random.RandomState(3), 6, (120, 90)))
    np.testing.assert_array_equal(image, frames[0][0])
