"""Backgrounds for compositions: a colour, an image, the blurred photo, or a clip. No TensorFlow."""

import contextlib
import os
import threading
from fractions import Fraction

import cv2
import numpy as np

from mmnet.io.clips import is_clip, open_clip, read_frames
from mmnet.io.errors import MmnetError
from mmnet.io.foreground import COLOUR_SIZE
from mmnet.io.resize import resize_to_cover, shrink
from mmnet.matting.load import load_photo

COLOURS = {
    "black": "#000000",
    "white": "#ffffff",
    "grey": "#808080",
    "gray": "#808080",
    "red": "#ff0000",
    "green": "#00ff00",
    "blue": "#0000ff",
}
BLUR = "blur"
ZERO = Fraction(0)  # seconds
BLUR_SIGMA = 0.02  # standard deviation of the blur, as a fraction of the longer side
BLUR_SIZE = 200  # pixels of the longer side at which the blur is computed
SQUARE_SIZE = 16  # pixels of the side of a square of the checkerboard
GLOBAL_WEIGHT = 1e-3  # weight of the mean colour, for pixels far from the background


class Background:
    """Base class: the image behind the person."""

    def at(self, image: np.ndarray, alpha: np.ndarray, seconds: Fraction = ZERO) -> np.ndarray:
        """Return the background of a photo or frame: uint8 [H,W,3].

        Args:
            image: uint8 [H,W,3].
            alpha: float32 [H,W], 0..1.
            seconds: time since the first frame.
        """
        raise NotImplementedError

    def still(self, seconds: Fraction) -> "Background":
        """Return the background at a time. Threads can then use it in any order of frames."""
        return self


class ColourBackground(Background):
    def __init__(self, red: int, green: int, blue: int):
        self.colour = np.array([red, green, blue], np.uint8)

    def at(self, image, alpha, seconds=ZERO):
        return np.full_like(image, self.colour)


class ImageBackground(Background):
    """An image [h,w,3], scaled to cover the photo and cropped at the centre."""

    def __init__(self, image: np.ndarray):
        self.image = image

    def at(self, image, alpha, seconds=ZERO):
        return resize_to_cover(self.image, image.shape[:2])


class BlurBackground(Background):
    """The photo itself, blurred with the weight 1 - alpha, so that the person forms no halo."""

    def at(self, image, alpha, seconds=ZERO):
        weight = 1 - shrink(alpha, COLOUR_SIZE)
        colours = shrink(shrink(image, COLOUR_SIZE) * weight[..., None], BLUR_SIZE)
        weight = shrink(weight, BLUR_SIZE)
        sigma = max(0.5, BLUR_SIGMA * max(weight.shape))
        weight = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
        colours = cv2.GaussianBlur(colours, (0, 0), sigma)
        mean_colour = colours.sum((0, 1)) / (weight.sum() + 1e-5)
        blurred = (colours + GLOBAL_WEIGHT * mean_colour) / (weight + GLOBAL_WEIGHT)
        blurred = np.rint(blurred.clip(0, 255)).astype(np.uint8)
        return cv2.resize(blurred, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)


class CheckerboardBackground(Background):
    """Squares that stand for transparency."""

    def at(self, image, alpha, seconds=ZERO):
        rows, columns = (np.arange(side) // SQUARE_SIZE for side in image.shape[:2])
        levels = np.where((rows[:, None] + columns) % 2, 204, 255).astype(np.uint8)
        return np.dstack([levels] * 3)


class ClipBackground(Background):
    """A clip that repeats. An earlier time than the last one starts it again."""

    def __init__(self, path: str):
        self.path = path
        self._lock = threading.Lock()
        self._start()

    def at(self, image, alpha, seconds=ZERO):
        return self.still(seconds).at(image, alpha)

    def still(self, seconds):
        with self._lock:
            if seconds < self._current[0]:
                self._frames.close()
                self._start()
            while self._next[0] <= seconds:
                self._current, self._next = self._next, next(self._frames)
            return ImageBackground(self._current[1])

    def _start(self):
        self._frames = self._repeat()
        self._current = self._next = next(self._frames)

    def _repeat(self):
        """Yield (seconds, image) without end."""
        start = ZERO
        while True:
            with open_clip(self.path) as clip, contextlib.closing(read_frames(clip)) as frames:
                first_pts = None
                for frame in frames:
                    first_pts = frame.pts if first_pts is None else first_pts
                    seconds = start + (frame.pts - first_pts) * clip.time_base
                    yield seconds, frame.image
                start = seconds + 1 / clip.frame_rate


def load_background(value: str) -> Background:
    """Return a background: blur, the path of an image or a clip, or a colour (parse_colour)."""
    if value == BLUR:
        return BlurBackground()
    if os.path.exists(value):
        return ClipBackground(value) if is_clip(value) else ImageBackground(load_photo(value))
    try:
        return parse_colour(value)
    except MmnetError as error:
        raise MmnetError(f"no image or clip {error.message}, or {BLUR}", "background") from None


def parse_colour(text: str) -> ColourBackground:
    """Return the colour ``#rrggbb``, ``rgba(r, g, b, a)`` or a name in COLOURS."""
    code = COLOURS.get(text.lower(), text)
    with contextlib.suppress(ValueError):
        if code.startswith("rgb"):
            levels = code[code.index("(") + 1 : -1].split(",")[:3]
            red, green, blue = (round(min(255, max(0, float(level)))) for level in levels)
            return ColourBackground(red, green, blue)
        if len(code) == 7 and code[0] == "#":
            return ColourBackground(*bytes.fromhex(code[1:]))
    raise MmnetError(f"{text}: is not a colour; give #rrggbb, {', '.join(sorted(COLOURS))}")
