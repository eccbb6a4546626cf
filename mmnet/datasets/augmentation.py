"""Augmentation: make a training image from a sample and random numbers. No TensorFlow.

One warp moves the image and its mask together. Every other change affects only the image.
"""

import math
from typing import NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from mmnet.datasets.backgrounds import swap_background
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear

# Published geometry.
MAX_STRETCH = 0.15  # each axis is stretched by a factor from 1 to 1 + MAX_STRETCH
MAX_ROTATION = 15  # degrees, in both directions
FLIP_PROBABILITY = ROTATION_PROBABILITY = 0.5
# Windows of the policy "wide".
WINDOW_PROBABILITY = 0.5
WINDOW_SCALE = (0.45, 1.4)  # sides of the window, as fractions of the sample's sides
ASPECT_RANGE = 0.3  # log aspect ratio of the window differs from the sample's by up to half of it
ANTIALIAS_STEP = 1.3  # sample pixels per output pixel above which the image is blurred first
ANTIALIAS_SIGMA = 0.4  # sample pixels per step
# Rounding alone can make the published geometry read a pixel outside the sample.
BORDER = cv2.BORDER_REFLECT_101

PIXEL_LEVELS = np.arange(256, dtype=np.float64)
Arrays = Tuple[np.ndarray, np.ndarray]  # (image uint8 [H,W,3], mask uint8 [H,W])


class AugmentOptions(NamedTuple):
    """Changes in addition to the geometry of a policy."""

    strength: float = 1.0  # factor of the probabilities in IMAGE_CHANGES
    backgrounds: Sequence[np.ndarray] = ()  # uint8 [h,w,3], of any size
    swap_probability: float = 0.4  # probability of one of the backgrounds
    previous_alpha: bool = False  # add a fourth channel: a simulated alpha of the previous frame


def sample_shape(shape: Tuple[int, int], policy: str) -> Tuple[int, int]:
    """Return the shape of samples, large enough that the largest stretch loses no resolution."""
    if policy not in POLICIES:
        raise MmnetError(f"unknown augmentation {policy!r}; must be one of {', '.join(POLICIES)}")
    if policy == "resize_bilinear":
        return shape[0], shape[1]
    height, width = (math.ceil(round(side * (1 + MAX_STRETCH), 6)) for side in shape)
    return height, width


def augment(
    image: np.ndarray,
    mask: np.ndarray,
    random: np.random.RandomState,
    shape: Tuple[int, int],
    policy: str,
    options: AugmentOptions = AugmentOptions(),
) -> Arrays:
    """Make a training image of ``shape`` from a sample: image uint8 [h,w,3] and mask uint8 [h,w].

    The same random state gives the same result. An image without a person keeps its background.

    Returns:
        (image uint8 [H,W,3], or [H,W,4] with a previous alpha, mask uint8 [H,W]). They may be the
        arguments themselves, so do not write to them.
    """
    backgrounds = options.backgrounds
    if len(backgrounds) and random.random_sample() < options.swap_probability and mask.any():
        background = backgrounds[random.randint(len(backgrounds))]
        image, mask = swap_background(image, mask, background, random)
    image, mask = POLICIES[policy](image, mask, random, tuple(shape))
    if policy in COLOUR_POLICIES:
        for probability, change in IMAGE_CHANGES:
            if random.random_sample() < probability * options.strength:
                image = change(image, mask, random)
    if options.previous_alpha:
        image = np.dstack([image, simulate_previous_alpha(mask, random)])
    return image, mask


def resize(image, mask, random, shape) -> Arrays:
    """Resize with aligned corners. It draws no random number."""
    if mask.shape == shape:
        return image, mask
    image = np.rint(resize_bilinear(image, shape, align_corners=True)).astype(np.uint8)
    mask = np.rint(resize_bilinear(mask, shape, align_corners=True)).astype(np.uint8)
    return image, mask


def scale_crop_flip_rotate(image, mask, random, shape) -> Arrays:
    """Apply the published augmentation."""
    return warp(image, mask, draw_warp(random, mask.shape, shape), shape)


