"""Draw one synthetic person as a layer. No TensorFlow.

Coordinates of shapes are in half head heights from the centre of the face, x to the right and y
down. The order of the random numbers is fixed: the same seed draws the same person.
"""

from typing import NamedTuple, Tuple

import cv2
import numpy as np

from mmnet.datasets.synthetic_layers import Brush, apply_light

LIGHTEST_SKIN = np.array([255, 219, 190], np.float32)  # RGB
LIPS = np.array([0.85, 0.5, 0.5], np.float32)  # factors of the skin colour
EYE_WHITE = (245, 245, 245)
HAIR_COLOURS = np.array(
    [(35, 25, 20), (80, 50, 30), (150, 105, 60), (200, 170, 110), (120, 120, 120), (110, 45, 25)],
    np.float32,
)
HAIR_STYLES = ("hair", "bald", "afro", "bun")
HAIR_STYLE_PROBABILITIES = (0.6, 0.15, 0.15, 0.1)
LONG_HAIR_PROBABILITY = 0.5
STRAND_POINTS = 16

# Probabilities of a varied person.
BEARD, SKIRT, NECKLACE = 0.25, 0.25, 0.3
JACKET, COLLAR, PRINT = 0.3, 0.2, 0.2  # at most one of them
GLASSES, DARK_GLASSES = 0.3, 0.15
HAT, HEADPHONES = 0.25, 0.1  # headphones without a hat
RAISED_ARM, LONG_SLEEVE, HELD_OBJECT = 0.4, 0.6, 0.6

BOTH_SIDES = (-1, 1)
UPPER_HALF = (180, 360)  # arc of an ellipse in degrees


class Person(NamedTuple):
    """Colours (RGB 0..255) and proportions of a person."""

    face_width: float  # half of it
    skin: np.ndarray
    hair: np.ndarray
    cloth: np.ndarray
    iris: np.ndarray
    hair_style: str  # one of HAIR_STYLES
    long_hair: bool


def draw_person(
    random: np.random.RandomState, shape: Tuple[int, int], *, varied: bool = False
) -> np.ndarray:
    """Draw a person as a layer, uint8 [H,W,4].

    Args:
        random: the source of random numbers.
        shape: (height, width) of the layer.
        varied: draw any size, place, skin, hair, clothes and accessories.
    """
    brush, person = _choose_person(random, shape, varied)
    # The shapes are painted from back to front.
    _paint_hair_behind(random, brush, person)
    shoulders = _paint_body(random, brush, person, varied)
    _paint_head(random, brush, person, has_beard=varied and random.rand() < BEARD)
    if person.hair_style != "bald":
        _paint_hair_in_front(random, brush, person)
    if varied:
        _paint_glasses(random, brush, person.face_width)
        _paint_hat(random, brush, person.face_width)
        _paint_arm(random, brush, person, shoulders)
    sides = random.uniform(0.7, 1.1), random.uniform(0.7, 1.1)  # light from left to right
    return apply_light(brush.canvas, np.linspace(*sides, shape[1], dtype=np.float32))


def _choose_person(random, shape, varied) -> Tuple[Brush, Person]:
    height, width = shape
    canvas = np.zeros((height, width, 4), np.uint8)
    head = height * random.uniform(0.13, 0.18)
    face = head * random.uniform(0.72, 0.82)
    centre = np.array([width * random.uniform(0.42, 0.58), height * random.uniform(0.33, 0.42)])
    skin = LIGHTEST_SKIN * random.uniform(0.4, 1) * random.uniform(0.95, 1.0, 3)
    hair = HAIR_COLOURS[random.randint(len(HAIR_COLOURS))]
    cloth, iris = random.uniform(20, 200, 3), random.uniform(20, 110, 3)
    long_hair = random.rand() < LONG_HAIR_PROBABILITY
    brush, hair_style = Brush(canvas, centre, head), "hair"
    if varied:
        scale = np.exp(random.uniform(np.log(0.45), np.log(1.6)))
        x = random.normal(0.5, 0.15) * width
        y = (0.38 + random.uniform(-0.2, 0.1)) * height
        angle = np.radians(random.normal(0, 6))
        brush = Brush(canvas, np.array([x, y]), head * scale, angle)
        skin = LIGHTEST_SKIN * random.uniform(0.2, 1) * random.uniform(0.9, 1.0, 3)
        hair_style = HAIR_STYLES[random.choice(len(HAIR_STYLES), p=HAIR_STYLE_PROBABILITIES)]
        long_hair = long_hair and hair_style == "hair"
    return brush, Person(face / head, skin, hair, cloth, iris, hair_style, long_hair)


