"""Portraits made on the spot: a seeded drawing of a person with hair strands, and its true soft alpha.

Nobody's photo, so they may be shown and shipped; the same seed draws the same person. They serve
the quick start, the tests and the README's figure, not as training data for real photos.
"""
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from mmnet.data.images import save_jpeg, save_png
from mmnet.progress import progress

FRACTION_BITS = 4  # of OpenCV's fixed-point coordinates, for the strands
SUPERSAMPLING = 2  # drawn at twice the size, then averaged: this is what makes the edges' alpha true


def synthesize(dataset_path, split, pictures, seed=0, shape=(800, 600)):
    """Write ``pictures`` portraits as ``<dataset_path>/<split>/{image,mask}/portrait<seed>_<number>.{jpg,png}``."""
    folders = [os.path.join(dataset_path, split, kind) for kind in ("image", "mask")]
    for folder in folders:
        os.makedirs(folder, exist_ok=True)

    def write(number):
        image, alpha = draw_portrait(np.random.RandomState([seed, number]), shape)
        stem = "portrait%d_%04d" % (seed, number)
        save_jpeg(os.path.join(folders[0], stem + ".jpg"), image)
        save_png(os.path.join(folders[1], stem + ".png"), np.rint(alpha * 255).astype(np.uint8))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in progress(pool.map(write, range(pictures)), pictures, "drawing"):
            pass


def draw_portrait(random, shape=(800, 600)):
    """Draw one portrait.

    Args:
        random: np.random.RandomState. shape: (height, width) in pixels.

    Returns:
        (image uint8 [H,W,3] RGB, alpha float32 [H,W] 0..1): image = alpha x person + (1 - alpha) x background.
    """
    height, width = shape
    person = _draw_person(random, height * SUPERSAMPLING, width * SUPERSAMPLING)
    person = cv2.resize(person, (width, height), interpolation=cv2.INTER_AREA)
    person = cv2.GaussianBlur(person, (0, 0), random.uniform(0.3, 0.7) * height / 800)  # a lens is not perfect
    alpha = np.clip(person[..., 3], 0, 1)
    background = _draw_background(random, height, width)
    image = person[..., :3] + (1 - alpha[..., None]) * background
    image += random.normal(0, 1, (height, width, 1)).astype(np.float32) * random.uniform(0.5, 3)  # sensor noise
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), alpha


