"""Draw synthetic portraits, scenes and clips with their true soft alpha. No TensorFlow.

The same seed draws the same person. Nobody owns rights in these images, so they may be published.
They serve the quick start, the tests and the figures.
"""

import os
from typing import Iterator, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from mmnet.datasets.synthetic_layers import (
    add_noise,
    apply_light,
    blur_layer,
    lay_over,
    multiply_mask,
    paint_mask,
    tint,
    to_bytes,
)
from mmnet.datasets.synthetic_person import draw_person
from mmnet.io.files import write_bytes
from mmnet.io.images import encode_jpeg, save_png
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress

LOOKS = ("plain", "varied")

REFERENCE_HEIGHT = 800  # pixels; blurs are given for this height
SECOND_PERSON_PROBABILITY = 0.15
REAL_BACKGROUND_PROBABILITY = 0.85
CLIP_SCALE = 1.3  # sides of a clip's scene, in sides of its frames
FRAME_RATE = 25  # frames per second of the camera's movement
MAX_OFFSET = 0.8  # offset of the frame as a fraction of the room around it
MAX_CAMERA_ROTATION, MAX_LOG_ZOOM = 5, 0.06  # degrees; natural logarithm
FLICKER = 0.02  # standard deviation of the brightness of a clip's frames

Random = np.random.RandomState
ImageShape = Tuple[int, int]  # (height, width)
Portrait = Tuple[np.ndarray, np.ndarray]  # image uint8 [H,W,3], alpha float32 [H,W], 0..1


class Scene(NamedTuple):
    """A varied portrait."""

    image: np.ndarray  # uint8 [H,W,3]
    alpha: np.ndarray  # float32 [H,W], 0..1
    foreground: np.ndarray  # uint8 [H,W,3]: the colours of the people, 0 elsewhere


def synthesize(
    folder: str,
    split: str,
    number: int,
    *,
    seed: int = 0,
    shape: ImageShape = (800, 600),
    frames: int = 1,
    looks: str = "plain",
    backgrounds: Sequence[np.ndarray] = (),
) -> None:
    """Write ``number`` portraits, or clips of several frames, as a split of a dataset.

    The files are FOLDER/SPLIT/image/STEM.jpg and mask/STEM.png, where STEM is
    portrait<seed>_<number> or clip<seed>_<number>_<frame>. Varied portraits are drawn by draw_scene
    with ``backgrounds``, and have a cutout foreground/STEM.png (RGBA).
    """

    def save(stem, image, alpha, foreground=None):
        mask = cv2.convertScaleAbs(alpha, alpha=255)
        write_bytes(os.path.join(folder, split, "image", stem + ".jpg"), encode_jpeg(image))
        save_png(os.path.join(folder, split, "mask", stem + ".png"), mask)
        if foreground is not None:
            cutout = np.dstack([foreground, mask])
            save_png(os.path.join(folder, split, "foreground", stem + ".png"), cutout)

    def draw(index):
        random = np.random.RandomState([seed, index])
        if frames > 1:
            for frame, drawing in enumerate(draw_clip(random, frames, shape)):
                save(f"clip{seed}_{index:04d}_{frame:04d}", *drawing)
        elif looks == "varied":
            save(f"portrait{seed}_{index:04d}", *draw_scene(random, shape, backgrounds))
        else:
            save(f"portrait{seed}_{index:04d}", *draw_portrait(random, shape))

    for kind in ("image", "mask", "foreground") if looks == "varied" else ("image", "mask"):
        os.makedirs(os.path.join(folder, split, kind), exist_ok=True)

    for _ in progress(parallel_map(draw, range(number)), number, "drawing"):
        pass


def draw_portrait(random: Random, shape: ImageShape = (800, 600)) -> Portrait:
    """Draw one upright person in front of a plain background.

    The image is alpha * person + (1 - alpha) * background, with noise added.
    """
    person, background = _draw_layers(random, shape, frame_height=shape[0])
    image = add_noise(random, lay_over(background, person), random.uniform(0.5, 3))
    return image, person[..., 3] / np.float32(255)


def draw_portraits(number: int, shape: ImageShape) -> List[np.ndarray]:
    """Return the images of the portraits with the seeds 0 to number - 1, uint8 [H,W,3]."""
    return [draw_portrait(Random(seed), shape)[0] for seed in range(number)]


def draw_scene(
    random: Random, shape: ImageShape = (800, 600), backgrounds: Sequence[np.ndarray] = ()
) -> Scene:
    """Draw one or two people of any size, place and look, in any light.

    Most scenes use one of the ``backgrounds`` (images without people, uint8 [h,w,3]), if any.
    """
    if len(backgrounds) and random.rand() < REAL_BACKGROUND_PROBABILITY:
        background = _crop_background(random, backgrounds[random.randint(len(backgrounds))], shape)
    else:
        background = _draw_background(random, shape)
    brightness = random.uniform(0.6, 1.2)
    people = np.zeros((*shape, 4), np.uint8)
    for _ in range(2 if random.rand() < SECOND_PERSON_PROBABILITY else 1):
        person = draw_person(random, shape, varied=True)
        person = blur_layer(person, random.uniform(0.3, 0.7) * max(shape) / REFERENCE_HEIGHT)
        people = lay_over(people, _light_from_one_side(random, person))
    contrast, colour_cast = random.uniform(0.7, 1.4), random.uniform(0.85, 1.15, 3)

    def photograph(image, levels):
        levels = np.clip(levels / 255, 0, 1) ** contrast * colour_cast * 255
        return cv2.LUT(image, to_bytes(levels)[None])

    levels = np.arange(256)[:, None]
    colours, opacity = cv2.cvtColor(people, cv2.COLOR_RGBA2RGB), people[..., 3]
    foreground = cv2.divide(colours, cv2.merge([opacity] * 3), scale=255)
    foreground = photograph(foreground, levels)
    background = photograph(background, levels * brightness)
    layer = np.dstack([multiply_mask(foreground, opacity), opacity])
    image = add_noise(random, lay_over(background, layer), random.uniform(0.5, 6))
    return Scene(image, opacity / np.float32(255), foreground)