def scale_or_window(image, mask, random, shape) -> Arrays:
    """Apply the published geometry, or show a window of the sample.

    The published geometry shows only people who fill the image. A window may be smaller or larger
    than the sample. Outside the sample it mirrors the image, as inference does.
    """
    if random.random_sample() < WINDOW_PROBABILITY:
        return scale_crop_flip_rotate(image, mask, random, shape)
    matrix = draw_window(random, mask.shape, shape)
    step = np.hypot(*matrix[:, :2]).max()  # sample pixels per output pixel
    if step > ANTIALIAS_STEP:
        image = cv2.GaussianBlur(image, (0, 0), ANTIALIAS_SIGMA * step)
    return warp(image, mask, matrix, shape)


def warp(image, mask, matrix: np.ndarray, shape: Tuple[int, int]) -> Arrays:
    """Warp image and mask together by a matrix of draw_warp or draw_window."""
    merged, flags = cv2.merge((image, mask)), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(merged, matrix, shape[::-1], flags=flags, borderMode=BORDER)
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), cv2.extractChannel(warped, 3)


def draw_warp(random, sample: Tuple[int, int], shape: Tuple[int, int]) -> np.ndarray:
    """Draw the published geometry with seven random numbers.

    Each axis is stretched by its own factor and cropped. The image may be flipped. It may be
    rotated, cropped to the largest centred rectangle of the same aspect ratio without pixels from
    outside, and enlarged again.

    Returns:
        float64 [2,3]: maps a pixel (x, y, 1) of ``shape`` to a pixel of the sample's shape.
    """
    numbers = random.random_sample(7)  # stretch x, stretch y, left, top, flip, rotation, angle
    last, sample_last = _last_pixel(shape), _last_pixel(sample)  # corner pixels coincide
    stretch = 1 + MAX_STRETCH * numbers[:2]
    offset = numbers[2:4] * (stretch - 1) * last
    linear = _rotate_and_flip(*numbers[4:])
    aspect = last[0] / last[1]
    linear /= linear[1, 1] + abs(linear[1, 0]) * max(aspect, 1 / aspect)  # fit the rectangle
    scale = sample_last / (stretch * last)
    shift = last / 2 + offset - linear.dot(last) / 2  # rotation and flip keep the centre
    return np.column_stack([linear, shift]) * scale[:, None]


def draw_window(random, sample: Tuple[int, int], shape: Tuple[int, int]) -> np.ndarray:
    """Draw a window of the sample as a matrix like draw_warp, with seven random numbers.

    Its sides are WINDOW_SCALE times the sample's, with another aspect ratio; it may be rotated and
    flipped. A small window lies inside the sample, a large window contains it.
    """
    numbers = random.random_sample(7)  # zoom, aspect, left, top, flip, rotation, angle
    low, high = np.log(WINDOW_SCALE)
    zoom, aspect = low + numbers[0] * (high - low), ASPECT_RANGE * (numbers[1] - 0.5)
    window = np.exp([zoom + aspect, zoom - aspect])
    centre = 0.5 + (numbers[2:4] - 0.5) * np.abs(1 - window)
    last, sample_last = _last_pixel(shape), _last_pixel(sample)
    # Result and sample are measured in their own sides: a rotated window stays a rectangle.
    linear = _rotate_and_flip(*numbers[4:]) * window[:, None] * (sample_last[:, None] / last)
    return np.column_stack([linear, centre * sample_last - linear.dot(last) / 2])


def _last_pixel(shape):
    """Return the (x, y) of the last pixel of an image."""
    return np.array([shape[1] - 1, shape[0] - 1])


def _rotate_and_flip(flip, rotation, angle):
    """Return a matrix [2,2] from three random numbers: perhaps a rotation, perhaps a flip."""
    angle = math.radians(MAX_ROTATION * (2 * angle - 1)) if rotation < ROTATION_PROBABILITY else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[cos, sin], [-sin, cos]])
    if flip < FLIP_PROBABILITY:
        matrix[0] *= -1
    return matrix