def _paint_hair_behind(random, brush, person):
    if person.hair_style != "bald":
        brush.ellipse((0, -0.12), (person.face_width * 1.22, 1.12), person.hair * 0.8)
    if person.hair_style == "afro":
        size = random.uniform(1.4, 1.8)
        axes = person.face_width * size, size * 0.85
        brush.ellipse((0, -0.3), axes, person.hair * 0.8, soft=0.06)
    if person.hair_style == "bun":
        place = random.uniform(-0.4, 0.4), -1.25
        brush.ellipse(place, (0.4, 0.35), person.hair * 0.85, soft=0.03)
    if person.long_hair:
        left = [(-0.85, -0.5), (-1.0, 0.4), (-1.08, 1.2), (-0.8, 1.9)]
        right = [(-x, y) for x, y in reversed(left)]
        brush.polygon(left + right, person.hair * 0.8, soft=0.03)


def _paint_body(random, brush, person, varied) -> float:
    """Paint legs, clothes and neck, and return half the width of the shoulders."""
    shoulders = random.uniform(1.9, 2.4)
    xs = np.linspace(-1, 1, 61).tolist()
    outline = [(shoulders * x, 1.45 + 0.75 * abs(x) ** 2.5) for x in xs]
    waist, bottom = 1.12, 8.0  # the body of a plain person ends below the image
    if varied:
        waist, bottom = random.uniform(0.6, 0.9), random.uniform(5.2, 6.5)
        _paint_legs(random, brush, shoulders * waist, bottom)
    outline += [(shoulders * waist, bottom), (-shoulders * waist, bottom)]
    brush.polygon(outline, person.cloth)
    _paint_stripes(random, brush, person.cloth)
    if varied:
        _paint_clothes(random, brush, shoulders, person.cloth)
    brush.ellipse((0, 1.42), (0.62, 0.34), person.skin * 0.85)  # neckline
    neck = [(-0.36, 0.6), (-0.42, 1.5), (0.42, 1.5), (0.36, 0.6)]
    brush.polygon(neck, person.skin * 0.8)
    return shoulders


def _paint_legs(random, brush, hip, top):
    """Paint two legs, or a skirt over them, and shoes."""
    colour, bottom = random.uniform(10, 200, 3), top + random.uniform(4.5, 6)
    if random.rand() < SKIRT:
        flare = random.uniform(0.9, 1.5)
        skirt = [(-hip, top - 0.3), (hip, top - 0.3), (hip * flare, bottom), (-hip * flare, bottom)]
        brush.polygon(skirt, colour)
    for side in BOTH_SIDES:
        foot = side * random.uniform(0.5, 1.1)
        leg = [(side * hip, top - 0.3), (0, top - 0.3), (foot - side * 0.4, bottom)]
        brush.polygon([*leg, (foot + side * 0.4, bottom)], colour * 0.95)
        brush.ellipse((foot + side * 0.2, bottom + 0.1), (0.6, 0.3), random.uniform(0, 200, 3))


