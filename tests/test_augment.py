import cv2
import numpy as np
import pytest

from mmnet.data import augment as module
from mmnet.data.augment import IMAGE_CHANGES, POLICIES, augment, draw_warp, sample_side

SIZE = 64
PUBLISHED = "resize_random_scale_crop_flip_rotate"
SIDE = sample_side(SIZE, PUBLISHED)


class Drawn:
    """Gives chosen numbers in place of random ones: stretch x, stretch y, left, top, flip, turn, angle (each 0..1)."""

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def random_sample(self, count):
        assert count == len(self.numbers)
        return self.numbers


def blobs(seed, side=SIDE, channels=3):
    """A smooth random picture uint8."""
    picture = np.random.RandomState(seed).randint(0, 256, (side // 6, side // 6, channels)).astype(np.uint8)
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)


def sample_like_mask(seed=0):
    """An image whose three channels equal its mask."""
    mask = blobs(seed, channels=1)
    return np.dstack([mask] * 3), mask


def warps(count):
    """(stretch x, stretch y, flipped, degrees) of each of ``count`` published warps, read back from the matrices."""
    rows = []
    for seed in range(count):
        linear = draw_warp(np.random.RandomState(seed), SIDE, SIZE)[:, :2]
        angle = np.arctan2(-linear[1, 0], linear[1, 1])
        zoom = np.cos(angle) + abs(np.sin(angle))
        lengths = np.linalg.norm(linear, axis=1) * zoom
        rows.append(np.append((SIDE - 1) / (SIZE - 1) / lengths, [np.linalg.det(linear) < 0, np.degrees(angle)]))
    return np.array(rows)


def test_sample_side():
    assert [sample_side(size, PUBLISHED) for size in (256, 224, 20, 100)] == [295, 258, 23, 115]
    assert sample_side(256, "rich") == 295
    assert sample_side(256, "resize_bilinear") == 256


def test_unknown_policies_are_named():
    with pytest.raises(ValueError, match="resize_bilinear, resize_random_scale_crop_flip_rotate, rich, not 'strong'"):
        augment(*sample_like_mask(), np.random.RandomState(0), SIZE, "strong")
    with pytest.raises(ValueError, match="not 'strong'"):
        sample_side(256, "strong")


@pytest.mark.parametrize("policy", POLICIES)
def test_shape_type_and_repeatability(policy):
    side = sample_side(SIZE, policy)
    image, mask = blobs(1, side), blobs(2, side, 1)
    kept = image.copy(), mask.copy()
    for picture in (image, mask):
        picture.flags.writeable = False  # as samples are
    for seed in range(20):
        once, again = (augment(image, mask, np.random.RandomState(seed), SIZE, policy) for _ in range(2))
        assert once[0].shape == (SIZE, SIZE, 3) and once[1].shape == (SIZE, SIZE)
        assert once[0].dtype == once[1].dtype == np.uint8
        np.testing.assert_array_equal(once[0], again[0])
        np.testing.assert_array_equal(once[1], again[1])
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(mask, kept[1])


def test_resize_draws_nothing_and_changes_nothing_at_its_size():
    image, mask = blobs(0, SIZE), blobs(1, SIZE, 1)
    result = augment(image, mask, None, SIZE, "resize_bilinear")
    np.testing.assert_array_equal(result[0], image)
    np.testing.assert_array_equal(result[1], mask)
    smaller = augment(image, mask, None, 32, "resize_bilinear")
    assert smaller[0].shape == (32, 32, 3) and smaller[1].dtype == np.uint8
    assert smaller[0][-1, -1].tolist() == image[-1, -1].tolist()


def test_image_and_mask_move_together_exactly():
    for seed in range(60):
        image, mask = augment(*sample_like_mask(), np.random.RandomState(seed), SIZE, PUBLISHED)
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], mask)


def test_without_any_change_it_is_a_resize():
    image, mask = blobs(0), blobs(1, channels=1)
    plain = augment(image, mask, Drawn(0, 0, 0, 0, 1, 1, 0), SIZE, PUBLISHED)
    expected = augment(image, mask, None, SIZE, "resize_bilinear")
    for picture, resized in zip(plain, expected):
        assert np.abs(picture.astype(int) - resized).max() <= 4  # OpenCV's warp places pixels to 1/32
    flipped = augment(image, mask, Drawn(0, 0, 0, 0, 0, 1, 0), SIZE, PUBLISHED)
    for picture, other in zip(flipped, plain):
        assert np.abs(picture[:, ::-1].astype(int) - other).max() <= 4


def test_the_crop_lies_where_it_was_drawn():
    across = np.tile(np.linspace(0, 255, SIDE), (SIDE, 1)).astype(np.uint8)
    for left in (0, 0.5, 1):
        result = augment(np.dstack([across] * 3), across.T.copy(), Drawn(1, 1, left, 0.5, 1, 1, 0), SIZE, PUBLISHED)
        row, column = result[0][20, :, 0].astype(float), result[1][:, 20].astype(float)
        assert row[-1] - row[0] == pytest.approx(255 / 1.15, abs=2)
        assert row[0] == pytest.approx(left * 255 * (1 - 1 / 1.15), abs=2)
        assert column[0] == pytest.approx(0.5 * 255 * (1 - 1 / 1.15), abs=2)


