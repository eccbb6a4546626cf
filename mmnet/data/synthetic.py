"""Draw portraits of made-up people: a picture with strands of hair, and its true soft alpha.

The same seed draws the same person. The portraits are nobody's photos, so they may be shown and
shipped. They serve the quick start, the tests and the README's figure. They are no training data
for real photos.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from mmnet.data.images import save_jpeg, save_png
from mmnet.progress import progress

FRACTION_BITS = 4  # strands have fixed-point coordinates with this many fraction bits
# A person is drawn at twice the size and then averaged. This makes the alpha of the edges true.
SUPERSAMPLING = 2
LARGER = 1.3  # sides of what a clip's frames show a part of, in theirs
FOREGROUND = "foreground"  # folder beside image and mask
PLAIN, VARIED = LOOKS = ("plain", "varied")  # of the persons and what is around them
HAIR_COLOURS = (  # RGB
    (35, 25, 20),
    (80, 50, 30),
    (150, 105, 60),
    (200, 170, 110),
    (120, 120, 120),
    (110, 45, 25),
)


def synthesize(
    dataset_path,
    split,
    pictures,
    seed=0,
    shape=(800, 600),
    *,
    frames=1,
    looks=PLAIN,
    backgrounds=(),
):
    """Write ``pictures`` portraits as a split of a data set, or clips of more than one frame.

    looks: one of LOOKS; VARIED: of draw_scene, with its ``backgrounds``, and
    ``foreground/portrait<seed>_<number>.png`` beside the two, the persons cut out in their own
    colours (RGBA).

    Their files are ``image/portrait<seed>_<number>.jpg`` and ``mask/portrait<seed>_<number>.png``
    below ``<dataset_path>/<split>``; of a clip ``clip<seed>_<number>_<frame>``.
    """
    folders = [os.path.join(dataset_path, split, kind) for kind in ("image", "mask")]
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
    if looks == VARIED:
        os.makedirs(os.path.join(dataset_path, split, FOREGROUND), exist_ok=True)

    def write(number):
        random = np.random.RandomState([seed, number])
        if frames == 1:
            stem = "portrait%d_%04d" % (seed, number)
            if looks == VARIED:
                image, alpha, foreground = draw_scene(random, shape, backgrounds)
                opacity = np.rint(alpha * 255).astype(np.uint8)
                path = os.path.join(dataset_path, split, FOREGROUND, stem + ".png")
                save_png(path, np.dstack([foreground, opacity]))
                drawn = [(stem, (image, alpha))]
            else:
                drawn = [(stem, draw_portrait(random, shape))]
        else:
            clip = enumerate(draw_clip(random, frames, shape))
            drawn = (("clip%d_%04d_%04d" % (seed, number, at), pictures) for at, pictures in clip)
        for stem, (image, alpha) in drawn:
            save_jpeg(os.path.join(folders[0], stem + ".jpg"), image)
            save_png(os.path.join(folders[1], stem + ".png"), np.rint(alpha * 255).astype(np.uint8))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in progress(pool.map(write, range(pictures)), pictures, "drawing"):
            pass


def draw_portrait(random, shape=(800, 600)):
    """Draw one portrait.

    Args:
        random: np.random.RandomState.
        shape: (height, width) in pixels.

    Returns:
        (image uint8 [H,W,3] RGB, alpha float32 [H,W] 0..1). The image is
        alpha x person + (1 - alpha) x background, with noise added.
    """
    image, alpha = _composed(*_draw_layers(random, shape, shape[0]))
    sensor_noise = random.normal(0, 1, tuple(shape) + (1,)).astype(np.float32)
    image += sensor_noise * random.uniform(0.5, 3)
    return _as_bytes(image), alpha


def draw_scene(random, shape=(800, 600), backgrounds=()):
    """Draw one varied picture: as draw_portrait, and of many looks.

    One person or two, of any size and place, upright or leaning, with glasses, hats, beards, things
    in their hands; before made-up rooms or real pictures, in light of any colour.

    Args:
        backgrounds: pictures without people, uint8 [h,w,3]; where there are some, most pictures
            have one.

    Returns:
        (image, alpha, foreground): as draw_portrait, and uint8 [H,W,3], the persons' own colours;
        0 where nobody is.
    """
    height, width = shape
    if len(backgrounds) and random.rand() < 0.85:
        background = _cropped(random, backgrounds[random.randint(len(backgrounds))], shape)
    else:
        background = _draw_background(random, height, width)
    background *= np.float32(random.uniform(0.6, 1.2))
    persons = np.zeros((height, width, 4), np.float32)
    for _ in range(2 if random.rand() < 0.15 else 1):
        person = _draw_person(random, height, width, varied=True)
        person = cv2.GaussianBlur(person, (0, 0), random.uniform(0.3, 0.7) * max(shape) / 800)
        person = _lit(random, person)
        persons = person + (1 - np.clip(person[..., 3:], 0, 1)) * persons
    alpha = np.clip(persons[..., 3:], 0, 1)
    contrast, tint = random.uniform(0.7, 1.4), random.uniform(0.85, 1.15, 3).astype(np.float32)
    foreground, background = (
        np.clip(255 * np.clip(colours / 255, 0, 1) ** contrast * tint, 0, 255)
        for colours in (persons[..., :3] / np.maximum(alpha, 1e-3), background)
    )
    image = alpha * foreground + (1 - alpha) * background
    image += random.normal(0, random.uniform(0.5, 6), (height, width, 1)).astype(np.float32)
    return _as_bytes(image), alpha[..., 0], _as_bytes(foreground)


def _lit(random, person):
    """A person in light from one side, with the grain of skin and cloth."""
    height, width = person.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = random.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5)
    grain = random.normal(0, 1, (max(2, height // 8), max(2, width // 8))).astype(np.float32)
    grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    light = 1 + random.uniform(0, 0.8) * ramp + random.uniform(0, 0.06) * grain
    person = person.copy()
    person[..., :3] *= np.clip(light, 0.1, 2)[..., None]
    return person


def _cropped(random, picture, shape):
    """A part of a picture, at least half of it, that fills ``shape``: float32 [H,W,3]."""
    height, width = shape
    scale = max(height / picture.shape[0], width / picture.shape[1]) * random.uniform(1, 2)
    size = [
        max(own, int(round(side * scale)))
        for own, side in zip((width, height), picture.shape[1::-1])
    ]
    picture = cv2.resize(picture, tuple(size), interpolation=cv2.INTER_LINEAR)
    top, left = random.randint(size[1] - height + 1), random.randint(size[0] - width + 1)
    part = picture[top : top + height, left : left + width]
    return (part[:, ::-1] if random.rand() < 0.5 else part).astype(np.float32)


def draw_clip(random, frames, shape=(800, 600)):
    """Yield the frames of a clip in which the person and the camera move: as draw_portrait's.

    Both follow smooth paths of their own; noise is new in each frame, and the light wavers.
    """
    height, width = shape
    larger = tuple(int(round(side * LARGER)) for side in shape)
    drawn = _draw_layers(random, larger, height)
    noise = random.uniform(0.5, 3)
    paths = [_path(random, frames) for _ in range(2)]
    for frame in range(frames):
        layers = [
            cv2.warpAffine(
                layer,
                _window(larger, shape, path[frame]),
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for layer, path in zip(drawn, paths)
        ]
        image, alpha = _composed(*layers)
        image = image * np.float32(1 + 0.02 * random.normal())
        image += random.normal(0, noise, (height, width, 1)).astype(np.float32)
        yield _as_bytes(image), alpha


def _draw_layers(random, shape, frame_height):
    """(person as _draw_person's, background as _draw_background's), both of ``shape``.

    frame_height: of the picture that shows them, by which the lens blurs.
    """
    height, width = shape
    person = _draw_person(random, height * SUPERSAMPLING, width * SUPERSAMPLING)
    person = cv2.resize(person, (width, height), interpolation=cv2.INTER_AREA)
    person = cv2.GaussianBlur(person, (0, 0), random.uniform(0.3, 0.7) * frame_height / 800)
    return person, _draw_background(random, height, width)


def _composed(person, background):
    """(the person before the background, float32 [H,W,3] 0..255; alpha float32 [H,W] 0..1)."""
    alpha = np.clip(person[..., 3], 0, 1)
    return person[..., :3] + (1 - alpha[..., None]) * background, alpha


def _as_bytes(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _path(random, frames):
    """A smooth path [frames,4]: x and y -1..1, a turn in degrees, the logarithm of a zoom."""
    times = np.arange(frames)[:, None] / 25  # seconds
    speeds, phases = random.uniform(0.2, 1.2, (3, 4)), random.uniform(0, 2 * np.pi, (3, 4))
    waves = [np.sin(2 * np.pi * speed * times + phase) for speed, phase in zip(speeds, phases)]
    return np.mean(waves, axis=0) * [1, 1, 5, 0.06]


def _window(larger, shape, place):
    """The matrix that shows a part of a larger layer: pixel of the frame -> pixel of the layer."""
    x, y, turn, zoom = place
    room = (np.array(larger[::-1]) - shape[::-1]) / 2
    matrix = cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), turn, float(np.exp(zoom)))
    matrix[:, 2] += room * (1 + 0.8 * np.array([x, y]))
    return matrix


def _draw_background(random, height, width):
    """Blend two colours into each other and draw soft shapes in front: float32 [H,W,3] 0..255."""
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
    """Draw a colour that lies half way to grey."""
    colour = random.uniform(40, 220, 3).astype(np.float32)
    return colour * 0.5 + np.float32(random.uniform(40, 220) * 0.5)


class Brush:
    """Paints on a canvas in half head heights from the centre of a face."""

    def __init__(self, canvas, centre, head, turn=0.0):
        """canvas: float32 [H,W,4]. centre: [x, y]. head: half its height, in pixels.

        turn: of all that is painted around the centre, in radians, clockwise.
        """
        self.canvas, self.centre, self.head, self.turn = canvas, centre, head, turn

    def at(self, points):
        """The pixels of points [...,2]."""
        points = np.asarray(points, np.float64)
        if self.turn:
            sine, cosine = np.sin(self.turn), np.cos(self.turn)
            points = points @ np.array([[cosine, sine], [-sine, cosine]])
        return self.centre + points * self.head

    def paint(self, colour, draw, soft=0.0):
        """Let ``draw`` fill an empty layer, and lay it over the canvas in ``colour``."""
        layer = np.zeros(self.canvas.shape[:2], np.uint8)
        draw(layer)
        left, top, wide, high = cv2.boundingRect(layer)
        if not wide:
            return
        room = int(4 * soft * self.head) + 2 if soft else 0  # a blur reaches three sigmas
        bottom, right = top + high + room, left + wide + room
        inside = (slice(max(0, top - room), bottom), slice(max(0, left - room), right))
        layer = layer[inside]
        if soft:
            layer = cv2.GaussianBlur(layer, (0, 0), soft * self.head)
        opacity = layer[..., None] / np.float32(255)
        opaque = np.append(colour, 1).astype(np.float32)
        self.canvas[inside] += (opaque - self.canvas[inside]) * opacity

    def ellipse(self, point, axes, colour, soft=0.0, arc=(0, 360)):
        centre_pixel = _fixed_point(self.at(point))
        axes = (int(axes[0] * self.head), int(axes[1] * self.head))
        start, end = arc
        degrees = np.degrees(self.turn)

        def draw_ellipse(layer):
            cv2.ellipse(layer, centre_pixel, axes, degrees, start, end, 255, -1, cv2.LINE_AA)

        self.paint(colour, draw_ellipse, soft)

    def polygon(self, points, colour, soft=0.0):
        corners = _fixed_point(self.at(points))
        self.paint(colour, lambda layer: cv2.fillPoly(layer, [corners], 255, cv2.LINE_AA), soft)

    def line(self, points, width, colour):
        """A line through points, ``width`` half head heights wide, with round ends."""
        corners = _fixed_point(self.at(points))
        width = max(1, int(width * self.head))

        def draw_line(layer):
            cv2.polylines(layer, [corners], False, 255, width, cv2.LINE_AA)

        self.paint(colour, draw_line)


def _draw_person(random, height, width, varied=False):
    """Draw the person alone.

    Returns:
        float32 [H,W,4]: colour 0..255, already multiplied by alpha, and alpha 0..1.
    """
    canvas = np.zeros((height, width, 4), np.float32)
    head = height * random.uniform(0.13, 0.18)  # half the height of the head; it scales all else
    face = head * random.uniform(0.72, 0.82)
    centre = np.array([width * random.uniform(0.42, 0.58), height * random.uniform(0.33, 0.42)])
    lightest_skin = np.array([255, 219, 190], np.float32)
    skin = lightest_skin * random.uniform(0.4, 1) * random.uniform(0.95, 1.0, 3)
    hair = np.array(HAIR_COLOURS, np.float32)[random.randint(6)]
    cloth, iris = random.uniform(20, 200, 3), random.uniform(20, 110, 3)
    long_hair = random.rand() < 0.5
    brush, round_face = Brush(canvas, centre, head), face / head
    thickness = max(1, int(height / 1000))
    style = "hair"
    if varied:
        scale = np.exp(random.uniform(np.log(0.45), np.log(1.6)))
        place = random.normal(0.5, 0.15) * width, (0.38 + random.uniform(-0.2, 0.1)) * height
        turn = np.radians(random.normal(0, 6))
        brush = Brush(canvas, np.array(place), head * scale, turn)
        skin = lightest_skin * random.uniform(0.2, 1) * random.uniform(0.9, 1.0, 3)
        style = ("hair", "bald", "afro", "bun")[random.choice(4, p=(0.6, 0.15, 0.15, 0.1))]
        long_hair = long_hair and style == "hair"

    def draw_strands(layer):
        for strand in _strands(random, round_face, long_hair):
            points = [_fixed_point(brush.at(strand), FRACTION_BITS)]
            grey = random.randint(100, 256)
            cv2.polylines(layer, points, False, grey, thickness, cv2.LINE_AA, FRACTION_BITS)

    # The shapes are drawn from back to front: the hair behind, the shoulders, the neck, the head,
    # the hair in front. Each shape has one colour.
    if style != "bald":
        brush.ellipse((0, -0.12), (round_face * 1.22, 1.12), hair * 0.8)
    if style == "afro":
        size = random.uniform(1.4, 1.8)
        brush.ellipse((0, -0.3), (round_face * size, size * 0.85), hair * 0.8, soft=0.06)
    if style == "bun":
        brush.ellipse((random.uniform(-0.4, 0.4), -1.25), (0.4, 0.35), hair * 0.85, soft=0.03)
    if long_hair:
        left = [(-0.85, -0.5), (-1.0, 0.4), (-1.08, 1.2), (-0.8, 1.9)]
        right = [(-x, y) for x, y in reversed(left)]
        brush.polygon(left + right, hair * 0.8, soft=0.03)
    shoulders = random.uniform(1.9, 2.4)
    outline = [(shoulders * x, 1.45 + 0.75 * abs(x) ** 2.5) for x in np.linspace(-1, 1, 61)]
    waist = (1.12, 8)
    if varied:
        waist = (random.uniform(0.6, 0.9), random.uniform(5.2, 6.5))
        _draw_legs(random, brush, shoulders * waist[0], waist[1])
    outline += [(shoulders * waist[0], waist[1]), (-shoulders * waist[0], waist[1])]
    brush.polygon(outline, cloth)
    _stripe(random, canvas, cloth, brush.at((0, 1.4))[1], brush.head)
    if varied:
        _dress(random, brush, shoulders, cloth)
    brush.ellipse((0, 1.42), (0.62, 0.34), skin * 0.85)
    neck = [(-0.36, 0.6), (-0.42, 1.5), (0.42, 1.5), (0.36, 0.6)]
    brush.polygon(neck, skin * 0.8)
    for side in (-1, 1):
        brush.ellipse((side * round_face, 0.08), (0.11, 0.2), skin * 0.9)
    brush.ellipse((0, 0), (round_face, 1.0), skin)
    brush.ellipse((0.25, 0.2), (0.3, 0.4), skin * 1.06, soft=0.15)
    if varied and random.rand() < 0.25:  # a beard
        brush.ellipse((0, 0.6), (round_face * 0.9, 0.5), hair * 0.9, soft=0.06)
    for side in (-1, 1):
        brush.ellipse((side * 0.34, -0.05), (0.14, 0.075), (245, 245, 245))
        brush.ellipse((side * 0.34, -0.05), (0.065, 0.07), iris)
        brush.ellipse((side * 0.35, -0.24), (0.18, 0.04), hair * 0.7)
    brush.ellipse((0, 0.28), (0.1, 0.06), skin * 0.75, soft=0.02)
    brush.ellipse((0, 0.56), (0.27, 0.07), skin * np.array([0.85, 0.5, 0.5], np.float32))
    if style != "bald":
        brush.ellipse((0, -0.42), (round_face * 1.08, 0.72), hair, arc=(180, 360))
        fringe = (random.uniform(-0.3, 0.3), -0.5)
        brush.ellipse(fringe, (round_face * 0.8, 0.25), hair * 1.1, soft=0.05)
        for shade in (0.7, 1.0, 1.3):
            brush.paint(hair * shade, draw_strands)
    if varied:
        _add_things(random, brush, round_face, shoulders, skin=skin, cloth=cloth)
    ends = random.uniform(0.7, 1.1), random.uniform(0.7, 1.1)
    light = np.linspace(*ends, width, dtype=np.float32)
    canvas[..., :3] *= light[:, None]
    return canvas


def _draw_legs(random, brush, hip, top):
    """Two legs, or a skirt, and shoes."""
    colour, bottom = random.uniform(10, 200, 3), top + random.uniform(4.5, 6)
    if random.rand() < 0.25:
        flare = random.uniform(0.9, 1.5)
        skirt = [(-hip, top - 0.3), (hip, top - 0.3), (hip * flare, bottom), (-hip * flare, bottom)]
        brush.polygon(skirt, colour)
    for side in (-1, 1):
        foot = side * random.uniform(0.5, 1.1)
        leg = [(side * hip, top - 0.3), (0, top - 0.3), (foot - side * 0.4, bottom)]
        brush.polygon([*leg, (foot + side * 0.4, bottom)], colour * 0.95)
        brush.ellipse((foot + side * 0.2, bottom + 0.1), (0.6, 0.3), random.uniform(0, 200, 3))


def _dress(random, brush, shoulders, cloth):
    """A collar, a jacket's two halves, or a print on the clothes."""
    choice = random.rand()
    if choice < 0.3:
        other = random.uniform(10, 230, 3)
        for side in (-1, 1):
            half = [(side * 0.25, 1.5), (side * shoulders, 2.2), (side * shoulders * 0.75, 5.5)]
            brush.polygon([*half, (side * random.uniform(0.2, 0.5), 5.5)], other)
    elif choice < 0.5:
        brush.polygon([(-0.5, 1.4), (0.5, 1.4), (0, 2.4)], random.uniform(150, 255, 3))
    elif choice < 0.7:
        size = random.uniform(0.3, 0.8)
        brush.ellipse((random.uniform(-0.3, 0.3), 3), (size, size), random.uniform(0, 255, 3))
    if random.rand() < 0.3:
        brush.line([(-0.4, 1.5), (0, 2.3), (0.4, 1.5)], 0.04, cloth * 0.4)


