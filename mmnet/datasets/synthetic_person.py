"""Draw one synthetic person as a layer. No TensorFlow.

Coordinates of shapes are in half head heights from the centre of the face, x to the right and y
down. The order of the random numbers is fixed: the same seed draws the same person.
"""

from typing import Tuple

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
LONG_HAIR = 0.5  # probability
STRAND_POINTS = 16

# Probabilities of a varied person.
BEARD, SKIRT, NECKLACE = 0.25, 0.25, 0.3
JACKET, COLLAR, PRINT = 0.3, 0.2, 0.2  # at most one of them
GLASSES, DARK_GLASSES = 0.3, 0.15
HAT, HEADPHONES = 0.25, 0.1  # headphones without a hat
RAISED_ARM, LONG_SLEEVE, HELD_OBJECT = 0.4, 0.6, 0.6

BOTH_SIDES = (-1, 1)
UPPER_HALF = (180, 360)  # arc of an ellipse in degrees


def draw_person(
    random: np.random.RandomState, shape: Tuple[int, int], *, varied: bool = False
) -> np.ndarray:
    """Draw a person as a layer, uint8 [H,W,4].

    A varied person has any size, place, skin, hair, clothes and accessories.
    """
    person = Person(random, shape, varied)
    person.paint()
    sides = random.uniform(0.7, 1.1), random.uniform(0.7, 1.1)  # light from left to right
    return apply_light(person.canvas, np.linspace(*sides, shape[1], dtype=np.float32))


