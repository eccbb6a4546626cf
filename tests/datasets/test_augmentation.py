import cv2
import numpy as np
import pytest

from mmnet.datasets import augmentation as module
from mmnet.datasets.augmentation import (
    ASPECT_RANGE,
    IMAGE_CHANGES,
    POLICIES,
    WINDOW_SCALE,
    AugmentOptions,
    augment,
    draw_warp,
    draw_window,
    sample_shape,
    warp,
)
from mmnet.datasets.backgrounds import swap_background

PUBLISHED = "resize_random_scale_crop_flip_rotate"
SHAPE = (64, 64)
SAMPLE = sample_shape(SHAPE, PUBLISHED)
SHAPES = [SHAPE, (64, 96), (128, 64)]
BY_SHAPE = pytest.mark.parametrize("shape", SHAPES)


class Drawn:
    """Gives chosen numbers in place of random ones, each 0..1.

    They are stretch x, stretch y, left, top, flip, turn, angle.
    """

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def random_sample(self, count):
        assert count == len(self.numbers)
        return self.numbers


def blobs(seed, shape=SAMPLE, channels=3):
    """A smooth random picture uint8."""
    small = (shape[0] // 6, shape[1] // 6, channels)
    picture = np.random.RandomState(seed).randint(0, 256, small).astype(np.uint8)
    return cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_CUBIC)


def sample_like_mask(seed=0, shape=SAMPLE):
    """An image whose three channels equal its mask."""
    mask = blobs(seed, shape, channels=1)
    return np.dstack([mask] * 3), mask


def corners_of(shape):
    """The corner pixels (x, y, 1) of a picture [3,4]."""
    bottom, right = shape[0] - 1, shape[1] - 1
    return np.array([[0, 0, 1], [right, 0, 1], [0, bottom, 1], [right, bottom, 1]]).T


def ends_of(shape):
    """The last x and the last y of a picture."""
    return np.array([shape[1] - 1, shape[0] - 1])


def warps(count, shape):
    """(stretch x, stretch y, flipped, degrees) of each of ``count`` published warps.

    They are read back from the matrices.
    """
    sample = sample_shape(shape, PUBLISHED)
    ratio = ends_of(sample) / ends_of(shape)
    aspect = (shape[1] - 1) / (shape[0] - 1)
    rows = []
    for seed in range(count):
        linear = draw_warp(np.random.RandomState(seed), sample, shape)[:, :2] / ratio[:, None]
        angle = np.arctan2(-linear[1, 0], linear[1, 1])
        zoom = np.cos(angle) + abs(np.sin(angle)) * max(aspect, 1 / aspect)
        lengths = np.linalg.norm(linear, axis=1) * zoom
        rows.append(np.append(1 / lengths, [np.linalg.det(linear) < 0, np.degrees(angle)]))
    return np.array(rows)


def test_sample_shape():
    sides = [sample_shape((size, size), PUBLISHED) for size in (256, 224, 20, 100)]
    assert sides == [(295, 295), (258, 258), (23, 23), (115, 115)]
    assert sample_shape((256, 256), "rich") == (295, 295)
    assert sample_shape((256, 256), "resize_bilinear") == (256, 256)
    assert sample_shape((256, 224), PUBLISHED) == sample_shape([256, 224], "rich") == (295, 258)
    assert sample_shape([288, 480], "resize_bilinear") == (288, 480)


def test_unknown_policies_are_named():
    known = "resize_bilinear, resize_random_scale_crop_flip_rotate, rich, wide"
    with pytest.raises(ValueError, match=known):
        augment(*sample_like_mask(), np.random.RandomState(0), SHAPE, "strong")
    with pytest.raises(ValueError, match="'strong'"):
        sample_shape((256, 256), "strong")