def test_a_rotation_turns_about_the_centre():
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[SIDE // 2 - 2:SIDE // 2 + 2] = 255  # a level bar
    angles = []
    for angle in (0, 1):
        turned = augment(image, mask, Drawn(0, 0, 0, 0, 1, 0, angle), SIZE, PUBLISHED)[1]
        y, x = np.nonzero(turned > 127)
        slope, middle = np.polyfit(x - (SIZE - 1) / 2, y, 1)
        angles.append(np.degrees(np.arctan(slope)))
        assert middle == pytest.approx((SIZE - 1) / 2, abs=0.7)
    assert sorted(angles) == pytest.approx([-15, 15], abs=1)


def test_no_dark_corners_at_any_angle(monkeypatch):
    monkeypatch.setattr(module, "BORDER", cv2.BORDER_CONSTANT)  # black: shows every pixel from outside
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    corners = np.array([[0, 0, 1], [SIZE - 1, 0, 1], [0, SIZE - 1, 1], [SIZE - 1, SIZE - 1, 1]]).T
    for angle in np.linspace(0, 1, 31):
        for place in ((0, 0, 0, 0, 0), (1, 1, 0, 0, 1), (1, 0, 1, 1, 0), (1, 1, 1, 1, 1)):
            drawn = Drawn(*place, 0, angle)
            places = draw_warp(drawn, SIDE, SIZE) @ corners
            assert places.min() > -1e-9 and places.max() < SIDE - 1 + 1e-9
            image, mask = augment(white, white[..., 0], drawn, SIZE, PUBLISHED)
            assert image.min() >= 254 and mask.min() >= 254


def test_the_square_cut_from_a_rotation_is_the_largest():
    for angle in (0, 0.2, 0.9):
        places = draw_warp(Drawn(0, 0, 0, 0, 1, 0, angle), SIDE, SIZE) @ np.array(
            [[0, 0, 1], [SIZE - 1, 0, 1], [0, SIZE - 1, 1], [SIZE - 1, SIZE - 1, 1]]).T
        np.testing.assert_allclose([places.min(), places.max()], [0, SIDE - 1], atol=1e-9)  # it touches the edge


def test_how_often_and_how_far():
    stretch_x, stretch_y, flipped, degrees = warps(2000).T
    for stretch in (stretch_x, stretch_y):
        assert stretch.min() >= 1 - 1e-9 and stretch.max() <= 1.15 + 1e-9
        assert stretch.mean() == pytest.approx(1.075, abs=0.004)
    assert abs(np.corrcoef(stretch_x, stretch_y)[0, 1]) < 0.08
    turned = np.abs(degrees) > 1e-6
    assert flipped.mean() == pytest.approx(0.5, abs=0.04)
    assert turned.mean() == pytest.approx(0.5, abs=0.04)
    assert np.abs(degrees).max() <= 15 and np.abs(degrees).max() > 14.8
    assert degrees[turned].mean() == pytest.approx(0, abs=1)
    assert np.abs(degrees[turned]).mean() == pytest.approx(7.5, abs=0.5)


def test_rich_leaves_the_mask_to_geometry():
    image, mask = blobs(0), blobs(1, channels=1)
    changed = 0
    for seed in range(60):
        published = augment(image, mask, np.random.RandomState(seed), SIZE, PUBLISHED)
        rich = augment(image, mask, np.random.RandomState(seed), SIZE, "rich")
        np.testing.assert_array_equal(rich[1], published[1])
        changed += (rich[0] != published[0]).any()
    assert 45 < changed < 60


@pytest.mark.parametrize("change", [change for _, change in IMAGE_CHANGES], ids=lambda change: change.__name__)
def test_each_image_change(change):
    image, mask = blobs(0, 256), blobs(1, 256, 1)
    kept = mask.copy()
    results = []
    for seed in range(10):
        once, again = (change(image.copy(), mask, np.random.RandomState(seed)) for _ in range(2))
        np.testing.assert_array_equal(once, again)
        assert once.dtype == np.uint8 and once.shape == image.shape
        results.append(once)
    np.testing.assert_array_equal(mask, kept)
    assert sum((result != image).any() for result in results) >= 8
    assert sum((result != results[0]).any() for result in results) >= 8
    assert np.mean(results) == pytest.approx(image.mean(), abs=15)  # a change, not a ruin


def test_background_keeps_the_person():
    image, mask = blobs(0, SIZE), np.zeros((SIZE, SIZE), np.uint8)
    mask[:, :20], mask[:, 20:30] = 255, 128
    for seed in range(10):
        result = module.background(image, mask, np.random.RandomState(seed)).astype(int)
        np.testing.assert_array_equal(result[:, :20], image[:, :20])
        scene = result[:, 40:]
        assert np.abs(np.diff(scene, axis=1)).max() < 10 and (scene != image[:, 40:]).any()


def test_cut_out_is_one_rectangle():
    image, mask = np.full((SIZE, SIZE, 3), 7, np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    for seed in range(20):
        y, x = np.nonzero((module.cut_out(image.copy(), mask, np.random.RandomState(seed)) != 7).any(axis=2))
        height, width = np.ptp(y) + 1, np.ptp(x) + 1
        assert 0.08 * SIZE <= min(height, width) and max(height, width) <= 0.4 * SIZE
        assert len(y) == height * width