class Person(Brush):
    """Chooses the look of a person at random and paints it. Colours are RGB 0..255."""

    def __init__(self, random, shape, varied):
        height, width = shape
        head, angle = height * random.uniform(0.13, 0.18), 0.0
        self.face_width = random.uniform(0.72, 0.82)  # half of it
        centre = np.array([width * random.uniform(0.42, 0.58), height * random.uniform(0.33, 0.42)])
        self.skin = LIGHTEST_SKIN * random.uniform(0.4, 1) * random.uniform(0.95, 1.0, 3)
        self.hair = HAIR_COLOURS[random.randint(len(HAIR_COLOURS))]
        self.cloth, self.iris = random.uniform(20, 200, 3), random.uniform(20, 110, 3)
        self.long_hair, self.hair_style = random.rand() < LONG_HAIR, "hair"
        if varied:
            head *= np.exp(random.uniform(np.log(0.45), np.log(1.6)))
            x = random.normal(0.5, 0.15) * width
            centre = np.array([x, (0.38 + random.uniform(-0.2, 0.1)) * height])
            angle = np.radians(random.normal(0, 6))
            self.skin = LIGHTEST_SKIN * random.uniform(0.2, 1) * random.uniform(0.9, 1.0, 3)
            self.hair_style = HAIR_STYLES[random.choice(4, p=HAIR_STYLE_PROBABILITIES)]
            self.long_hair = self.long_hair and self.hair_style == "hair"
        super().__init__(np.zeros((height, width, 4), np.uint8), centre, head, angle)
        self.random, self.varied = random, varied

    def paint(self):
        """Paint all parts from back to front."""
        if self.hair_style != "bald":
            self._paint_hair_behind()
        shoulders = self.random.uniform(1.9, 2.4)  # half of their width
        self._paint_body(shoulders)
        self._paint_head(has_beard=self.varied and self.random.rand() < BEARD)
        if self.hair_style != "bald":
            self._paint_hair_in_front()
        if self.varied:
            if self.random.rand() < GLASSES:
                self._paint_glasses()
            self._paint_hat_or_headphones()
            if self.random.rand() < RAISED_ARM:
                self._paint_arm(shoulders)

    def _paint_hair_behind(self):
        self.ellipse((0, -0.12), (self.face_width * 1.22, 1.12), self.hair * 0.8)
        if self.hair_style == "afro":
            size = self.random.uniform(1.4, 1.8)
            axes = self.face_width * size, size * 0.85
            self.ellipse((0, -0.3), axes, self.hair * 0.8, soft=0.06)
        if self.hair_style == "bun":
            place = self.random.uniform(-0.4, 0.4), -1.25
            self.ellipse(place, (0.4, 0.35), self.hair * 0.85, soft=0.03)
        if self.long_hair:
            left = [(-0.85, -0.5), (-1.0, 0.4), (-1.08, 1.2), (-0.8, 1.9)]
            right = [(-x, y) for x, y in reversed(left)]
            self.polygon(left + right, self.hair * 0.8, soft=0.03)

    def _paint_body(self, shoulders):
        """Paint legs, clothes and neck."""
        waist, bottom = shoulders * 1.12, 8.0  # the body of a plain person ends below the image
        if self.varied:
            waist, bottom = shoulders * self.random.uniform(0.6, 0.9), self.random.uniform(5.2, 6.5)
            self._paint_legs(waist, bottom)
        x = np.linspace(-1, 1, 61)
        outline = np.column_stack([shoulders * x, 1.45 + 0.75 * abs(x) ** 2.5])
        self.polygon([*outline, (waist, bottom), (-waist, bottom)], self.cloth)
        self._paint_stripes()
        if self.varied:
            self._paint_clothes(shoulders)
        self.ellipse((0, 1.42), (0.62, 0.34), self.skin * 0.85)  # neckline
        self.polygon([(-0.36, 0.6), (-0.42, 1.5), (0.42, 1.5), (0.36, 0.6)], self.skin * 0.8)

    def _paint_legs(self, hip, top):
        """Paint two legs, perhaps behind a skirt, and shoes."""
        random = self.random
        colour, bottom = random.uniform(10, 200, 3), top + random.uniform(4.5, 6)
        top -= 0.3
        if random.rand() < SKIRT:
            hem = hip * random.uniform(0.9, 1.5)
            self.polygon([(-hip, top), (hip, top), (hem, bottom), (-hem, bottom)], colour)
        for side in BOTH_SIDES:
            foot = side * random.uniform(0.5, 1.1)
            ends = [(foot - side * 0.4, bottom), (foot + side * 0.4, bottom)]
            self.polygon([(side * hip, top), (0, top), *ends], colour * 0.95)
            shoe = (foot + side * 0.2, bottom + 0.1)
            self.ellipse(shoe, (0.6, 0.3), random.uniform(0, 200, 3))

    def _paint_stripes(self):
        """Paint stripes on the clothes. Only pixels of the cloth's colour below the neck change."""
        angle, period = self.random.uniform(0, np.pi), self.random.uniform(0.1, 0.6) * self.head
        strength = self.random.uniform(0, 0.3)
        neck_row = int(np.floor(self.to_pixels((0, 1.4))[1])) + 1
        below = self.canvas[max(0, neck_row) :]
        if not below.size:
            return
        x = np.cos(angle) * 2 * np.pi / period * np.arange(below.shape[1])
        y = np.sin(angle) * 2 * np.pi / period * np.arange(below.shape[0])
        # sin(x + y) = sin(y) cos(x) + cos(y) sin(x)
        wave = np.stack([np.sin(y), np.cos(y)], 1) @ np.stack([np.cos(x), np.sin(x)])
        wave = cv2.convertScaleAbs(wave + 1, alpha=127.5)
        striped = [
            cv2.convertScaleAbs(wave, alpha=value * strength / 127.5, beta=value * (1 - strength))
            for value in self.cloth
        ]
        plain = np.rint(np.append(self.cloth, 255))
        clothes = cv2.inRange(below, plain - 1, plain + 1)
        cv2.copyTo(cv2.merge([*striped, np.full_like(wave, 255)]), clothes, below)

    def _paint_clothes(self, shoulders):
        """Paint a jacket, a collar or a print, and a necklace."""
        random, choice = self.random, self.random.rand()
        if choice < JACKET:
            colour = random.uniform(10, 230, 3)
            for side in BOTH_SIDES:
                half = [(side * 0.25, 1.5), (side * shoulders, 2.2), (side * shoulders * 0.75, 5.5)]
                self.polygon([*half, (side * random.uniform(0.2, 0.5), 5.5)], colour)
        elif choice < JACKET + COLLAR:
            self.polygon([(-0.5, 1.4), (0.5, 1.4), (0, 2.4)], random.uniform(150, 255, 3))
        elif choice < JACKET + COLLAR + PRINT:
            size = random.uniform(0.3, 0.8)
            self.ellipse((random.uniform(-0.3, 0.3), 3), (size, size), random.uniform(0, 255, 3))
        if random.rand() < NECKLACE:
            self.line([(-0.4, 1.5), (0, 2.3), (0.4, 1.5)], 0.04, self.cloth * 0.4)

    def _paint_head(self, has_beard):
        """Paint ears, face, beard, eyes, nose and mouth."""
        skin, hair, face_width = self.skin, self.hair, self.face_width
        for side in BOTH_SIDES:
            self.ellipse((side * face_width, 0.08), (0.11, 0.2), skin * 0.9)
        self.ellipse((0, 0), (face_width, 1.0), skin)
        self.ellipse((0.25, 0.2), (0.3, 0.4), skin * 1.06, soft=0.15)  # lit cheek
        if has_beard:
            self.ellipse((0, 0.6), (face_width * 0.9, 0.5), hair * 0.9, soft=0.06)
        for side in BOTH_SIDES:
            self.ellipse((side * 0.34, -0.05), (0.14, 0.075), EYE_WHITE)
            self.ellipse((side * 0.34, -0.05), (0.065, 0.07), self.iris)
            self.ellipse((side * 0.35, -0.24), (0.18, 0.04), hair * 0.7)  # eyebrow
        self.ellipse((0, 0.28), (0.1, 0.06), skin * 0.75, soft=0.02)
        self.ellipse((0, 0.56), (0.27, 0.07), skin * LIPS)

    def _paint_hair_in_front(self):
        self.ellipse((0, -0.42), (self.face_width * 1.08, 0.72), self.hair, arc=UPPER_HALF)
        fringe = (self.random.uniform(-0.3, 0.3), -0.5)
        self.ellipse(fringe, (self.face_width * 0.8, 0.25), self.hair * 1.1, soft=0.05)
        for shade in (0.7, 1.0, 1.3):
            self._paint_strands(self.hair * shade)

    def _paint_strands(self, colour):
        """Paint curves that leave the outline of the hair and hang down."""
        random, t = self.random, np.linspace(0, 1, STRAND_POINTS)[:, None]
        count = random.randint(20, 45)
        angle = random.uniform(np.pi * 0.95, np.pi * 2.05, (count, 1))  # over the top of the head
        direction = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        roots = direction * (self.face_width * 1.15, 1.05) - (0, 0.12)
        outward = direction * random.uniform(0.05, 0.45, (count, 1))
        shortest, longest = (0.3, 1.6) if self.long_hair else (-0.1, 0.25)
        fall = random.uniform(shortest, longest, (count, 1))
        hanging = np.concatenate([random.uniform(-0.25, 0.25, (count, 1)), fall], axis=1)
        curves = roots[:, None] + outward[:, None] * np.sqrt(t) + hanging[:, None] * t**2
        self.strands(curves, random.uniform(0.4, 1, count), colour)

    def _paint_glasses(self):
        frame, angles = self.random.uniform(0, 90, 3), np.linspace(0, 2 * np.pi, 25)
        for side in BOTH_SIDES:
            x, y = side * 0.36 + 0.24 * np.cos(angles), -0.03 + 0.19 * np.sin(angles)
            glass = np.column_stack([x, y])
            if self.random.rand() < DARK_GLASSES:
                self.polygon(glass, frame * 0.5)
            self.line(glass, 0.05, frame)
            self.line([(side * 0.6, -0.06), (side * self.face_width, -0.02)], 0.04, frame)
        self.line([(-0.12, -0.06), (0.12, -0.06)], 0.05, frame)

    def _paint_hat_or_headphones(self):
        random, face_width = self.random, self.face_width
        if random.rand() < HAT:
            colour, brim = random.uniform(10, 230, 3), random.uniform(1.0, 2.0)
            crown = face_width * 1.2, random.uniform(0.6, 0.9)
            self.ellipse((0, -0.55), crown, colour, arc=UPPER_HALF)
            self.ellipse((0, -0.55), (face_width * brim, 0.12), colour * 0.8)
        elif random.rand() < HEADPHONES:
            colour, angles = random.uniform(0, 200, 3), np.linspace(np.pi, 2 * np.pi, 25)
            x, y = 1.2 * np.cos(angles) * face_width, 1.15 * np.sin(angles)
            self.line(np.column_stack([x, y]), 0.12, colour)
            for side in BOTH_SIDES:
                self.ellipse((side * face_width * 1.1, 0.1), (0.18, 0.3), colour)

    def _paint_arm(self, shoulders):
        """Paint a raised arm, perhaps with a rectangular object in the hand."""
        random, side = self.random, self.random.choice(BOTH_SIDES)
        elbow = (side * shoulders * random.uniform(1.0, 1.5), random.uniform(2.5, 4))
        hand = (side * random.uniform(0.2, 2.4), random.uniform(-1.2, 2.6))
        self.line([(side * shoulders * 0.85, 2.1), elbow], 0.75, self.cloth * 0.9)
        long_sleeve = random.rand() < LONG_SLEEVE
        self.line([elbow, hand], 0.55, self.cloth * 0.92 if long_sleeve else self.skin * 0.9)
        if random.rand() < HELD_OBJECT:
            size, angle = random.uniform(0.25, 1.0, 2), random.uniform(-0.5, 0.5)
            corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * size
            rotation = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
            self.polygon(hand + corners @ rotation, random.uniform(0, 255, 3))
        self.ellipse(hand, (0.35, 0.4), self.skin * 0.95)
