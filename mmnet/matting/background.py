"""Backgrounds for compositions: a colour, an image, the blurred photo, or a clip. No TensorFlow."""

import contextlib
import os
from fractions import Fraction
from typing import Sequence, Union

import cv2
import numpy as np
from PIL import ImageColor

from mmnet.io.errors import MmnetError
from mmnet.io.extensions import is_clip
from mmnet.io.images import compose_over_grey
from mmnet.io.lazy import lazy_import
from mmnet.io.resize import resize_to_cover, shrink, to_square_pixels
from mmnet.matting.load import load_photo

clips = lazy_import("mmnet.io.clips")

COLOURS = {"green": "#00ff00"}  # names that differ from CSS, where this one is #008000
SQUARE = Fraction(1)  # pixel aspect ratio
BLUR = "blur"
BLUR_SIGMA = 0.02  # standard deviation of the blur, as a fraction of the longer side
WEIGHT_SIZE = 800  # pixels of the longer side at which the person is removed
BLUR_SIZE = 200  # pixels of the longer side at which the blur is computed
GLOBAL_WEIGHT = 1e-3  # weight of the mean colour, for pixels far from the background


class Background:
    """What is behind the person.

    Attributes:
        image: an image [h,w,3] that covers the photo undistorted, a colour (red, green, blue), or
            None: the blurred photo itself.
    """

    def __init__(self, image: Union[np.ndarray, Sequence[int], None]):
        self.image = None if image is None else np.asarray(image, np.uint8)

    def at(self, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Return the background, uint8 [H,W,3], of a photo or frame and its alpha [H,W]."""
        if self.image is None:
            return blur_background(image, alpha)
        if self.image.ndim == 1:
            row = np.tile(self.image, (1, image.shape[1], 1))
            return np.repeat(row, len(image), axis=0)  # far faster than np.full_like
        return resize_to_cover(self.image, image.shape[:2])

    def still(self, seconds: Fraction, pixel_aspect: Fraction = SQUARE) -> "Background":
        """Return the background of a frame.

        Args:
            seconds: time, counted from the first frame of the clip.
            pixel_aspect: width of a pixel of the frame / its height.
        """
        if self.image is None or self.image.ndim == 1 or pixel_aspect == SQUARE:
            return self
        return Background(to_square_pixels(self.image, 1 / pixel_aspect))


class ClipBackground(Background):
    """A clip that repeats. Photos are composed over its first frame."""

    def __init__(self, path: str):
        self.path = path
        self._length = None  # seconds; unknown before the last frame was read
        self._start()
        super().__init__(self._current[1])

    def still(self, seconds, pixel_aspect=SQUARE):
        """Return the frame at a time. An earlier time than the last one starts the clip again."""
        if self._length is None:
            self._find(seconds)
        if self._length is not None:
            self._find(seconds % self._length)
        return Background(self._current[1]).still(seconds, pixel_aspect)

    def _find(self, seconds):
        if seconds < self._current[0]:
            self._frames.close()
            self._start()
        while self._next is not None and self._next[0] <= seconds:
            self._current, self._next = self._next, next(self._frames, None)

    def _start(self):
        self._frames = self._read()
        self._current = self._next = next(self._frames)

    def _read(self):
        """Yield (seconds, image)."""
        with contextlib.ExitStack() as stack:
            clip = stack.enter_context(clips.open_clip(self.path))
            frames = stack.enter_context(contextlib.closing(clips.read_frames(clip)))
            first_pts = None
            for frame in frames:
                first_pts = frame.pts if first_pts is None else first_pts
                image = compose_over_grey(frame.image, frame.opacity)
                image = to_square_pixels(image, clip.pixel_aspect)
                yield (frame.pts - first_pts) * clip.time_base, image
            end = frame.pts - first_pts + max(1, frame.duration)
            self._length = end * clip.time_base


def blur_background(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blur a photo with the weight 1 - alpha, so that the person forms no halo."""
    weight = 1 - shrink(alpha, WEIGHT_SIZE)
    colours = shrink(shrink(image, WEIGHT_SIZE) * weight[..., None], BLUR_SIZE)
    weight = shrink(weight, BLUR_SIZE)
    sigma = max(0.5, BLUR_SIGMA * max(weight.shape))
    weight = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    colours = cv2.GaussianBlur(colours, (0, 0), sigma)
    mean_colour = colours.sum((0, 1)) / (weight.sum() + 1e-5)
    blurred = (colours + GLOBAL_WEIGHT * mean_colour) / (weight + GLOBAL_WEIGHT)
    blurred = np.rint(blurred.clip(0, 255)).astype(np.uint8)
    return cv2.resize(blurred, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)


def load_background(value: str) -> Background:
    """Return a background: blur, the path of an image or a clip, or a colour (parse_colour)."""
    if value == BLUR:
        return Background(None)
    if os.path.exists(value):
        if is_clip(value):
            return ClipBackground(value)
        photo = load_photo(value)
        return Background(compose_over_grey(photo.image, photo.opacity))
    try:
        return parse_colour(value)
    except MmnetError as error:
        raise MmnetError(f"no image or clip {error.message}, or {BLUR}", "background") from None


def parse_colour(text: str) -> Background:
    """Return an opaque CSS colour: #rgb, #rrggbb, rgb(...), hsl(...) or a name."""
    code = COLOURS.get(text.lower(), text.lower())
    opaque = 1 if code.startswith("rgba") else 255  # in CSS, rgba() states the opacity in 0..1
    with contextlib.suppress(ValueError):
        red, green, blue, opacity = (*ImageColor.getrgb(code), opaque)[:4]
        if opacity >= opaque:
            return Background(np.clip((red, green, blue), 0, 255))
    raise MmnetError(f"{text}: is not an opaque CSS colour, for example #00b140 or white")