def simulate_previous_alpha(mask: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Return an alpha, uint8 [H,W], that a network may have computed for the previous frame.

    It is zero (there was no previous frame), noise (the alpha was wrong), or the mask: moved
    slightly, and too soft, too wide, too narrow or incomplete.
    """
    kind, rotation, zoom, left, top = random.random_sample(), *random.normal(0, 1, 4)
    height, width = mask.shape
    if kind < 0.25:
        return np.zeros_like(mask)
    if kind < 0.35:
        noise = random.randint(0, 256, (6, 6)).astype(np.uint8)
        return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    centre = width / 2, height / 2
    matrix = cv2.getRotationMatrix2D(centre, 3 * rotation, math.exp(0.03 * zoom))
    matrix[:, 2] += 0.02 * max(mask.shape) * np.array([left, top])
    moved = cv2.warpAffine(mask, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    if random.random_sample() < 0.5:  # too soft
        moved = cv2.GaussianBlur(moved, (0, 0), random.uniform(0.3, 3) * height / 256)
    if random.random_sample() < 0.3:  # too wide or too narrow
        side = 2 * random.randint(1, 4) + 1
        change = cv2.erode if random.random_sample() < 0.5 else cv2.dilate
        moved = change(moved, np.ones((side, side), np.uint8))
    if random.random_sample() < 0.2:  # incomplete
        sides = (np.array(mask.shape) * random.uniform(0.05, 0.3, 2)).astype(int)
        top, left = (random.random_sample(2) * (np.array(mask.shape) - sides)).astype(int)
        moved[top : top + sides[0], left : left + sides[1]] = 0
    return moved


# Each change is a function (image uint8 [H,W,3], mask uint8 [H,W], random) -> image. It may write
# to the image.


def plain_background(image, mask, random):
    """Replace the background by one colour, or by four colours blended from corner to corner."""
    colours = random.uniform(0, 256, (2, 2, 3)).astype(np.uint8)
    if random.random_sample() < 0.5:
        colours[:] = colours[0, 0]
    if not mask.any():
        return image
    scene = cv2.resize(colours, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    alpha = mask / np.float32(255)
    return cv2.blendLinear(image, scene, alpha, 1 - alpha)


def brightness(image, mask, random):
    return _map_levels(image, PIXEL_LEVELS + random.uniform(-40, 40))


def contrast(image, mask, random):
    mean = np.mean(cv2.mean(image)[:3])
    return _map_levels(image, (PIXEL_LEVELS - mean) * random.uniform(0.7, 1.4) + mean)


def gamma(image, mask, random):
    return _map_levels(image, 255 * (PIXEL_LEVELS / 255) ** math.exp(random.uniform(-0.4, 0.4)))


def hue_saturation(image, mask, random):
    """Shift the hue by up to 12 of 256 steps (17 degrees) and scale the saturation."""
    hue = (PIXEL_LEVELS + random.randint(-12, 13)) % 256
    saturation = PIXEL_LEVELS * random.uniform(0.6, 1.5)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv = _map_levels(hsv, np.column_stack([hue, saturation, PIXEL_LEVELS]))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def blur(image, mask, random):
    return cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.5) * len(image) / 256)


def noise(image, mask, random):
    """Add Gaussian noise to each channel. OpenCV's generator is faster than numpy's."""
    cv2.setRNGSeed(random.randint(1 << 31))  # each thread has its own generator
    grain = cv2.randn(np.empty(image.shape, np.int16), 0, random.uniform(1, 12))
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def jpeg(image, mask, random):
    """Compress as JPEG with a quality from 25 to 95."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, random.randint(25, 96)]
    data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def random_erase(image, mask, random):
    """Hide a rectangle behind one colour or noise. The mask does not change."""
    height, width = (np.array(mask.shape) * random.uniform(0.1, 0.4, 2)).astype(int)
    top = random.randint(mask.shape[0] - height + 1)
    left = random.randint(mask.shape[1] - width + 1)
    shape = (1, 1, 3) if random.random_sample() < 0.5 else (height, width, 3)
    image[top : top + height, left : left + width] = random.randint(0, 256, shape)
    return image


IMAGE_CHANGES = (  # (probability, change)
    (0.2, plain_background),
    (0.4, brightness),
    (0.4, contrast),
    (0.3, gamma),
    (0.3, hue_saturation),
    (0.2, blur),
    (0.3, noise),
    (0.3, jpeg),
    (0.2, random_erase),
)
POLICIES = {  # name -> geometry
    "resize_bilinear": resize,
    "resize_random_scale_crop_flip_rotate": scale_crop_flip_rotate,
    "rich": scale_crop_flip_rotate,
    "wide": scale_or_window,
}
COLOUR_POLICIES = ("rich", "wide")  # policies that apply IMAGE_CHANGES


def _map_levels(image, levels):
    """Replace each level 0..255 by ``levels`` [256] or [256,3], rounded and clipped."""
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(256, 1, -1))
