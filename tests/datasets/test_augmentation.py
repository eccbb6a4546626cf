"""Tests of mmnet.datasets.augmentation and mmnet.datasets.backgrounds."""

import cv2
import numpy as np
import pytest

from helpers import assert_raises
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
    plain_background,
    random_erase,
    sample_shape,
    simulate_previous_alpha,
    warp,
)
from mmnet.datasets.backgrounds import read_backgrounds, swap_background
from mmnet.io.errors import MmnetError
from mmnet.io.images import save_png

PUBLISHED = "resize_random_scale_crop_flip_rotate"
RESIZE = "resize_bilinear"
SHAPE = (64, 64)
ALL_SHAPES = pytest.mark.parametrize("shape", [SHAPE, (64, 96), (128, 64)])


class FixedNumbers:
    """A random generator that returns chosen numbers, each 0..1.

    They are stretch x, stretch y, left, top, flip, rotation, angle.
    """

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def random_sample(self, count):
        assert count == len(self.numbers)
        return self.numbers


def seeded(seed):
    return np.random.RandomState(seed)


def draw_blobs(seed, shape, channels=3):
    """Return a smooth random array, uint8."""
    small = seeded(seed).randint(0, 256, (shape[0] // 6, shape[1] // 6, channels)).astype(np.uint8)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)


def draw_sample(shape):
    """Return an image uint8 [H,W,3] and an independent mask uint8 [H,W]."""
    return draw_blobs(0, shape), draw_blobs(1, shape, channels=1)


def assert_equal_arrays(arrays, others):
    for array, other in zip(arrays, others):
        np.testing.assert_array_equal(array, other)


def corner_pixels(shape):
    """Return the corner pixels (x, y, 1) of an image, [3,4]."""
    bottom, right = shape[0] - 1, shape[1] - 1
    return np.array([[0, 0, 1], [right, 0, 1], [0, bottom, 1], [right, bottom, 1]]).T


def last_pixel(shape):
    return np.array([shape[1] - 1, shape[0] - 1])


def measure_warps(count, shape):
    """Return [count,4]: stretch x, stretch y, flipped and degrees, read from published warps."""
    sample = sample_shape(shape, PUBLISHED)
    ratio = last_pixel(sample) / last_pixel(shape)
    aspect = (shape[1] - 1) / (shape[0] - 1)
    rows = []
    for seed in range(count):
        linear = draw_warp(seeded(seed), sample, shape)[:, :2] / ratio[:, None]
        angle = np.arctan2(-linear[1, 0], linear[1, 1])
        zoom = np.cos(angle) + abs(np.sin(angle)) * max(aspect, 1 / aspect)
        lengths = np.linalg.norm(linear, axis=1) * zoom
        rows.append(np.append(1 / lengths, [np.linalg.det(linear) < 0, np.degrees(angle)]))
    return np.array(rows)


@pytest.mark.parametrize(
    "shape, policy, expected",
    [
        ((256, 256), PUBLISHED, (295, 295)),
        ((224, 224), PUBLISHED, (258, 258)),
        ((20, 20), PUBLISHED, (23, 23)),
        ((100, 100), PUBLISHED, (115, 115)),
        ([256, 224], "rich", (295, 258)),
        ((256, 256), RESIZE, (256, 256)),
        ([288, 480], RESIZE, (288, 480)),
    ],
)
def test_sample_shape(shape, policy, expected):
    assert sample_shape(shape, policy) == expected


def test_sample_shape_refuses_unknown_policy():
    with assert_raises(MmnetError, "'strong'", *POLICIES):
        sample_shape((256, 256), "strong")


@ALL_SHAPES
@pytest.mark.parametrize("policy", POLICIES)
def test_augment_is_repeatable_and_keeps_its_input(policy, shape):
    sample, copies = (draw_sample(sample_shape(shape, policy)) for _ in range(2))
    for array in sample:
        array.flags.writeable = False  # like Samples
    for seed in range(20):
        first, second = (augment(*sample, seeded(seed), shape, policy) for _ in range(2))
        assert first[0].shape == shape + (3,) and first[1].shape == shape
        assert first[0].dtype == first[1].dtype == np.uint8
        assert_equal_arrays(first, second)
    assert_equal_arrays(sample, copies)


@ALL_SHAPES
def test_resize_keeps_samples_of_its_shape(shape):
    sample = draw_sample(shape)
    assert_equal_arrays(augment(*sample, None, shape, RESIZE), sample)
    smaller = augment(*sample, None, (32, 48), RESIZE)
    assert smaller[0].shape == (32, 48, 3) and smaller[1].dtype == np.uint8
    assert smaller[0][-1, -1].tolist() == sample[0][-1, -1].tolist()


@ALL_SHAPES
def test_image_and_mask_move_together(shape):
    grey = draw_blobs(0, sample_shape(shape, PUBLISHED), channels=1)
    for seed in range(60):
        image, mask = augment(np.dstack([grey] * 3), grey, seeded(seed), shape, PUBLISHED)
        np.testing.assert_array_equal(image, np.dstack([mask] * 3))


@ALL_SHAPES
def test_neutral_warp_is_a_resize(shape):
    sample = draw_sample(sample_shape(shape, PUBLISHED))
    plain = augment(*sample, FixedNumbers(0, 0, 0, 0, 1, 1, 0), shape, PUBLISHED)
    flipped = augment(*sample, FixedNumbers(0, 0, 0, 0, 0, 1, 0), shape, PUBLISHED)
    expected = augment(*sample, None, shape, RESIZE)
    for array, flipped_array, resized in zip(plain, flipped, expected):
        # OpenCV's warp rounds positions to 1/32 pixel.
        assert np.abs(array.astype(int) - resized).max() <= 4
        assert np.abs(flipped_array[:, ::-1].astype(int) - array).max() <= 4


@ALL_SHAPES
@pytest.mark.parametrize("left", [0, 0.5, 1])
def test_crop_has_the_drawn_position(shape, left):
    height, width = sample_shape(shape, PUBLISHED)
    across = np.tile(np.linspace(0, 255, width), (height, 1)).astype(np.uint8)
    down = np.tile(np.linspace(0, 255, height)[:, None], (1, width)).astype(np.uint8)
    numbers = FixedNumbers(1, 1, left, 0.5, 1, 1, 0)
    image, mask = augment(np.dstack([across] * 3), down, numbers, shape, PUBLISHED)
    row, column = image[20, :, 0].astype(float), mask[:, 20].astype(float)
    assert row[-1] - row[0] == pytest.approx(255 / 1.15, abs=2)
    assert row[0] == pytest.approx(left * 255 * (1 - 1 / 1.15), abs=2)
    assert column[-1] - column[0] == pytest.approx(255 / 1.15, abs=2)
    assert column[0] == pytest.approx(0.5 * 255 * (1 - 1 / 1.15), abs=2)


@ALL_SHAPES
def test_rotation_keeps_the_centre(shape):
    height, width = sample_shape(shape, PUBLISHED)
    image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    mask[height // 2 - 2 : height // 2 + 2] = 255  # a horizontal bar
    angles = []
    for angle in (0, 1):
        numbers = FixedNumbers(0, 0, 0, 0, 1, 0, angle)
        rotated = augment(image, mask, numbers, shape, PUBLISHED)[1]
        y, x = np.nonzero(rotated > 127)
        slope, middle = np.polyfit(x - (shape[1] - 1) / 2, y, 1)
        angles.append(np.degrees(np.arctan(slope)))
        assert middle == pytest.approx((shape[0] - 1) / 2, abs=0.7)
    assert sorted(angles) == pytest.approx([-15, 15], abs=1)


@ALL_SHAPES
def test_published_warp_reads_no_pixel_outside(monkeypatch, shape):
    monkeypatch.setattr(module, "BORDER", cv2.BORDER_CONSTANT)  # black pixels outside
    sample = sample_shape(shape, PUBLISHED)
    white = np.full(sample + (3,), 255, np.uint8)
    corners, last = corner_pixels(shape), last_pixel(sample)[:, None]
    for angle in np.linspace(0, 1, 31):
        for numbers in ((0, 0, 0, 0, 0), (1, 1, 0, 0, 1), (1, 0, 1, 1, 0), (1, 1, 1, 1, 1)):
            random = FixedNumbers(*numbers, 0, angle)
            places = draw_warp(random, sample, shape) @ corners
            assert places.min() > -1e-9 and (places < last + 1e-9).all()
            image, mask = augment(white, white[..., 0], random, shape, PUBLISHED)
            assert image.min() >= 254 and mask.min() >= 254


@ALL_SHAPES
@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("angle", [0, 0.2, 0.3, 0.9])
def test_rotation_shows_the_largest_rectangle_and_keeps_proportions(shape, flip, angle):
    sample = sample_shape(shape, PUBLISHED)
    matrix = draw_warp(FixedNumbers(0, 0, 0, 0, flip, 0, angle), sample, shape)
    places = matrix @ corner_pixels(shape)
    touches_edges = [
        np.allclose([axis.min(), axis.max()], [0, end], rtol=0, atol=1e-9)
        for axis, end in zip(places, last_pixel(sample))
    ]
    assert all(touches_edges) if shape[0] == shape[1] else any(touches_edges)
    assert (places > -1e-9).all() and (places < last_pixel(sample)[:, None] + 1e-9).all()
    linear = matrix[:, :2] / (last_pixel(sample) / last_pixel(shape))[:, None]
    squared = linear @ linear.T  # the axes have equal lengths and a right angle
    np.testing.assert_allclose(squared, np.eye(2) * squared[0, 0], rtol=0, atol=1e-12)


@ALL_SHAPES
def test_published_warps_have_the_published_distribution(shape):
    stretch_x, stretch_y, flipped, degrees = measure_warps(2000, shape).T
    for stretch in (stretch_x, stretch_y):
        assert stretch.min() >= 1 - 1e-9 and stretch.max() <= 1.15 + 1e-9
        assert stretch.mean() == pytest.approx(1.075, abs=0.004)
    assert abs(np.corrcoef(stretch_x, stretch_y)[0, 1]) < 0.08
    rotated = np.abs(degrees) > 1e-6
    assert flipped.mean() == pytest.approx(0.5, abs=0.04)
    assert rotated.mean() == pytest.approx(0.5, abs=0.04)
    assert np.abs(degrees).max() <= 15 and np.abs(degrees).max() > 14.8
    assert degrees[rotated].mean() == pytest.approx(0, abs=1)
    assert np.abs(degrees[rotated]).mean() == pytest.approx(7.5, abs=0.5)


@ALL_SHAPES
def test_rich_changes_only_colours(shape):
    sample = draw_sample(sample_shape(shape, PUBLISHED))
    changed = 0
    for seed in range(60):
        published = augment(*sample, seeded(seed), shape, PUBLISHED)
        rich = augment(*sample, seeded(seed), shape, "rich")
        np.testing.assert_array_equal(rich[1], published[1])
        changed += (rich[0] != published[0]).any()
    assert 45 < changed < 60


@pytest.mark.parametrize("shape", [(256, 256), (256, 192)])
@pytest.mark.parametrize("change", [c for _, c in IMAGE_CHANGES], ids=lambda c: c.__name__)
def test_image_change_is_repeatable_and_moderate(change, shape):
    image, mask = draw_sample(shape)
    mask_copy, results = mask.copy(), []
    for seed in range(10):
        first, second = (change(image.copy(), mask, seeded(seed)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert first.dtype == np.uint8 and first.shape == image.shape
        results.append(first)
    np.testing.assert_array_equal(mask, mask_copy)
    assert sum((result != image).any() for result in results) >= 8
    assert sum((result != results[0]).any() for result in results) >= 8
    assert np.mean(results) == pytest.approx(image.mean(), abs=15)


@ALL_SHAPES
def test_plain_background_keeps_the_person(shape):
    image, mask = draw_blobs(0, shape), np.zeros(shape, np.uint8)
    mask[:, :20], mask[:, 20:30] = 255, 128
    for seed in range(10):
        result = plain_background(image, mask, seeded(seed)).astype(int)
        np.testing.assert_array_equal(result[:, :20], image[:, :20])
        scene = result[:, 40:]
        assert np.abs(np.diff(scene, axis=1)).max() < 10 and (scene != image[:, 40:]).any()


@ALL_SHAPES
def test_random_erase_hides_one_rectangle(shape):
    image, mask = np.full(shape + (3,), 7, np.uint8), np.zeros(shape, np.uint8)
    for seed in range(20):
        result = random_erase(image.copy(), mask, seeded(seed))
        y, x = np.nonzero((result != 7).any(axis=2))
        height, width = np.ptp(y) + 1, np.ptp(x) + 1
        assert 0.08 * shape[0] <= height <= 0.4 * shape[0]
        assert 0.08 * shape[1] <= width <= 0.4 * shape[1]
        assert len(y) == height * width


@pytest.mark.parametrize("shape", [(64, 64), (64, 96)])
def test_windows_are_smaller_or_larger_than_the_sample(shape):
    sample = sample_shape(shape, "wide")
    sides, outside, rotated = [], 0, 0
    for seed in range(300):
        matrix = draw_window(seeded(seed), sample, shape)
        places = (matrix @ corner_pixels(shape)).T / last_pixel(sample)
        across, down = np.abs(places[1] - places[0]), np.abs(places[2] - places[0])
        if across[1] == down[0] == 0:
            sides.append((across[0], down[1]))
        rotated += across[1] > 0
        outside += (places < -1e-9).any() or (places > 1 + 1e-9).any()
    smallest = WINDOW_SCALE[0] * np.exp(-ASPECT_RANGE / 2)
    largest = WINDOW_SCALE[1] * np.exp(ASPECT_RANGE / 2)
    assert smallest - 1e-9 <= np.min(sides) < 0.5 and 1.2 < np.max(sides) <= largest + 1e-9
    assert 100 < rotated < 200 and 50 < outside < 250


def test_window_moves_image_and_mask_together():
    image = np.zeros((74, 74, 3), np.uint8)
    image[20:50, 30:60] = 255
    means = []
    for seed in range(40):
        matrix = draw_window(seeded(seed), (74, 74), SHAPE)
        result, mask = warp(image, image[..., 0], matrix, SHAPE)
        np.testing.assert_array_equal(result[..., 1], mask)
        means.append(mask.mean())
    assert np.std(means) > 10  # windows of many sizes


@pytest.fixture(scope="module")
def person():
    """(image, mask) of a red disc in front of green, whose blurred edge contains green."""
    y, x = np.mgrid[:240, :240]
    mask = np.where(np.hypot(x - 120, y - 120) < 75, 255, 0).astype(np.uint8)
    alpha = (cv2.GaussianBlur(mask, (0, 0), 1.2) / np.float32(255))[..., None]
    image = np.array([200, 20, 20]) * alpha + np.array([20, 200, 20]) * (1 - alpha)
    return np.rint(image).astype(np.uint8), mask


def test_swap_background_leaves_no_halo(person):
    image, mask = person
    blue = np.full((150, 360, 3), (10, 10, 220), np.uint8)
    result, new_mask = swap_background(image, mask, blue, seeded(0))
    assert result.dtype == new_mask.dtype == np.uint8 and result.shape == image.shape
    weight = new_mask[..., None] / 255
    expected = np.array([200, 20, 20]) * weight + np.array([10, 10, 220]) * (1 - weight)
    assert np.abs(result - expected).max() < 35
    assert result[..., 1].max() < 60  # no green
    assert 0 < np.mean((new_mask > 5) & (new_mask < 250)) < 0.2  # a soft edge ...
    assert np.all(new_mask[mask == 0] < 128)  # ... inside the old outline


def test_swap_background_uses_random_crops():
    image, mask = np.zeros((80, 80, 3), np.uint8), np.zeros((80, 80), np.uint8)
    ramp = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (100, 1, 3))
    results = [swap_background(image, mask, ramp, seeded(seed))[0] for seed in range(30)]
    first, last = np.array([result[40, [0, -1], 0] for result in results], int).T
    starts, widths = np.minimum(first, last), np.abs(last - first)
    assert starts.min() < 20 and starts.max() > 80 and widths.min() >= 45 and widths.max() <= 100


@pytest.mark.parametrize("probability", [0.4, 0.1])
def test_backgrounds_are_swapped_with_their_probability(person, probability):
    options = AugmentOptions(backgrounds=[draw_blobs(1, (90, 90))], swap_probability=probability)
    swapped = 0
    for seed in range(200):
        plain = augment(*person, seeded(seed), SHAPE, RESIZE)[0]
        first, second = (
            augment(*person, seeded(seed), SHAPE, RESIZE, options)[0] for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)
        swapped += np.any(first != plain)
    assert swapped / 200 == pytest.approx(probability, abs=0.05)


def test_image_without_person_keeps_its_background():
    sample = draw_blobs(0, (40, 40)), np.zeros((40, 40), np.uint8)
    options = AugmentOptions(backgrounds=[np.zeros((40, 40, 3), np.uint8)], swap_probability=1.0)
    for seed in range(20):
        assert_equal_arrays(augment(*sample, seeded(seed), (40, 40), RESIZE, options), sample)
        background = plain_background(sample[0].copy(), sample[1], seeded(seed))
        np.testing.assert_array_equal(background, sample[0])


def test_read_backgrounds_shrinks_to_cover(tmp_path):
    with assert_raises(MmnetError, tmp_path):
        read_backgrounds(str(tmp_path), SHAPE)
    save_png(str(tmp_path / "large.png"), draw_blobs(0, (300, 200)))
    save_png(str(tmp_path / "small.png"), draw_blobs(0, (30, 200)))
    backgrounds = read_backgrounds(str(tmp_path), SHAPE)
    assert [image.shape for image in backgrounds] == [(96, 64, 3), (30, 200, 3)]


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_strength_scales_the_probability_of_changes(strength):
    image = seeded(0).randint(0, 256, (48, 48, 3)).astype(np.uint8)
    sample, options = (image, np.full((48, 48), 255, np.uint8)), AugmentOptions(strength)
    changed = 0
    for seed in range(200):
        plain = augment(*sample, seeded(seed), (40, 40), PUBLISHED)[0]
        changed += np.any(augment(*sample, seeded(seed), (40, 40), "rich", options)[0] != plain)
    unchanged = np.prod([1 - strength * probability for probability, _ in IMAGE_CHANGES])
    assert changed / 200 == pytest.approx(1 - unchanged, abs=0.08 if strength else 0)


def test_previous_alpha_is_zero_noise_or_near_the_mask(person):
    mask, random = person[1], seeded(0)
    overlaps, zeros = [], 0
    for _ in range(300):
        alpha = simulate_previous_alpha(mask, random)
        assert alpha.dtype == np.uint8 and alpha.shape == mask.shape
        zeros += not alpha.any()
        intersection = np.count_nonzero((alpha > 127) & (mask > 127))
        overlaps.append(intersection / np.count_nonzero((alpha > 127) | (mask > 127)))
    assert 0.18 < zeros / 300 < 0.32
    assert np.mean(np.array(overlaps) > 0.6) > 0.5
    assert np.mean(np.array(overlaps) == 1) < 0.05


def test_previous_alpha_is_the_fourth_channel(person):
    options = AugmentOptions(previous_alpha=True)
    image, mask = augment(*person, seeded(1), SHAPE, "rich", options)
    assert image.shape == SHAPE + (4,) and image.dtype == np.uint8
    assert_equal_arrays((image[..., :3], mask), augment(*person, seeded(1), SHAPE, "rich"))
