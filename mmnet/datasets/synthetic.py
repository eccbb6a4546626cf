"""Draw portraits of made-up people: a picture with strands of hair, and its true soft alpha.

The same seed draws the same person. The portraits are nobody's photos, so they may be shown and
shipped. They serve the quick start, the tests and the README's figure.

All is drawn in bytes by OpenCV, so that drawing keeps up with the codec that writes it. Layers are
uint8 [H,W,4]: colour multiplied by alpha, and alpha 0..255.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from mmnet.io.images import save_jpeg, save_png
from mmnet.io.progress import progress

FRACTION_BITS = 4  # of OpenCV's fixed-point coordinates, by which edges lie between pixels
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
    """Write ``pictures`` portraits as a split of a dataset, or clips of more than one frame.

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
                path = os.path.join(dataset_path, split, FOREGROUND, stem + ".png")
                save_png(path, cv2.merge([*cv2.split(foreground), _as_opacity(alpha)]))
                drawn = [(stem, (image, alpha))]
            else:
                drawn = [(stem, draw_portrait(random, shape))]
        else:
            clip = enumerate(draw_clip(random, frames, shape))
            drawn = (("clip%d_%04d_%04d" % (seed, number, at), pictures) for at, pictures in clip)
        for stem, (image, alpha) in drawn:
            save_jpeg(os.path.join(folders[0], stem + ".jpg"), image)
            save_png(os.path.join(folders[1], stem + ".png"), _as_opacity(alpha))

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
    image, opacity = _composed(*_draw_layers(random, shape, shape[0]))
    return _noisy(random, image, random.uniform(0.5, 3)), _as_alpha(opacity)


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
    brightness = random.uniform(0.6, 1.2)
    persons = np.zeros((height, width, 4), np.uint8)
    for _ in range(2 if random.rand() < 0.15 else 1):
        person = _draw_person(random, height, width, varied=True)
        person = _blurred(person, random.uniform(0.3, 0.7) * max(shape) / 800)
        _lay_over(persons, _lit(random, person))
    contrast, tint = random.uniform(0.7, 1.4), random.uniform(0.85, 1.15, 3)
    colours, opacity = cv2.cvtColor(persons, cv2.COLOR_RGBA2RGB), persons[..., 3]
    values = np.arange(256)[:, None]
    foreground = cv2.divide(colours, cv2.merge([opacity] * 3), scale=255)
    foreground, background = (
        cv2.LUT(picture, _as_bytes(np.clip(levels / 255, 0, 1) ** contrast * tint * 255)[None])
        for picture, levels in ((foreground, values), (background, values * brightness))
    )
    person = cv2.merge([*cv2.split(_weighted(foreground, opacity)), opacity])
    image, _ = _composed(person, background)
    return _noisy(random, image, random.uniform(0.5, 6)), _as_alpha(opacity), foreground