def draw_clip(random: Random, frames: int, shape: ImageShape = (800, 600)) -> Iterator[Portrait]:
    """Yield the frames of a clip in which the person and the camera move.

    Both follow smooth paths. Every frame has its own noise and brightness.
    """
    scene_shape = int(round(shape[0] * CLIP_SCALE)), int(round(shape[1] * CLIP_SCALE))
    layers = _draw_layers(random, scene_shape, frame_height=shape[0])
    noise = random.uniform(0.5, 3)
    paths = [_draw_path(random, frames) for _ in layers]
    for frame in range(frames):
        person, background = (
            _view_scene(layer, path[frame], shape) for layer, path in zip(layers, paths)
        )
        image = lay_over(background, person)
        image = cv2.convertScaleAbs(image, alpha=1 + FLICKER * random.normal())
        yield add_noise(random, image, noise), person[..., 3] / np.float32(255)


def _draw_layers(random, shape, frame_height):
    """Return (person [H,W,4], background [H,W,3]). The lens blur depends on the frame height."""
    person = draw_person(random, shape)
    person = blur_layer(person, random.uniform(0.3, 0.7) * frame_height / REFERENCE_HEIGHT)
    return person, _draw_background(random, shape)


def _draw_background(random, shape):
    """Blend two colours and paint soft shapes over them: uint8 [H,W,3]."""
    height, width = shape
    angle = random.uniform(0, np.pi)
    across = np.cos(angle) * np.arange(width, dtype=np.float32)
    down = np.sin(angle) * np.arange(height, dtype=np.float32)
    blend = (across - across.min()) + (down - down.min())[:, None]
    blend = cv2.convertScaleAbs(blend, alpha=255 / blend.max())
    first, second = _muted_colour(random), _muted_colour(random)
    background = cv2.add(tint(cv2.bitwise_not(blend), first), tint(blend, second))
    for _ in range(random.randint(3, 9)):
        mask = np.zeros((height, width), np.uint8)
        corner = (int(random.uniform(-0.2, 1) * width), int(random.uniform(-0.2, 1) * height))
        extent = (int(random.uniform(0.1, 0.5) * width), int(random.uniform(0.1, 0.8) * height))
        is_rectangle, angle = random.rand() < 0.5, random.uniform(0, 180)
        sigma, colour = random.uniform(0.002, 0.03) * height, _muted_colour(random)
        opacity = int(255 * random.uniform(0.3, 0.9))
        if is_rectangle:
            cv2.rectangle(mask, corner, np.add(corner, extent).tolist(), opacity, -1)
        else:
            cv2.ellipse(mask, corner, extent, angle, 0, 360, opacity, -1)
        paint_mask(background, mask, colour, sigma)
    return background


def _muted_colour(random):
    """Return a colour halfway to grey."""
    colour = random.uniform(40, 220, 3).astype(np.float32)
    return colour * 0.5 + np.float32(random.uniform(40, 220) * 0.5)


def _crop_background(random, image, shape):
    """Return a random crop, at least half of the image's sides, resized to ``shape``."""
    scale = max(shape[0] / image.shape[0], shape[1] / image.shape[1]) * random.uniform(1, 2)
    height = min(image.shape[0], max(1, int(round(shape[0] / scale))))
    width = min(image.shape[1], max(1, int(round(shape[1] / scale))))
    top = random.randint(image.shape[0] - height + 1)
    left = random.randint(image.shape[1] - width + 1)
    crop = image[top : top + height, left : left + width]
    crop = cv2.resize(crop, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.flip(crop, 1) if random.rand() < 0.5 else crop


def _light_from_one_side(random, person):
    """Light a person from one side, and add the texture of skin and cloth."""
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
    return apply_light(person, light)


def _draw_path(random, frames):
    """Draw a smooth path [frames,4]: x and y in -1..1, rotation in degrees, log of the zoom."""
    seconds = np.arange(frames)[:, None] / FRAME_RATE
    speeds, phases = random.uniform(0.2, 1.2, (3, 4)), random.uniform(0, 2 * np.pi, (3, 4))
    waves = [np.sin(2 * np.pi * speed * seconds + phase) for speed, phase in zip(speeds, phases)]
    return np.mean(waves, axis=0) * [1, 1, MAX_CAMERA_ROTATION, MAX_LOG_ZOOM]


def _view_scene(scene, position, shape):
    """Return the part of a larger scene that a camera at a position of a path sees."""
    size, (rotation, log_zoom) = shape[::-1], position[2:]
    centre = size[0] / 2, size[1] / 2
    matrix = cv2.getRotationMatrix2D(centre, rotation, float(np.exp(log_zoom)))
    room = (np.array(scene.shape[1::-1]) - size) / 2
    matrix[:, 2] += room * (1 + MAX_OFFSET * position[:2])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(scene, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