def _paint_stripes(random, brush, cloth):
    """Paint stripes on the clothes. Only pixels of the cloth's colour below the neck change."""
    angle, period = random.uniform(0, np.pi), random.uniform(0.1, 0.6) * brush.head
    strength = random.uniform(0, 0.3)
    neck_row = int(np.floor(brush.to_pixels((0, 1.4))[1])) + 1
    below = brush.canvas[min(brush.canvas.shape[0], max(0, neck_row)) :]
    if not below.size:
        return
    x = np.cos(angle) * 2 * np.pi / period * np.arange(below.shape[1])
    y = np.sin(angle) * 2 * np.pi / period * np.arange(below.shape[0])
    # sin(x + y) = sin(y) cos(x) + cos(y) sin(x)
    wave = np.stack([np.sin(y), np.cos(y)], 1) @ np.stack([np.cos(x), np.sin(x)])
    wave = cv2.convertScaleAbs(wave + 1, alpha=127.5)
    striped = [
        cv2.convertScaleAbs(wave, alpha=value * strength / 127.5, beta=value * (1 - strength))
        for value in cloth
    ]
    plain = np.rint(np.append(cloth, 255))
    clothes = cv2.inRange(below, plain - 1, plain + 1)
    cv2.copyTo(cv2.merge([*striped, np.full_like(wave, 255)]), clothes, below)


def _paint_clothes(random, brush, shoulders, cloth):
    """Paint a jacket, a collar or a print, and a necklace."""
    choice = random.rand()
    if choice < JACKET:
        colour = random.uniform(10, 230, 3)
        for side in BOTH_SIDES:
            half = [(side * 0.25, 1.5), (side * shoulders, 2.2), (side * shoulders * 0.75, 5.5)]
            brush.polygon([*half, (side * random.uniform(0.2, 0.5), 5.5)], colour)
    elif choice < JACKET + COLLAR:
        brush.polygon([(-0.5, 1.4), (0.5, 1.4), (0, 2.4)], random.uniform(150, 255, 3))
    elif choice < JACKET + COLLAR + PRINT:
        size = random.uniform(0.3, 0.8)
        brush.ellipse((random.uniform(-0.3, 0.3), 3), (size, size), random.uniform(0, 255, 3))
    if random.rand() < NECKLACE:
        brush.line([(-0.4, 1.5), (0, 2.3), (0.4, 1.5)], 0.04, cloth * 0.4)


def _paint_head(random, brush, person, has_beard):
    """Paint ears, face, beard, eyes, nose and mouth."""
    skin, hair, face_width = person.skin, person.hair, person.face_width
    for side in BOTH_SIDES:
        brush.ellipse((side * face_width, 0.08), (0.11, 0.2), skin * 0.9)
    brush.ellipse((0, 0), (face_width, 1.0), skin)
    brush.ellipse((0.25, 0.2), (0.3, 0.4), skin * 1.06, soft=0.15)  # lit cheek
    if has_beard:
        brush.ellipse((0, 0.6), (face_width * 0.9, 0.5), hair * 0.9, soft=0.06)
    for side in BOTH_SIDES:
        brush.ellipse((side * 0.34, -0.05), (0.14, 0.075), EYE_WHITE)
        brush.ellipse((side * 0.34, -0.05), (0.065, 0.07), person.iris)
        brush.ellipse((side * 0.35, -0.24), (0.18, 0.04), hair * 0.7)  # eyebrow
    brush.ellipse((0, 0.28), (0.1, 0.06), skin * 0.75, soft=0.02)
    brush.ellipse((0, 0.56), (0.27, 0.07), skin * LIPS)


def _paint_hair_in_front(random, brush, person):
    brush.ellipse((0, -0.42), (person.face_width * 1.08, 0.72), person.hair, arc=UPPER_HALF)
    fringe = (random.uniform(-0.3, 0.3), -0.5)
    brush.ellipse(fringe, (person.face_width * 0.8, 0.25), person.hair * 1.1, soft=0.05)
    for shade in (0.7, 1.0, 1.3):
        brush.strands(*_draw_strands(random, person), person.hair * shade)