@BY_SHAPE
@pytest.mark.parametrize("policy", POLICIES)
def test_shape_type_and_repeatability(policy, shape):
    sample = sample_shape(shape, policy)
    image, mask = blobs(1, sample), blobs(2, sample, 1)
    kept = image.copy(), mask.copy()
    for picture in (image, mask):
        picture.flags.writeable = False  # as samples are
    for seed in range(20):
        once, again = (
            augment(image, mask, np.random.RandomState(seed), shape, policy) for _ in range(2)
        )
        assert once[0].shape == shape + (3,) and once[1].shape == shape
        assert once[0].dtype == once[1].dtype == np.uint8
        np.testing.assert_array_equal(once[0], again[0])
        np.testing.assert_array_equal(once[1], again[1])
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(mask, kept[1])


@BY_SHAPE
def test_resize_draws_nothing_and_changes_nothing_at_its_shape(shape):
    image, mask = blobs(0, shape), blobs(1, shape, 1)
    result = augment(image, mask, None, shape, "resize_bilinear")
    np.testing.assert_array_equal(result[0], image)
    np.testing.assert_array_equal(result[1], mask)
    smaller = augment(image, mask, None, (32, 48), "resize_bilinear")
    assert smaller[0].shape == (32, 48, 3) and smaller[1].dtype == np.uint8
    assert smaller[0][-1, -1].tolist() == image[-1, -1].tolist()


@BY_SHAPE
def test_image_and_mask_move_together_exactly(shape):
    sample = sample_like_mask(shape=sample_shape(shape, PUBLISHED))
    for seed in range(60):
        image, mask = augment(*sample, np.random.RandomState(seed), shape, PUBLISHED)
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], mask)


@BY_SHAPE
def test_without_any_change_it_is_a_resize(shape):
    sample = sample_shape(shape, PUBLISHED)
    image, mask = blobs(0, sample), blobs(1, sample, channels=1)
    plain = augment(image, mask, Drawn(0, 0, 0, 0, 1, 1, 0), shape, PUBLISHED)
    expected = augment(image, mask, None, shape, "resize_bilinear")
    for picture, resized in zip(plain, expected):
        # OpenCV's warp places pixels to 1/32.
        assert np.abs(picture.astype(int) - resized).max() <= 4
    flipped = augment(image, mask, Drawn(0, 0, 0, 0, 0, 1, 0), shape, PUBLISHED)
    for picture, other in zip(flipped, plain):
        assert np.abs(picture[:, ::-1].astype(int) - other).max() <= 4


@BY_SHAPE
def test_the_crop_lies_where_it_was_drawn(shape):
    height, width = sample_shape(shape, PUBLISHED)
    across = np.tile(np.linspace(0, 255, width), (height, 1)).astype(np.uint8)
    down = np.tile(np.linspace(0, 255, height)[:, None], (1, width)).astype(np.uint8)
    for left in (0, 0.5, 1):
        drawn = Drawn(1, 1, left, 0.5, 1, 1, 0)
        result = augment(np.dstack([across] * 3), down, drawn, shape, PUBLISHED)
        row, column = result[0][20, :, 0].astype(float), result[1][:, 20].astype(float)
        assert row[-1] - row[0] == pytest.approx(255 / 1.15, abs=2)
        assert row[0] == pytest.approx(left * 255 * (1 - 1 / 1.15), abs=2)
        assert column[-1] - column[0] == pytest.approx(255 / 1.15, abs=2)
        assert column[0] == pytest.approx(0.5 * 255 * (1 - 1 / 1.15), abs=2)


