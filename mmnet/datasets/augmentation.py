"""Augmentation turns a sample and random numbers into a training picture.

It needs only numpy and OpenCV. One warp moves the image and its mask together. Every other change
touches only the image.
"""

import math
from typing import NamedTuple, Sequence

import cv2
import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.foreground import estimate_foreground
from mmnet.io.resize import resize_bilinear

STRETCH = 0.15  # each axis is stretched by a factor of 1 to 1 + STRETCH
WINDOW = (0.45, 1.4)  # sides of a window of the wide policy, in those of the sample
ASPECT = 0.3  # its width / height differs from the sample's by a factor of exp(-.3) to exp(.3)
SHRUNK = 1.3  # the wide policy blurs a picture that it makes smaller by more than this factor
DEGREES = 15  # the largest rotation, to either side
EDGE = 0.004  # width of the edge that they are cut out with, in the longer side of the sample
# Only the rounding of a last bit can make the geometry ask for a pixel outside the sample.
BORDER = cv2.BORDER_REFLECT_101


class AugmentOptions(NamedTuple):
    """How much a policy changes pictures beside their geometry."""

    strength: float = 1.0  # the probabilities of IMAGE_CHANGES are multiplied by it
    backgrounds: Sequence = ()  # uint8 [h,w,3] each, any sizes
    swapped: float = 0.4  # share of the pictures whose persons go before one of the backgrounds
    previous: bool = False  # add a fourth channel: what the frame before may have given as alpha


def sample_shape(shape, policy):
    """Give the shape of the samples from which ``policy`` makes pictures of ``shape``.

    The samples are so large that even the largest stretch loses no resolution.
    """
    _check(policy)
    if policy == "resize_bilinear":
        return tuple(shape)
    return tuple(math.ceil(round(side * (1 + STRETCH), 6)) for side in shape)


def augment(image, mask, random, shape, policy, changes=AugmentOptions()):
    """Make a training picture of ``shape`` from a sample.

    Args:
        image: uint8 [h,w,3]. It is only read.
        mask: uint8 [h,w]. It is only read.
        random: np.random.RandomState; the same state gives the same picture.
        shape: (height, width).
        policy: a name of POLICIES.
        changes: Changes. Without backgrounds, no random number is drawn for them. A picture without
            a person, or without a mask, stays before its own.

    Returns:
        (image uint8 [H,W,3], or [H,W,4] with changes.previous, mask uint8 [H,W]). Do not write to
        them: they are the arguments themselves where nothing had to change.

    Raises:
        ValueError: POLICIES has no such policy.
    """
    _check(policy)
    backgrounds = changes.backgrounds
    if len(backgrounds) and random.random_sample() < changes.swapped and mask.any():
        background = backgrounds[random.randint(len(backgrounds))]
        image, mask = swap_background(image, mask, background, random)
    image, mask = POLICIES[policy](image, mask, random, tuple(shape))
    if policy in COLOURED:
        image = change_colours(image, mask, random, changes.strength)
    if changes.previous:
        image = np.dstack([image, previous_alpha(mask, random)])
    return image, mask


def resize(image, mask, random, shape):
    """Only resize, with aligned corners. This draws no random number."""
    if mask.shape == shape:
        return image, mask
    resized = (resize_bilinear(picture, shape, align_corners=True) for picture in (image, mask))
    return tuple(np.rint(picture).astype(np.uint8) for picture in resized)


def scale_crop_flip_rotate(image, mask, random, shape):
    """Apply the published augmentation."""
    return warp(image, mask, draw_warp(random, mask.shape, shape), shape)


def warp(image, mask, matrix, shape):
    """Warp the image and its mask, as four channels, by one matrix of draw_warp."""
    warped = cv2.warpAffine(
        cv2.merge((image, mask)),
        matrix,
        shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=BORDER,
    )
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), cv2.extractChannel(warped, 3)


def draw_warp(random, sample, shape):
    """Draw the published geometry as a matrix.

    Each axis is stretched by its own factor, and the picture is cropped at random. One picture in
    two is flipped. One in two is turned, cropped to the largest centred rectangle of the same
    aspect that lies wholly inside, and enlarged again. This always draws seven random numbers.

    Args:
        sample: (height, width) of the sample.
        shape: (height, width) of the result.

    Returns:
        float64 [2,3]: maps a pixel (x, y, 1) of the result to a pixel of the sample.
    """
    stretch_x, stretch_y, left, top, flip, turn, angle = random.random_sample(7)
    # The corners of sample and result are aligned: in both, pixel centres run from 0 to the last.
    last, sample_last = (np.array([width - 1, height - 1]) for height, width in (shape, sample))
    stretch = 1 + STRETCH * np.array([stretch_x, stretch_y])
    offset = np.array([left, top]) * (stretch - 1) * last
    angle = math.radians(DEGREES * (2 * angle - 1)) if turn < 0.5 else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    aspect = last[0] / last[1]
    linear = np.array([[cos, sin], [-sin, cos]])
    linear /= cos + abs(sin) * max(aspect, 1 / aspect)  # makes the turned rectangle fit inside
    if flip < 0.5:
        linear[0] *= -1
    scale = sample_last / (stretch * last)
    shift = last / 2 + offset - linear.dot(last) / 2  # turn and flip leave the centre where it is
    return np.column_stack([linear, shift]) * scale[:, None]


