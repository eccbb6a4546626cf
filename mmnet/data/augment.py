"""Augmentation: a sample and random numbers in, a training picture out. numpy and OpenCV only.

Geometry moves the image and its mask together in one warp; every other change touches the image alone.
"""
import math

import cv2
import numpy as np

from mmnet.data.images import resize_bilinear

STRETCH = 0.15  # each axis by a factor of 1 to 1 + STRETCH
DEGREES = 15  # rotation to either side
BORDER = cv2.BORDER_REFLECT_101  # only for roundings of the last bit: the geometry asks for no pixel outside


def sample_side(size, policy):
    """Side of the samples that ``policy`` takes for pictures of ``size``: the largest stretch loses no resolution."""
    _check(policy)
    return size if policy == "resize_bilinear" else math.ceil(round(size * (1 + STRETCH), 6))


def augment(image, mask, random, size, policy):
    """Make a training picture of a sample.

    Args:
        image: uint8 [side,side,3]. mask: uint8 [side,side]. Both are only read.
        random: np.random.RandomState; the same state gives the same picture.
        policy: a name of POLICIES.

    Returns:
        (image uint8 [size,size,3], mask uint8 [size,size]). Not to be written to: what needs no change is given back.
    """
    _check(policy)
    return POLICIES[policy](image, mask, random, size)


def resize(image, mask, random, size):
    """No augmentation: corners aligned, no random number drawn."""
    if mask.shape == (size, size):
        return image, mask
    return tuple(np.rint(resize_bilinear(picture, (size, size), align_corners=True)).astype(np.uint8)
                 for picture in (image, mask))


def scale_crop_flip_rotate(image, mask, random, size):
    """The published augmentation, as one affine warp of image and mask stacked as four channels."""
    warped = cv2.warpAffine(cv2.merge((image, mask)), draw_warp(random, len(mask), size), (size, size),
                            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=BORDER)
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), cv2.extractChannel(warped, 3)


def draw_warp(random, side, size):
    """Draw the published geometry: a matrix float64 [2,3] from a pixel (x, y, 1) of the result to one of the sample.

    Stretch each axis by its own factor, crop at random, flip one in two, and turn one in two, cut to the largest
    centred square that lies wholly inside and enlarged back. Always draws seven numbers.
    """
    stretch_x, stretch_y, left, top, flip, turn, angle = random.random_sample(7)
    last = size - 1  # corners are aligned: pixel centres run from 0 to last, on the sample from 0 to side - 1
    stretch = 1 + STRETCH * np.array([stretch_x, stretch_y])
    offset = np.array([left, top]) * (stretch - 1) * last
    angle = math.radians(DEGREES * (2 * angle - 1)) if turn < 0.5 else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, sin], [-sin, cos]]) / (cos + abs(sin))  # the divisor makes the turned square fit inside
    if flip < 0.5:
        linear[0] *= -1
    scale = (side - 1) / (stretch * last)
    shift = last / 2 + offset - linear.sum(axis=1) * last / 2  # turn and flip leave the centre where it is
    return np.column_stack([linear, shift]) * scale[:, None]


def rich(image, mask, random, size):
    """The published geometry, then each of IMAGE_CHANGES with its probability."""
    image, mask = scale_crop_flip_rotate(image, mask, random, size)
    for probability, change in IMAGE_CHANGES:
        if random.random_sample() < probability:
            image = change(image, mask, random)
    return image, mask


# Each change: (image uint8 [size,size,3], mask uint8 [size,size], random) -> image. They may write into the image.

def background(image, mask, random):
    """The person before one colour, or before four that blend from corner to corner."""
    colours = random.uniform(0, 256, (2, 2, 3)).astype(np.uint8)
    if random.random_sample() < 0.5:
        colours[:] = colours[0, 0]
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
    """Hue by up to 17 degrees (12 of 256 steps round the circle), saturation by a factor."""
    hue = (LEVELS + random.randint(-12, 13)) % 256
    saturation = LEVELS * random.uniform(0.6, 1.5)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    return cv2.cvtColor(_map_levels(hsv, np.column_stack([hue, saturation, LEVELS])), cv2.COLOR_HSV2RGB_FULL)


def blur(image, mask, random):
    return cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.5) * len(image) / 256)


def noise(image, mask, random):
    """Gaussian, each channel its own. OpenCV's generator is six times as fast as numpy's, and each thread has one."""
    cv2.setRNGSeed(random.randint(1 << 31))
    grain = cv2.randn(np.empty(image.shape, np.int16), 0, random.uniform(1, 12))
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def jpeg(image, mask, random):
    """Compression to a quality of 25 to 95."""
    data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                        [cv2.IMWRITE_JPEG_QUALITY, random.randint(25, 96)])[1]
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def cut_out(image, mask, random):
    """A rectangle of one colour or of noise hides a part; what it hides is still to be found."""
    height, width = (np.array(mask.shape) * random.uniform(0.1, 0.4, 2)).astype(int)
    top, left = random.randint(mask.shape[0] - height + 1), random.randint(mask.shape[1] - width + 1)
    shape = (1, 1, 3) if random.random_sample() < 0.5 else (height, width, 3)
    image[top:top + height, left:left + width] = random.randint(0, 256, shape)
    return image


LEVELS = np.arange(256, dtype=np.float64)
IMAGE_CHANGES = ((0.2, background), (0.4, brightness), (0.4, contrast), (0.3, gamma), (0.3, hue_saturation),
                 (0.2, blur), (0.3, noise), (0.3, jpeg), (0.2, cut_out))
POLICIES = {
    "resize_bilinear": resize,
    "resize_random_scale_crop_flip_rotate": scale_crop_flip_rotate,
    "rich": rich,
}


def _map_levels(image, levels):
    """Give each level 0..255 the value in ``levels`` [256] or [256,3], rounded and clipped."""
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table if table.ndim == 1 else table[None])


def _check(policy):
    if policy not in POLICIES:
        raise ValueError("augmentation is one of %s, not %r" % (", ".join(POLICIES), policy))