def _add_things(random, brush, round_face, shoulders, *, skin, cloth):
    """Glasses, a hat, headphones, an arm that is raised, with something in the hand."""
    if random.rand() < 0.3:
        frame = random.uniform(0, 90, 3)
        for side in (-1, 1):
            round_glass = [
                (side * 0.36 + 0.24 * np.cos(turn), -0.03 + 0.19 * np.sin(turn))
                for turn in np.linspace(0, 2 * np.pi, 25)
            ]
            if random.rand() < 0.15:
                brush.polygon(round_glass, frame * 0.5)
            brush.line(round_glass, 0.05, frame)
            brush.line([(side * 0.6, -0.06), (side * round_face, -0.02)], 0.04, frame)
        brush.line([(-0.12, -0.06), (0.12, -0.06)], 0.05, frame)
    if random.rand() < 0.25:
        colour, brim = random.uniform(10, 230, 3), random.uniform(1.0, 2.0)
        brush.ellipse(
            (0, -0.55), (round_face * 1.2, random.uniform(0.6, 0.9)), colour, arc=(180, 360)
        )
        brush.ellipse((0, -0.55), (round_face * brim, 0.12), colour * 0.8)
    elif random.rand() < 0.1:
        colour = random.uniform(0, 200, 3)
        around = np.linspace(np.pi, 2 * np.pi, 25)
        brush.line(
            [(1.2 * np.cos(turn) * round_face, 1.15 * np.sin(turn)) for turn in around],
            0.12,
            colour,
        )
        for side in (-1, 1):
            brush.ellipse((side * round_face * 1.1, 0.1), (0.18, 0.3), colour)
    if random.rand() < 0.4:
        side = random.choice((-1, 1))
        elbow = (side * shoulders * random.uniform(1.0, 1.5), random.uniform(2.5, 4))
        hand = (side * random.uniform(0.2, 2.4), random.uniform(-1.2, 2.6))
        brush.line([(side * shoulders * 0.85, 2.1), elbow], 0.75, cloth * 0.9)
        brush.line([elbow, hand], 0.55, cloth * 0.92 if random.rand() < 0.6 else skin * 0.9)
        if random.rand() < 0.6:
            wide, high = random.uniform(0.25, 1.0, 2)
            corners = [(-wide, -high), (wide, -high), (wide, high), (-wide, high)]
            turn = random.uniform(-0.5, 0.5)
            turned = [
                (
                    hand[0] + x * np.cos(turn) - y * np.sin(turn),
                    hand[1] + x * np.sin(turn) + y * np.cos(turn),
                )
                for x, y in corners
            ]
            brush.polygon(turned, random.uniform(0, 255, 3))
        brush.ellipse(hand, (0.35, 0.4), skin * 0.95)