def _draw_background(random, height, width):
    """Two colours blending into each other, with soft shapes in front: float32 [H,W,3] 0..255."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    angle = random.uniform(0, np.pi)
    blend = np.cos(angle) * x + np.sin(angle) * y
    blend = ((blend - blend.min()) / (blend.max() - blend.min()))[..., None]
    first, second = _muted(random), _muted(random)
    background = first + (second - first) * blend
    for _ in range(random.randint(3, 9)):
        layer = np.zeros((height, width), np.float32)
        corner = (int(random.uniform(-0.2, 1) * width), int(random.uniform(-0.2, 1) * height))
        extent = (int(random.uniform(0.1, 0.5) * width), int(random.uniform(0.1, 0.8) * height))
        if random.rand() < 0.5:
            cv2.rectangle(layer, corner, (corner[0] + extent[0], corner[1] + extent[1]), 1.0, -1)
        else:
            cv2.ellipse(layer, corner, extent, random.uniform(0, 180), 0, 360, 1.0, -1)
        layer = cv2.GaussianBlur(layer, (0, 0), random.uniform(0.002, 0.03) * height)[..., None]
        background += (_muted(random) - background) * layer * random.uniform(0.3, 0.9)
    return background


def _muted(random):
    """A colour half way to grey."""
    return random.uniform(40, 220, 3).astype(np.float32) * 0.5 + np.float32(random.uniform(40, 220) * 0.5)


def _draw_person(random, height, width):
    """The person alone: float32 [H,W,4], colour 0..255 already multiplied by alpha, alpha 0..1."""
    canvas = np.zeros((height, width, 4), np.float32)
    head = height * random.uniform(0.13, 0.18)  # half the head's height; everything else follows from it
    face = head * random.uniform(0.72, 0.82)
    centre = np.array([width * random.uniform(0.42, 0.58), height * random.uniform(0.33, 0.42)])
    skin = np.array([255, 219, 190], np.float32) * random.uniform(0.4, 1) * random.uniform(0.95, 1.0, 3)
    hair = np.array([[35, 25, 20], [80, 50, 30], [150, 105, 60], [200, 170, 110], [120, 120, 120], [110, 45, 25]],
                    np.float32)[random.randint(6)]
    cloth, iris = random.uniform(20, 200, 3), random.uniform(20, 110, 3)
    long_hair = random.rand() < 0.5

    def at(x, y):
        """A point given in half head heights from the centre of the face."""
        return centre + np.array([x, y]) * head

    def paint(colour, draw, soft=0.0):
        """Lay what ``draw`` puts on an empty layer over the canvas in ``colour``."""
        layer = np.zeros((height, width), np.uint8)
        draw(layer)
        if soft:
            layer = cv2.GaussianBlur(layer, (0, 0), soft * head)
        left, top, wide, high = cv2.boundingRect(layer)
        inside = (slice(top, top + high), slice(left, left + wide))
        opacity = layer[inside][..., None] / np.float32(255)
        canvas[inside] += (np.append(colour, 1).astype(np.float32) - canvas[inside]) * opacity

    def ellipse(point, axes, colour, soft=0.0, arc=(0, 360)):
        axes = (int(axes[0] * head), int(axes[1] * head))
        start, end = arc
        paint(colour, lambda layer: cv2.ellipse(layer, _whole(point), axes, 0, start, end, 255, -1, cv2.LINE_AA), soft)

    round_face = face / head
    thickness = max(1, int(height / 1000))

    # Back to front: hair behind, shoulders, neck, head, hair in front; each is a shape of one colour.
    ellipse(at(0, -0.12), (round_face * 1.22, 1.12), hair * 0.8)
    if long_hair:
        paint(hair * 0.8, lambda layer: cv2.fillPoly(layer, [_whole(
            [at(-0.85, -0.5), at(-1.0, 0.4), at(-1.08, 1.2), at(-0.8, 1.9), at(0.8, 1.9), at(1.08, 1.2), at(1.0, 0.4),
             at(0.85, -0.5)])], 255, cv2.LINE_AA), soft=0.03)
    shoulders = random.uniform(1.9, 2.4)
    x = np.linspace(-1, 1, 61)
    outline = [at(shoulders * u, 1.45 + 0.75 * abs(u) ** 2.5) for u in x]
    outline += [at(shoulders * 1.12, 8), at(-shoulders * 1.12, 8)]
    paint(cloth, lambda layer: cv2.fillPoly(layer, [_whole(outline)], 255, cv2.LINE_AA))
    _stripe(random, canvas, cloth, at(0, 1.4)[1], head)
    ellipse(at(0, 1.42), (0.62, 0.34), skin * 0.85)
    paint(skin * 0.8, lambda layer: cv2.fillPoly(layer, [_whole(
        [at(-0.36, 0.6), at(-0.42, 1.5), at(0.42, 1.5), at(0.36, 0.6)])], 255, cv2.LINE_AA))
    for side in (-1, 1):
        ellipse(at(side * round_face, 0.08), (0.11, 0.2), skin * 0.9)
    ellipse(at(0, 0), (round_face, 1.0), skin)
    ellipse(at(0.25, 0.2), (0.3, 0.4), skin * 1.06, soft=0.15)
    for side in (-1, 1):
        ellipse(at(side * 0.34, -0.05), (0.14, 0.075), (245, 245, 245))
        ellipse(at(side * 0.34, -0.05), (0.065, 0.07), iris)
        ellipse(at(side * 0.35, -0.24), (0.18, 0.04), hair * 0.7)
    ellipse(at(0, 0.28), (0.1, 0.06), skin * 0.75, soft=0.02)
    ellipse(at(0, 0.56), (0.27, 0.07), skin * np.array([0.85, 0.5, 0.5], np.float32))
    ellipse(at(0, -0.42), (round_face * 1.08, 0.72), hair, arc=(180, 360))
    ellipse(at(random.uniform(-0.3, 0.3), -0.5), (round_face * 0.8, 0.25), hair * 1.1, soft=0.05)
    for shade in (0.7, 1.0, 1.3):
        def draw_strands(layer):
            for strand in _strands(random, round_face, long_hair):
                points = [_whole([at(*point) for point in strand], FRACTION_BITS)]
                cv2.polylines(layer, points, False, random.randint(100, 256), thickness, cv2.LINE_AA, FRACTION_BITS)
        paint(hair * shade, draw_strands)
    light = np.linspace(random.uniform(0.7, 1.1), random.uniform(0.7, 1.1), width, dtype=np.float32)
    canvas[..., :3] *= light[:, None]
    return canvas


def _strands(random, round_face, long_hair):
    """Curves that leave the hair's outline and hang, in half head heights from the centre of the face."""
    t = np.linspace(0, 1, 16)[:, None]
    for _ in range(random.randint(20, 45)):
        angle = random.uniform(np.pi * 0.95, np.pi * 2.05)  # over the top of the head
        root = np.array([np.cos(angle) * round_face * 1.15, np.sin(angle) * 1.05 - 0.12])
        out = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(0.05, 0.45)
        fall = random.uniform(0.3, 1.6) if long_hair else random.uniform(-0.1, 0.25)
        yield root + out * np.sqrt(t) + np.array([random.uniform(-0.25, 0.25), fall]) * t ** 2


def _stripe(random, canvas, cloth, top, head):
    """Give the clothes stripes in place: only the colour changes, only below ``top``."""
    y, x = np.mgrid[0:canvas.shape[0], 0:canvas.shape[1]].astype(np.float32)
    angle, period = random.uniform(0, np.pi), random.uniform(0.1, 0.6) * head
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / period) * random.uniform(0, 0.3)
    wave *= (y > top) & (np.abs(canvas[..., :3] - np.asarray(cloth, np.float32) * canvas[..., 3:]).max(axis=2) < 1)
    canvas[..., :3] *= 1 + wave[..., None]


def _whole(points, fraction_bits=0):
    """Points as OpenCV's fixed-point integers."""
    points = np.rint(np.asarray(points) * (1 << fraction_bits)).astype(np.int32)
    return tuple(int(value) for value in points) if points.ndim == 1 else points