def _draw_strands(random, person) -> Tuple[np.ndarray, np.ndarray]:
    """Draw curves that leave the outline of the hair and hang down.

    Returns:
        (points float64 [N,STRAND_POINTS,2], opacities float64 [N], 0..1).
    """
    t = np.linspace(0, 1, STRAND_POINTS)[:, None]
    count = random.randint(20, 45)
    angle = random.uniform(np.pi * 0.95, np.pi * 2.05, (count, 1))  # over the top of the head
    direction = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    roots = direction * (person.face_width * 1.15, 1.05) - (0, 0.12)
    outward = direction * random.uniform(0.05, 0.45, (count, 1))
    shortest, longest = (0.3, 1.6) if person.long_hair else (-0.1, 0.25)
    fall = random.uniform(shortest, longest, (count, 1))
    hanging = np.concatenate([random.uniform(-0.25, 0.25, (count, 1)), fall], axis=1)
    curves = roots[:, None] + outward[:, None] * np.sqrt(t) + hanging[:, None] * t**2
    return curves, random.uniform(0.4, 1, count)


def _paint_glasses(random, brush, face_width):
    if random.rand() >= GLASSES:
        return
    frame = random.uniform(0, 90, 3)
    angles = np.linspace(0, 2 * np.pi, 25)
    for side in BOTH_SIDES:
        glass = [(side * 0.36 + 0.24 * np.cos(a), -0.03 + 0.19 * np.sin(a)) for a in angles]
        if random.rand() < DARK_GLASSES:
            brush.polygon(glass, frame * 0.5)
        brush.line(glass, 0.05, frame)
        brush.line([(side * 0.6, -0.06), (side * face_width, -0.02)], 0.04, frame)
    brush.line([(-0.12, -0.06), (0.12, -0.06)], 0.05, frame)


def _paint_hat(random, brush, face_width):
    """Paint a hat, or headphones."""
    if random.rand() < HAT:
        colour, brim = random.uniform(10, 230, 3), random.uniform(1.0, 2.0)
        crown = face_width * 1.2, random.uniform(0.6, 0.9)
        brush.ellipse((0, -0.55), crown, colour, arc=UPPER_HALF)
        brush.ellipse((0, -0.55), (face_width * brim, 0.12), colour * 0.8)
    elif random.rand() < HEADPHONES:
        colour = random.uniform(0, 200, 3)
        angles = np.linspace(np.pi, 2 * np.pi, 25)
        band = [(1.2 * np.cos(a) * face_width, 1.15 * np.sin(a)) for a in angles]
        brush.line(band, 0.12, colour)
        for side in BOTH_SIDES:
            brush.ellipse((side * face_width * 1.1, 0.1), (0.18, 0.3), colour)


def _paint_arm(random, brush, person, shoulders):
    """Paint a raised arm, perhaps with a rectangular object in the hand."""
    if random.rand() >= RAISED_ARM:
        return
    side = random.choice(BOTH_SIDES)
    elbow = (side * shoulders * random.uniform(1.0, 1.5), random.uniform(2.5, 4))
    hand = (side * random.uniform(0.2, 2.4), random.uniform(-1.2, 2.6))
    brush.line([(side * shoulders * 0.85, 2.1), elbow], 0.75, person.cloth * 0.9)
    long_sleeve = random.rand() < LONG_SLEEVE
    brush.line([elbow, hand], 0.55, person.cloth * 0.92 if long_sleeve else person.skin * 0.9)
    if random.rand() < HELD_OBJECT:
        width, height = random.uniform(0.25, 1.0, 2)
        angle = random.uniform(-0.5, 0.5)
        cos, sin = np.cos(angle), np.sin(angle)
        corners = [(-width, -height), (width, -height), (width, height), (-width, height)]
        rotated = [(hand[0] + x * cos - y * sin, hand[1] + x * sin + y * cos) for x, y in corners]
        brush.polygon(rotated, random.uniform(0, 255, 3))
    brush.ellipse(hand, (0.35, 0.4), person.skin * 0.95)