def _lit(random, person):
    """A person in light from one side, with the grain of skin and cloth."""
    height, width = person.shape[:2]
    angle = random.uniform(0, 2 * np.pi)
    grain = random.normal(0, 1, (max(2, height // 8), max(2, width // 8))).astype(np.float32)
    grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    across = np.cos(angle) * (np.arange(width) / width - 0.5)
    down = np.sin(angle) * (np.arange(height) / height - 0.5)
    strength, roughness = random.uniform(0, 0.8), random.uniform(0, 0.06)
    light = np.float32(roughness) * grain
    light += (1 + strength * across).astype(np.float32)
    light += (strength * down).astype(np.float32)[:, None]
    return _in_light(person, light)


def _in_light(person, light):
    """A layer with its colours, not its alpha, multiplied by ``light`` [H,W] or [W], 0.1 to 2."""
    one = 127  # so that 2 is a byte
    light = np.broadcast_to(light, person.shape[:2]) * np.float32(one)
    light = cv2.convertScaleAbs(np.clip(light, 0.1 * one, 2 * one))
    factors = cv2.merge([light, light, light, np.full_like(light, one)])
    return cv2.multiply(person, factors, scale=1 / one)


def _cropped(random, picture, shape):
    """A part of a picture, at least half of it a side, that fills ``shape``: uint8 [H,W,3]."""
    scale = max(np.array(shape) / picture.shape[:2]) * random.uniform(1, 2)
    high, wide = (
        min(whole, max(1, int(round(side / scale))))
        for side, whole in zip(shape, picture.shape[:2])
    )
    top = random.randint(picture.shape[0] - high + 1)
    left = random.randint(picture.shape[1] - wide + 1)
    part = picture[top : top + high, left : left + wide]
    part = cv2.resize(part, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.flip(part, 1) if random.rand() < 0.5 else part


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
        image, opacity = _composed(*layers)
        image = cv2.convertScaleAbs(image, alpha=1 + 0.02 * random.normal())
        yield _noisy(random, image, noise), _as_alpha(opacity)


def _draw_layers(random, shape, frame_height):
    """(person as _draw_person's, background as _draw_background's), both of ``shape``.

    frame_height: of the picture that shows them, by which the lens blurs.
    """
    person = _blurred(_draw_person(random, *shape), random.uniform(0.3, 0.7) * frame_height / 800)
    return person, _draw_background(random, *shape)


def _composed(person, background):
    """(a layer before the background, uint8 [H,W,3]; its alpha, uint8 [H,W])."""
    opacity = person[..., 3]
    behind = _weighted(background, cv2.bitwise_not(opacity))
    return cv2.add(cv2.cvtColor(person, cv2.COLOR_RGBA2RGB), behind), opacity


def _lay_over(canvas, layer):
    """Lay a layer over a canvas [H,W,4], in place."""
    canvas[...] = cv2.add(layer, _weighted(canvas, cv2.bitwise_not(layer[..., 3])))


def _weighted(picture, weights):
    """uint8 [H,W,C] times [H,W] / 255."""
    return cv2.multiply(picture, cv2.merge([weights] * picture.shape[2]), scale=1 / 255)


def _tinted(weights, colour):
    """uint8 [H,W] / 255 times a colour of C channels: uint8 [H,W,C]."""
    return cv2.merge([cv2.convertScaleAbs(weights, alpha=value / 255) for value in colour])


def _blurred(layer, sigma):
    """By a Gaussian of ``sigma`` pixels, or by what is nearly as smooth and faster."""
    if sigma < 2:
        return cv2.GaussianBlur(layer, (0, 0), sigma)
    side = int(round(math.sqrt(6 * sigma**2 + 1))) | 1  # twice a box has a box's variance twice
    return cv2.blur(cv2.blur(layer, (side, side)), (side, side))


def _normal_quantiles():
    """The normal distribution as 256 equally likely values."""
    values = np.linspace(-4, 4, 1601)
    shares = [0.5 + 0.5 * math.erf(value / math.sqrt(2)) for value in values]
    return np.interp((np.arange(256) + 0.5) / 256, shares, values)


NORMAL = _normal_quantiles()


def _noisy(random, image, sigma):
    """An image with the noise of a sensor, the same in each channel: uint8 [H,W,3]."""
    height, width = image.shape[:2]
    noise = np.frombuffer(random.bytes(height * width), np.uint8).reshape(height, width)
    brighter, darker = (
        cv2.merge([cv2.LUT(noise, _as_bytes(sign * sigma * NORMAL))] * 3) for sign in (1, -1)
    )
    return cv2.subtract(cv2.add(image, brighter), darker)


def _as_bytes(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _as_alpha(opacity):
    """uint8 0..255 as float32 0..1."""
    return opacity / np.float32(255)


def _as_opacity(alpha):
    """float32 0..1 as uint8 0..255."""
    return cv2.convertScaleAbs(alpha, alpha=255)


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
    """Blend two colours into each other and draw soft shapes in front: uint8 [H,W,3]."""
    angle = random.uniform(0, np.pi)
    across = np.cos(angle) * np.arange(width, dtype=np.float32)
    down = np.sin(angle) * np.arange(height, dtype=np.float32)
    blend = (across - across.min()) + (down - down.min())[:, None]
    blend = cv2.convertScaleAbs(blend, alpha=255 / blend.max())
    first, second = _muted(random), _muted(random)
    background = cv2.add(_tinted(cv2.bitwise_not(blend), first), _tinted(blend, second))
    for _ in range(random.randint(3, 9)):
        layer = np.zeros((height, width), np.uint8)
        corner = (int(random.uniform(-0.2, 1) * width), int(random.uniform(-0.2, 1) * height))
        extent = (int(random.uniform(0.1, 0.5) * width), int(random.uniform(0.1, 0.8) * height))
        rectangle, turn = random.rand() < 0.5, random.uniform(0, 180)
        sigma, colour = random.uniform(0.002, 0.03) * height, _muted(random)
        weight = int(255 * random.uniform(0.3, 0.9))
        if rectangle:
            opposite = (corner[0] + extent[0], corner[1] + extent[1])
            cv2.rectangle(layer, corner, opposite, weight, -1)
        else:
            cv2.ellipse(layer, corner, extent, turn, 0, 360, weight, -1)
        _paint(background, layer, colour, sigma)
    return background


def _paint(canvas, layer, colour, sigma=0.0):
    """Lay a colour over a canvas [H,W,C], in place, as far as ``layer``, uint8 [H,W], says.

    sigma: in pixels, of the layer's blur.
    """
    left, top, wide, high = cv2.boundingRect(layer)
    if not wide:
        return
    room = int(4 * sigma) + 2 if sigma else 0  # that a blur reaches
    inside = (
        slice(max(0, top - room), top + high + room),
        slice(max(0, left - room), left + wide + room),
    )
    weights = _blurred(layer[inside], sigma) if sigma else layer[inside]
    below = _weighted(canvas[inside], cv2.bitwise_not(weights))
    canvas[inside] = cv2.add(below, _tinted(weights, colour))


def _muted(random):
    """Draw a colour that lies half way to grey."""
    colour = random.uniform(40, 220, 3).astype(np.float32)
    return colour * 0.5 + np.float32(random.uniform(40, 220) * 0.5)


class Brush:
    """Paints on a layer in half head heights from the centre of a face."""

    def __init__(self, canvas, centre, head, turn=0.0):
        """canvas: uint8 [H,W,4]. centre: [x, y]. head: half its height, in pixels.

        turn: of all that is painted around the centre, in radians, clockwise.
        """
        self.canvas, self.centre, self.head, self.turn = canvas, centre, head, turn
        sine, cosine = np.sin(turn) * head, np.cos(turn) * head
        self.axes = np.array([[cosine, sine], [-sine, cosine]])

    def at(self, points):
        """The pixels of points [...,2]."""
        return self.centre + np.asarray(points, np.float64) @ self.axes

    def paint(self, colour, draw, soft):
        """Let ``draw(canvas, colour)`` paint, at once or, where it is soft, by a blurred layer."""
        colour = (*np.minimum(colour, 255).tolist(), 255)
        if soft:
            layer = np.zeros(self.canvas.shape[:2], np.uint8)
            draw(layer, 255)
            _paint(self.canvas, layer, colour, soft * self.head)
        else:
            draw(self.canvas, colour)

    def ellipse(self, point, axes, colour, soft=0.0, arc=(0, 360)):
        centre, axes = _fixed_point(self.at(point)), _fixed_point(np.multiply(axes, self.head))
        shape = (centre, axes, np.degrees(self.turn), *arc)

        def draw_ellipse(canvas, paint):
            cv2.ellipse(canvas, *shape, paint, -1, cv2.LINE_AA, FRACTION_BITS)

        self.paint(colour, draw_ellipse, soft)

    def polygon(self, points, colour, soft=0.0):
        corners = _fixed_point(self.at(points))

        def draw_polygon(canvas, paint):
            cv2.fillPoly(canvas, [corners], paint, cv2.LINE_AA, FRACTION_BITS)

        self.paint(colour, draw_polygon, soft)

    def line(self, points, width, colour):
        """A line through points, ``width`` half head heights wide, with round ends."""
        corners = _fixed_point(self.at(points))
        width = max(1, int(width * self.head))

        def draw_line(canvas, paint):
            cv2.polylines(canvas, [corners], False, paint, width, cv2.LINE_AA, FRACTION_BITS)

        self.paint(colour, draw_line, 0)

    def strands(self, strands, opacities, colour):
        """Thin lines through points [N,M,2], each of an opacity of its own, 0..1."""
        layer = np.zeros_like(self.canvas)
        thickness = self.canvas.shape[0] / 1000  # in pixels; thinner ones are drawn fainter
        opacities = opacities * np.clip(thickness, 0.5, 1)
        paints = np.clip(np.append(colour, 255), 0, 255) * opacities[:, None]
        for points, paint in zip(_fixed_point(self.at(strands)), paints.tolist()):
            width = max(1, int(thickness))
            cv2.polylines(layer, [points], False, paint, width, cv2.LINE_AA, FRACTION_BITS)
        left, top, wide, high = cv2.boundingRect(cv2.extractChannel(layer, 3))
        inside = (slice(top, top + high), slice(left, left + wide))
        if wide:
            _lay_over(self.canvas[inside], layer[inside])


def _draw_person(random, height, width, varied=False):
    """Draw the person alone.

    Returns:
        a layer, uint8 [H,W,4].
    """
    canvas = np.zeros((height, width, 4), np.uint8)
    head = height * random.uniform(0.13, 0.18)  # half the height of the head; it scales all else
    face = head * random.uniform(0.72, 0.82)
    centre = np.array([width * random.uniform(0.42, 0.58), height * random.uniform(0.33, 0.42)])
    lightest_skin = np.array([255, 219, 190], np.float32)
    skin = lightest_skin * random.uniform(0.4, 1) * random.uniform(0.95, 1.0, 3)
    hair = np.array(HAIR_COLOURS, np.float32)[random.randint(6)]
    cloth, iris = random.uniform(20, 200, 3), random.uniform(20, 110, 3)
    long_hair = random.rand() < 0.5
    brush, round_face = Brush(canvas, centre, head), face / head
    style = "hair"
    if varied:
        scale = np.exp(random.uniform(np.log(0.45), np.log(1.6)))
        place = random.normal(0.5, 0.15) * width, (0.38 + random.uniform(-0.2, 0.1)) * height
        turn = np.radians(random.normal(0, 6))
        brush = Brush(canvas, np.array(place), head * scale, turn)
        skin = lightest_skin * random.uniform(0.2, 1) * random.uniform(0.9, 1.0, 3)
        style = ("hair", "bald", "afro", "bun")[random.choice(4, p=(0.6, 0.15, 0.15, 0.1))]
        long_hair = long_hair and style == "hair"

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
            brush.strands(*_strands(random, round_face, long_hair), hair * shade)
    if varied:
        _add_things(random, brush, round_face, shoulders, skin=skin, cloth=cloth)
    ends = random.uniform(0.7, 1.1), random.uniform(0.7, 1.1)
    return _in_light(canvas, np.linspace(*ends, width, dtype=np.float32))


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
    """Curves that leave the outline of the hair and hang down, and how opaque each is.

    Returns:
        (float64 [N,16,2] in half head heights from the centre of the face, float64 [N] 0..1).
    """
    t = np.linspace(0, 1, 16)[:, None]
    count = random.randint(20, 45)
    angle = random.uniform(np.pi * 0.95, np.pi * 2.05, (count, 1))  # over the top of the head
    sideways_up = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    roots = sideways_up * (round_face * 1.15, 1.05) - (0, 0.12)
    outward = sideways_up * random.uniform(0.05, 0.45, (count, 1))
    fall = random.uniform(*((0.3, 1.6) if long_hair else (-0.1, 0.25)), (count, 1))
    hanging = np.concatenate([random.uniform(-0.25, 0.25, (count, 1)), fall], axis=1)
    curves = roots[:, None] + outward[:, None] * np.sqrt(t) + hanging[:, None] * t**2
    return curves, random.uniform(0.4, 1, count)


def _stripe(random, canvas, cloth, top, head):
    """Draw stripes on the clothes, in place. Only colours change, and only below ``top``."""
    angle, period = random.uniform(0, np.pi), random.uniform(0.1, 0.6) * head
    strength = random.uniform(0, 0.3)
    first = min(canvas.shape[0], max(0, int(np.floor(top)) + 1))  # row
    below = canvas[first:]
    if not below.size:
        return
    x, y = (
        step * 2 * np.pi / period * np.arange(side)
        for step, side in ((np.cos(angle), below.shape[1]), (np.sin(angle), below.shape[0]))
    )
    # The sine of a sum is of rank two.
    wave = np.stack([np.sin(y), np.cos(y)], 1) @ np.stack([np.cos(x), np.sin(x)])
    wave = cv2.convertScaleAbs(wave + 1, alpha=127.5)
    striped = [
        cv2.convertScaleAbs(wave, alpha=value * strength / 127.5, beta=value * (1 - strength))
        for value in cloth
    ]
    plain = np.rint(np.append(cloth, 255))
    clothes = cv2.inRange(below, plain - 1, plain + 1)
    cv2.copyTo(cv2.merge([*striped, np.full_like(wave, 255)]), clothes, below)


def _fixed_point(points):
    """Round points to fixed-point integers, as OpenCV takes them."""
    points = np.rint(np.asarray(points) * (1 << FRACTION_BITS)).astype(np.int32)
    return tuple(points.tolist()) if points.ndim == 1 else points