def scale_or_window(image, mask, random, shape):
    """Apply the published geometry one time in two; else show any window of the sample.

    The published geometry only ever shows a person who fills the picture. A window is smaller than
    the sample or larger, mirrored at the borders as ``predict`` extends a photo.
    """
    if random.random_sample() < 0.5:
        return scale_crop_flip_rotate(image, mask, random, shape)
    matrix = draw_window(random, mask.shape, shape)
    step = np.hypot(*matrix[:, :2])  # pixels of the sample from one pixel of the result to the next
    if step.max() > SHRUNK:  # a picture made smaller shows no aliasing
        image = cv2.GaussianBlur(image, (0, 0), 0.4 * step.max())
    return warp(image, mask, matrix, shape)


def draw_window(random, sample, shape):
    """Draw a window on the sample: a matrix and arguments as of draw_warp.

    Its sides are WINDOW of the sample's, in another aspect, turned one time in two and mirrored
    likewise. A smaller one lies anywhere inside the sample, a larger one has it anywhere inside.
    Always draws seven numbers.
    """
    zoom, aspect, left, top, flip, turn, angle = random.random_sample(7)
    low, high = np.log(WINDOW)
    zoom, aspect = low + zoom * (high - low), ASPECT * (aspect - 0.5)
    window = np.exp([zoom + aspect, zoom - aspect])
    centre = 0.5 + (np.array([left, top]) - 0.5) * np.abs(1 - window)
    angle = math.radians(DEGREES * (2 * angle - 1)) if turn < 0.5 else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, sin], [-sin, cos]]) * window[:, None]
    if flip < 0.5:
        linear[0] *= -1
    last, sample_last = (np.array([width - 1, height - 1]) for height, width in (shape, sample))
    # Both are measured in their own sides, so that a turned window stays a rectangle of the sample.
    linear = linear * (sample_last[:, None] / last)
    return np.column_stack([linear, centre * sample_last - linear.dot(last) / 2])


def swap_background(image, mask, background, random):
    """Put the persons of a sample before any part of another picture, which may be out of focus.

    They are cut out a little inside their outline, with a soft edge and their own colours in it:
    what a mask leaves of the old background would teach a network to look for halos. The new mask
    is the alpha that they are put there with, so that its soft edge is true.

    Args:
        image: uint8 [H,W,3]. mask: uint8 [H,W]. background: uint8 [h,w,3].

    Returns:
        (image uint8 [H,W,3], mask uint8 [H,W]). Always draws five numbers.
    """
    zoom, left, top, flip, focus = random.random_sample(5)
    edge = EDGE * max(mask.shape)
    inside = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3), np.uint8)), (0, 0), edge)
    alpha = inside / np.float32(255)
    height, width = mask.shape
    # The largest window of the person's aspect, or a part of it down to a half of its sides.
    scale = min(background.shape[0] / height, background.shape[1] / width) * (1 - 0.5 * zoom)
    rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
    top = int(top * (background.shape[0] - rows))
    left = int(left * (background.shape[1] - columns))
    scene = background[top : top + rows, left : left + columns]
    scene = cv2.resize(scene, (width, height), interpolation=cv2.INTER_LINEAR)
    if flip < 0.5:
        scene = cv2.flip(scene, 1)
    if focus < 0.3:
        scene = cv2.GaussianBlur(scene, (0, 0), (0.5 + 10 * focus) * edge)
    return cv2.blendLinear(estimate_foreground(image, alpha), scene, alpha, 1 - alpha), inside


