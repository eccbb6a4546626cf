"""Layers of synthetic images: paint, blur, light and compose them in 8 bits. No TensorFlow.

A layer is uint8 [H,W,4]: colour multiplied by alpha, and alpha 0..255. OpenCV computes all of it in
bytes, so drawing is as fast as encoding the result.
"""

import contextlib
import math
from typing import Sequence, Tuple

import cv2
import numpy as np

FRACTION_BITS = 4  # OpenCV's fixed-point coordinates
SMOOTH_EDGES = cv2.LINE_AA, FRACTION_BITS  # last two arguments of OpenCV's drawing functions
MAX_GAUSSIAN_SIGMA = 2.0  # pixels; a larger blur uses two box filters, which are faster
LIGHT_UNIT = 127  # byte that means unchanged light; twice as much still fits into a byte
MIN_LIGHT, MAX_LIGHT = 0.1, 2.0

# 256 equally likely values of the normal distribution.
_values = np.linspace(-4, 4, 1601)
_probabilities = [0.5 + 0.5 * math.erf(value / math.sqrt(2)) for value in _values]
NORMAL_QUANTILES = np.interp((np.arange(256) + 0.5) / 256, _probabilities, _values)


class Brush:
    """Paints shapes on a canvas, uint8 [H,W,4].

    Coordinates and lengths are in half head heights. The origin is the centre of the face.
    """

    def __init__(self, canvas: np.ndarray, centre: np.ndarray, head: float, angle: float):
        """Set the centre [x, y] and half the head height in pixels, and a rotation in radians."""
        self.canvas, self.centre, self.head, self.angle = canvas, centre, head, angle
        sine, cosine = np.sin(angle) * head, np.cos(angle) * head
        self._axes = np.array([[cosine, sine], [-sine, cosine]])

    def to_pixels(self, points) -> np.ndarray:
        """Convert points [...,2] to pixels."""
        return self.centre + np.asarray(points, np.float64) @ self._axes

    def ellipse(self, point, axes, colour, soft: float = 0.0, arc=(0, 360)) -> None:
        """Paint an ellipse. ``soft`` is the sigma of its blurred edge."""
        centre = _fixed_point(self.to_pixels(point))
        axes, angle = _fixed_point(np.multiply(axes, self.head)), float(np.degrees(self.angle))
        with self._painting(colour, soft) as (canvas, value):
            cv2.ellipse(canvas, centre, axes, angle, arc[0], arc[1], value, -1, *SMOOTH_EDGES)

    def polygon(self, points, colour, soft: float = 0.0) -> None:
        """Paint a filled polygon."""
        with self._painting(colour, soft) as (canvas, value):
            corners = _fixed_point(self.to_pixels(points))
            cv2.fillPoly(canvas, [corners], value, *SMOOTH_EDGES)

    def line(self, points, width: float, colour) -> None:
        """Paint a line through points, with round ends."""
        with self._painting(colour) as (canvas, value):
            corners, pixels = _fixed_point(self.to_pixels(points)), max(1, int(width * self.head))
            cv2.polylines(canvas, [corners], False, value, pixels, *SMOOTH_EDGES)

    def strands(self, strands: np.ndarray, opacities: np.ndarray, colour) -> None:
        """Paint thin lines through points [N,M,2], each with its opacity, 0..1."""
        layer = np.zeros_like(self.canvas)
        thickness = self.canvas.shape[0] / 1000  # pixels; thinner strands are fainter instead
        pixels, opacities = max(1, int(thickness)), opacities * np.clip(thickness, 0.5, 1)
        values = np.clip(np.append(colour, 255), 0, 255) * opacities[:, None]
        for points, value in zip(_fixed_point(self.to_pixels(strands)), values.tolist()):
            cv2.polylines(layer, [points], False, value, pixels, *SMOOTH_EDGES)
        left, top, width, height = cv2.boundingRect(cv2.extractChannel(layer, 3))
        if width:
            inside = slice(top, top + height), slice(left, left + width)
            self.canvas[inside] = lay_over(self.canvas[inside], layer[inside])

    @contextlib.contextmanager
    def _painting(self, colour, soft=0.0):
        """Yield (array to draw into, value to draw). A soft shape is drawn into a mask first."""
        value = (*np.minimum(colour, 255).tolist(), 255)
        if not soft:
            yield self.canvas, value
            return
        mask = np.zeros(self.canvas.shape[:2], np.uint8)
        yield mask, 255
        paint_mask(self.canvas, mask, value, soft * self.head)