def _strands(random, round_face, long_hair):
    """Yield curves that leave the outline of the hair and hang down.

    The points [16,2] count half head heights from the centre of the face.
    """
    t = np.linspace(0, 1, 16)[:, None]
    for _ in range(random.randint(20, 45)):
        angle = random.uniform(np.pi * 0.95, np.pi * 2.05)  # over the top of the head
        root = np.array([np.cos(angle) * round_face * 1.15, np.sin(angle) * 1.05 - 0.12])
        outward = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(0.05, 0.45)
        fall = random.uniform(0.3, 1.6) if long_hair else random.uniform(-0.1, 0.25)
        sideways = random.uniform(-0.25, 0.25)
        yield root + outward * np.sqrt(t) + np.array([sideways, fall]) * t**2


def _stripe(random, canvas, cloth, top, head):
    """Draw stripes on the clothes, in place. Only colours change, and only below ``top``."""
    angle, period = random.uniform(0, np.pi), random.uniform(0.1, 0.6) * head
    strength = random.uniform(0, 0.3)
    first = min(canvas.shape[0], max(0, int(np.floor(top)) + 1))  # row
    below = canvas[first:]
    y = np.arange(first, canvas.shape[0], dtype=np.float32)[:, None]
    x = np.arange(canvas.shape[1], dtype=np.float32)
    phase = (np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / period
    wave = np.sin(phase) * strength
    difference = np.abs(below[..., :3] - np.asarray(cloth, np.float32) * below[..., 3:])
    wave *= difference.max(axis=2) < 1  # only the pixels of the clothes
    below[..., :3] *= 1 + wave[..., None]


def _fixed_point(points, fraction_bits=0):
    """Round points to fixed-point integers, as OpenCV takes them."""
    points = np.rint(np.asarray(points) * (1 << fraction_bits)).astype(np.int32)
    return tuple(int(value) for value in points) if points.ndim == 1 else points