@BY_SHAPE
def test_a_rotation_turns_about_the_centre(shape):
    height, width = sample_shape(shape, PUBLISHED)
    image = np.zeros((height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 - 2 : height // 2 + 2] = 255  # a level bar
    angles = []
    for angle in (0, 1):
        turned = augment(image, mask, Drawn(0, 0, 0, 0, 1, 0, angle), shape, PUBLISHED)[1]
        y, x = np.nonzero(turned > 127)
        slope, middle = np.polyfit(x - (shape[1] - 1) / 2, y, 1)
        angles.append(np.degrees(np.arctan(slope)))
        assert middle == pytest.approx((shape[0] - 1) / 2, abs=0.7)
    assert sorted(angles) == pytest.approx([-15, 15], abs=1)


@BY_SHAPE
def test_no_dark_corners_at_any_angle(monkeypatch, shape):
    # Black shows every pixel from outside.
    monkeypatch.setattr(module, "BORDER", cv2.BORDER_CONSTANT)
    sample = sample_shape(shape, PUBLISHED)
    white = np.full(sample + (3,), 255, np.uint8)
    corners, ends = corners_of(shape), ends_of(sample)[:, None]
    for angle in np.linspace(0, 1, 31):
        for place in ((0, 0, 0, 0, 0), (1, 1, 0, 0, 1), (1, 0, 1, 1, 0), (1, 1, 1, 1, 1)):
            drawn = Drawn(*place, 0, angle)
            places = draw_warp(drawn, sample, shape) @ corners
            assert places.min() > -1e-9 and (places < ends + 1e-9).all()
            image, mask = augment(white, white[..., 0], drawn, shape, PUBLISHED)
            assert image.min() >= 254 and mask.min() >= 254


@BY_SHAPE
def test_the_rectangle_cut_from_a_rotation_is_the_largest(shape):
    sample = sample_shape(shape, PUBLISHED)
    for angle in (0, 0.2, 0.9):
        places = draw_warp(Drawn(0, 0, 0, 0, 1, 0, angle), sample, shape) @ corners_of(shape)
        touched = [
            np.allclose([along.min(), along.max()], [0, end], rtol=0, atol=1e-9)
            for along, end in zip(places, ends_of(sample))
        ]
        assert all(touched) if shape[0] == shape[1] else any(touched)  # it touches the edge
        assert (places > -1e-9).all() and (places < ends_of(sample)[:, None] + 1e-9).all()


@BY_SHAPE
def test_a_turned_picture_keeps_its_proportions(shape):
    """In the result's own pixels, a turn is a turn: both axes stay as long and at right angles."""
    sample = sample_shape(shape, PUBLISHED)
    ratio = ends_of(sample) / ends_of(shape)
    for flip in (0, 1):
        for angle in (0, 0.3, 0.9):
            warp = draw_warp(Drawn(0, 0, 0, 0, flip, 0, angle), sample, shape)
            linear = warp[:, :2] / ratio[:, None]
            squared = linear @ linear.T
            np.testing.assert_allclose(squared, np.eye(2) * squared[0, 0], rtol=0, atol=1e-12)


@BY_SHAPE
def test_how_often_and_how_far(shape):
    stretch_x, stretch_y, flipped, degrees = warps(2000, shape).T
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


@BY_SHAPE
def test_rich_leaves_the_mask_to_geometry(shape):
    sample = sample_shape(shape, PUBLISHED)
    image, mask = blobs(0, sample), blobs(1, sample, channels=1)
    changed = 0
    for seed in range(60):
        published = augment(image, mask, np.random.RandomState(seed), shape, PUBLISHED)
        rich = augment(image, mask, np.random.RandomState(seed), shape, "rich")
        np.testing.assert_array_equal(rich[1], published[1])
        changed += (rich[0] != published[0]).any()
    assert 45 < changed < 60


CHANGES = [change for _, change in IMAGE_CHANGES]


@pytest.mark.parametrize("shape", [(256, 256), (256, 192)])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_image_change(change, shape):
    image, mask = blobs(0, shape), blobs(1, shape, 1)
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


@BY_SHAPE
def test_background_keeps_the_person(shape):
    image, mask = blobs(0, shape), np.zeros(shape, np.uint8)
    mask[:, :20], mask[:, 20:30] = 255, 128
    for seed in range(10):
        result = module.plain_background(image, mask, np.random.RandomState(seed)).astype(int)
        np.testing.assert_array_equal(result[:, :20], image[:, :20])
        scene = result[:, 40:]
        assert np.abs(np.diff(scene, axis=1)).max() < 10 and (scene != image[:, 40:]).any()


@BY_SHAPE
def test_cut_out_is_one_rectangle(shape):
    image, mask = np.full(shape + (3,), 7, np.uint8), np.zeros(shape, np.uint8)
    for seed in range(20):
        result = module.random_erase(image.copy(), mask, np.random.RandomState(seed))
        y, x = np.nonzero((result != 7).any(axis=2))
        for extent, side in ((np.ptp(y) + 1, shape[0]), (np.ptp(x) + 1, shape[1])):
            assert 0.08 * side <= extent <= 0.4 * side
        assert len(y) == (np.ptp(y) + 1) * (np.ptp(x) + 1)


@pytest.mark.parametrize("shape", [(64, 64), (64, 96)])
def test_wide_shows_windows_smaller_and_larger_than_the_sample(shape):
    """A ramp from corner to corner: what the ends of the result show says where they lie."""
    sample = sample_shape(shape, "wide")
    last = np.array([sample[1] - 1, sample[0] - 1])
    sides, outside, turned = [], 0, 0
    for seed in range(300):
        matrix = draw_window(np.random.RandomState(seed), sample, shape)
        ends = np.array(
            [[0, 0], [shape[1] - 1, 0], [0, shape[0] - 1], [shape[1] - 1, shape[0] - 1]]
        )
        places = (np.column_stack([ends, np.ones(4)]).dot(matrix.T)) / last
        across, down = np.abs(places[1] - places[0]), np.abs(places[2] - places[0])
        if across[1] == down[0] == 0:
            sides.append((across[0], down[1]))
        turned += across[1] > 0
        outside += (places < -1e-9).any() or (places > 1 + 1e-9).any()
    low, high = (
        WINDOW_SCALE[0] * np.exp(-ASPECT_RANGE / 2),
        WINDOW_SCALE[1] * np.exp(ASPECT_RANGE / 2),
    )
    assert np.min(sides) >= low - 1e-9 and np.max(sides) <= high + 1e-9
    assert np.min(sides) < 0.5 and np.max(sides) > 1.2
    assert 100 < turned < 200 and 50 < outside < 250


def test_wide_moves_image_and_mask_together():
    image = np.zeros((74, 74, 3), np.uint8)
    image[20:50, 30:60] = 255
    agree = []
    for seed in range(40):
        random = np.random.RandomState(seed)
        picture, mask = warp(
            image, image[..., 0], draw_window(random, (74, 74), (64, 64)), (64, 64)
        )
        np.testing.assert_array_equal(picture[..., 1], mask)
        agree.append(mask.mean())
    assert np.std(agree) > 10  # windows of many sizes


def person():
    """(image, mask): a red disc with green light around it in its edge, before green."""
    y, x = np.mgrid[:240, :240]
    mask = np.where(np.hypot(x - 120, y - 120) < 75, 255, 0).astype(np.uint8)
    seen = cv2.GaussianBlur(mask, (0, 0), 1.2) / np.float32(255)
    image = np.array([200, 20, 20]) * seen[..., None] + np.array([20, 200, 20]) * (
        1 - seen[..., None]
    )
    return np.rint(image).astype(np.uint8), mask


def test_a_person_before_another_background_brings_no_halo():
    image, mask = person()
    blue = np.full((150, 360, 3), (10, 10, 220), np.uint8)
    result, alpha = swap_background(image, mask, blue, np.random.RandomState(0))
    assert result.dtype == alpha.dtype == np.uint8 and result.shape == image.shape
    weight = alpha[..., None] / 255
    expected = np.array([200, 20, 20]) * weight + np.array([10, 10, 220]) * (1 - weight)
    assert np.abs(result - expected).max() < 35
    assert result[..., 1].max() < 60  # the green is gone
    assert 0 < np.mean((alpha > 5) & (alpha < 250)) < 0.2  # a soft edge ...
    assert np.all(alpha[mask == 0] < 128)  # ... inside the old outline


def test_where_the_background_comes_from():
    image, mask = np.zeros((80, 80, 3), np.uint8), np.zeros((80, 80), np.uint8)
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    starts, widths = set(), set()
    for seed in range(30):
        row = swap_background(image, mask, ramp, np.random.RandomState(seed))[0][40, :, 0].astype(
            int
        )
        starts.add(min(row[0], row[-1]))
        widths.add(abs(row[-1] - row[0]))
    assert min(starts) < 20 and max(starts) > 80 and max(widths) <= 100 and min(widths) >= 45


@pytest.mark.parametrize("policy, share", [("resize_bilinear", 0.4), ("wide", 0.1)])
def test_backgrounds_are_drawn_for_their_share_of_the_pictures(policy, share):
    image, mask = person()
    blue = [np.full((90, 90, 3), (0, 0, 255), np.uint8)]
    changed = 0
    for seed in range(200):
        results = [
            augment(image, mask, np.random.RandomState(seed), SHAPE, "resize_bilinear", changes)
            for changes in (
                AugmentOptions(),
                AugmentOptions(backgrounds=blue, swap_probability=share),
            )
        ]
        changed += np.any(results[0][0] != results[1][0])
    assert changed / 200 == pytest.approx(share, abs=0.05)
    twice = [
        augment(
            image, mask, np.random.RandomState(3), SHAPE, policy, AugmentOptions(backgrounds=blue)
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(twice[0][0], twice[1][0])


def test_the_strength_multiplies_how_often_colours_change():
    image = np.random.RandomState(0).randint(0, 256, (48, 48, 3)).astype(np.uint8)
    mask = np.full((48, 48), 255, np.uint8)

    def changed(strength):
        """Share of 200 pictures whose colours are not those of geometry alone."""
        count = 0
        for seed in range(200):
            random = np.random.RandomState(seed)
            plain = augment(image, mask, random, (40, 40), PUBLISHED)[0]
            random = np.random.RandomState(seed)
            rich = augment(image, mask, random, (40, 40), "rich", AugmentOptions(strength))[0]
            count += np.any(plain != rich)
        return count / 200

    assert changed(0.0) == 0
    unchanged = [np.prod([1 - strength * p for p, _ in IMAGE_CHANGES]) for strength in (0.3, 1)]
    assert changed(0.3) == pytest.approx(1 - unchanged[0], abs=0.08)
    assert changed(1.0) == pytest.approx(1 - unchanged[1], abs=0.05)


def test_a_picture_without_a_person_stays_before_its_own_background():
    image = np.random.RandomState(0).randint(0, 256, (40, 40, 3)).astype(np.uint8)
    nothing = np.zeros((40, 40), np.uint8)
    scenes = [np.zeros((40, 40, 3), np.uint8)]
    for seed in range(20):
        random = np.random.RandomState(seed)
        same, mask = augment(
            image, nothing, random, (40, 40), "resize_bilinear", AugmentOptions(backgrounds=scenes)
        )
        np.testing.assert_array_equal(same, image)
        assert not mask.any()
        np.testing.assert_array_equal(module.plain_background(image.copy(), nothing, random), image)


def test_the_alpha_before_is_like_the_mask_or_nothing_or_noise():
    mask = person()[1]
    random = np.random.RandomState(0)
    overlaps, nothing = [], 0
    for _ in range(300):
        before = module.simulate_previous_alpha(mask, random)
        assert before.dtype == np.uint8 and before.shape == mask.shape
        nothing += not before.any()
        shared = np.count_nonzero((before > 127) & (mask > 127))
        overlaps.append(shared / np.count_nonzero((before > 127) | (mask > 127)))
    assert 0.18 < nothing / 300 < 0.32
    assert np.mean(np.array(overlaps) > 0.6) > 0.5  # most of them are near the mask
    assert np.mean(np.array(overlaps) == 1) < 0.05  # and hardly any is the mask itself


def test_a_fourth_channel_is_added_where_asked():
    image, mask = person()
    changes = AugmentOptions(previous_alpha=True)
    four, alpha = augment(image, mask, np.random.RandomState(1), SHAPE, "rich", changes)
    three, same = augment(image, mask, np.random.RandomState(1), SHAPE, "rich")
    assert four.shape == SHAPE + (4,) and four.dtype == np.uint8
    np.testing.assert_array_equal(four[..., :3], three)
    np.testing.assert_array_equal(alpha, same)
