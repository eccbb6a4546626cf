import numpy as np

from mmnet.data.pairs import find_data_set, read_pair
from mmnet.data.synthetic import draw_portrait, synthesize


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
    pairs = find_data_set(str(tmp_path), "train").pairs
    assert [pair.stem for pair in pairs] == ["portrait5_0000", "portrait5_0001", "portrait5_0002"]
    image, alpha = read_pair(pairs[1])
    drawn, true_alpha = draw_portrait(np.random.RandomState([5, 1]), (80, 60))
    np.testing.assert_allclose(alpha, true_alpha, atol=0.5 / 255 + 1e-6)
    assert np.abs(image.astype(float) - drawn).mean() < 6  # JPEG of quality 95