def previous_alpha(mask, random):
    """What the frame before may have given as alpha: uint8 [H,W].

    One time in four nothing, for there was none; one in ten noise, for it may be wrong; else the
    mask a little moved, turned and scaled, and as a network errs: too soft, too wide or too narrow,
    with a part missing.
    """
    kind, turn, zoom, left, top = random.random_sample(), *random.normal(0, 1, 4)
    height, width = mask.shape
    if kind < 0.25:
        return np.zeros_like(mask)
    if kind < 0.35:
        noise = random.randint(0, 256, (6, 6)).astype(np.uint8)
        return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 3 * turn, math.exp(0.03 * zoom))
    matrix[:, 2] += 0.02 * max(mask.shape) * np.array([left, top])
    moved = cv2.warpAffine(mask, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    if random.random_sample() < 0.5:
        moved = cv2.GaussianBlur(moved, (0, 0), random.uniform(0.3, 3) * height / 256)
    if random.random_sample() < 0.3:
        side = 2 * random.randint(1, 4) + 1
        change = cv2.erode if random.random_sample() < 0.5 else cv2.dilate
        moved = change(moved, np.ones((side, side), np.uint8))
    if random.random_sample() < 0.2:
        side = (np.array(mask.shape) * random.uniform(0.05, 0.3, 2)).astype(int)
        corner = (random.random_sample(2) * (np.array(mask.shape) - side)).astype(int)
        moved[corner[0] : corner[0] + side[0], corner[1] : corner[1] + side[1]] = 0
    return moved


def change_colours(image, mask, random, strength):
    """The image after each of IMAGE_CHANGES, with its probability x strength."""
    for probability, change in IMAGE_CHANGES:
        if random.random_sample() < probability * strength:
            image = change(image, mask, random)
    return image


# Each change is a function (image uint8 [H,W,3], mask uint8 [H,W], random) -> image. It may write
# into the image.


def background(image, mask, random):
    """Put the person before one colour, or before four that blend from corner to corner."""
    colours = random.uniform(0, 256, (2, 2, 3)).astype(np.uint8)
    if random.random_sample() < 0.5:
        colours[:] = colours[0, 0]
    if not mask.any():
        return image
    scene = cv2.resize(colours, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    alpha = mask / np.float32(255)
    return cv2.blendLinear(image, scene, alpha, 1 - alpha)


def brightness(image, mask, random):
    return _map_levels(image, LEVELS + random.uniform(-40, 40))


def contrast(image, mask, random):
    mean = np.mean(cv2.mean(image)[:3])
    return _map_levels(image, (LEVELS - mean) * random.uniform(0.7, 1.4) + mean)


def gamma(image, mask, random):
    return _map_levels(image, 255 * (LEVELS / 255) ** math.exp(random.uniform(-0.4, 0.4)))


def hue_saturation(image, mask, random):
    """Shift hue by up to 17 degrees (12 of the circle's 256 steps) and scale saturation."""
    hue = (LEVELS + random.randint(-12, 13)) % 256
    saturation = LEVELS * random.uniform(0.6, 1.5)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv = _map_levels(hsv, np.column_stack([hue, saturation, LEVELS]))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def blur(image, mask, random):
    return cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.5) * len(image) / 256)


def noise(image, mask, random):
    """Add Gaussian noise, drawn for each channel separately.

    OpenCV's generator is six times as fast as numpy's, and each thread has its own.
    """
    cv2.setRNGSeed(random.randint(1 << 31))
    grain = cv2.randn(np.empty(image.shape, np.int16), 0, random.uniform(1, 12))
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def jpeg(image, mask, random):
    """Compress as JPEG with a quality of 25 to 95."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, random.randint(25, 96)]
    data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def cut_out(image, mask, random):
    """Hide a rectangle behind one colour or noise. The mask keeps what the rectangle hides."""
    height, width = (np.array(mask.shape) * random.uniform(0.1, 0.4, 2)).astype(int)
    top = random.randint(mask.shape[0] - height + 1)
    left = random.randint(mask.shape[1] - width + 1)
    shape = (1, 1, 3) if random.random_sample() < 0.5 else (height, width, 3)
    image[top : top + height, left : left + width] = random.randint(0, 256, shape)
    return image


LEVELS = np.arange(256, dtype=np.float64)
IMAGE_CHANGES = (  # (probability, change)
    (0.2, background),
    (0.4, brightness),
    (0.4, contrast),
    (0.3, gamma),
    (0.3, hue_saturation),
    (0.2, blur),
    (0.3, noise),
    (0.3, jpeg),
    (0.2, cut_out),
)
POLICIES = {  # name -> geometry
    "resize_bilinear": resize,
    "resize_random_scale_crop_flip_rotate": scale_crop_flip_rotate,
    "rich": scale_crop_flip_rotate,
    "wide": scale_or_window,
}
COLOURED = ("rich", "wide")  # those that change colours, too


def _map_levels(image, levels):
    """Give each level 0..255 the value in ``levels`` [256] or [256,3], rounded and clipped."""
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table if table.ndim == 1 else table[None])


def _check(policy):
    if policy not in POLICIES:
        raise MmnetError("augmentation is one of %s, not %r" % (", ".join(POLICIES), policy))