def paint_mask(canvas: np.ndarray, mask: np.ndarray, colour: Sequence, sigma: float) -> None:
    """Paint a colour over a canvas [H,W,C], through a mask uint8 [H,W] that is blurred first."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return
    margin = int(4 * sigma) + 2  # the reach of the blur
    rows = slice(max(0, top - margin), top + height + margin)
    inside = rows, slice(max(0, left - margin), left + width + margin)
    weights = blur_layer(mask[inside], sigma)
    below = multiply_mask(canvas[inside], cv2.bitwise_not(weights))
    canvas[inside] = cv2.add(below, tint(weights, colour))


def lay_over(below: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Return a layer in front of an image [H,W,3] or another layer [H,W,4], of its shape."""
    colours = layer if below.shape[2] == 4 else cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)
    return cv2.add(colours, multiply_mask(below, cv2.bitwise_not(layer[..., 3])))


def multiply_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return uint8 [H,W,C] times a mask [H,W] / 255."""
    return cv2.multiply(image, cv2.merge([mask] * image.shape[2]), scale=1 / 255)


def tint(mask: np.ndarray, colour: Sequence) -> np.ndarray:
    """Return a mask uint8 [H,W] / 255 times a colour of C channels: uint8 [H,W,C]."""
    return cv2.merge([cv2.convertScaleAbs(mask, alpha=value / 255) for value in colour])


def blur_layer(layer: np.ndarray, sigma: float) -> np.ndarray:
    """Blur with a Gaussian of ``sigma`` pixels, or with two box filters of the same variance."""
    if sigma < MAX_GAUSSIAN_SIGMA:
        return cv2.GaussianBlur(layer, (0, 0), sigma)
    side = int(round(math.sqrt(6 * sigma**2 + 1))) | 1
    return cv2.blur(cv2.blur(layer, (side, side)), (side, side))


def apply_light(layer: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return a layer whose colours, but not alpha, are multiplied by ``light`` [H,W] or [W]."""
    light = np.broadcast_to(light, layer.shape[:2]) * np.float32(LIGHT_UNIT)
    light = cv2.convertScaleAbs(np.clip(light, MIN_LIGHT * LIGHT_UNIT, MAX_LIGHT * LIGHT_UNIT))
    factors = cv2.merge([light, light, light, np.full_like(light, LIGHT_UNIT)])
    return cv2.multiply(layer, factors, scale=1 / LIGHT_UNIT)


def add_noise(random: np.random.RandomState, image: np.ndarray, sigma: float) -> np.ndarray:
    """Add the noise of a camera sensor, the same in each channel, to uint8 [H,W,3]."""
    height, width = image.shape[:2]
    noise = np.frombuffer(random.bytes(height * width), np.uint8).reshape(height, width)
    brighter = cv2.LUT(noise, to_bytes(sigma * NORMAL_QUANTILES))
    darker = cv2.LUT(noise, to_bytes(-sigma * NORMAL_QUANTILES))
    return cv2.subtract(cv2.add(image, cv2.merge([brighter] * 3)), cv2.merge([darker] * 3))


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Round and clip values to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _fixed_point(points) -> Tuple:
    """Round points to OpenCV's fixed-point integers."""
    points = np.rint(np.asarray(points) * (1 << FRACTION_BITS)).astype(np.int32)
    return tuple(points.tolist()) if points.ndim == 1 else points
