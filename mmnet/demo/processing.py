"""Cut people out of the uploads of the page of `mmnet demo`, in memory. No TensorFlow."""

import functools
import io
import re
import time
import warnings
from typing import Callable, Dict, Mapping, NamedTuple, Tuple

import numpy as np
from PIL import Image

from mmnet.inference.predictor import Predictor
from mmnet.io.containers import detect_format
from mmnet.io.errors import MmnetError, shorten
from mmnet.io.images import Photo, compose_over_grey, decode_photo, encode_image, encode_jpeg
from mmnet.io.resize import shrink
from mmnet.matting.background import BLUR, Background, parse_colour
from mmnet.matting.clip import matte_next_frame
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.matting.refine import enlarge_alpha
from mmnet.matting.temporal import MattedFrame

MAX_PIXELS = 50_000_000  # pixels of an upload; a small file may contain a huge image
PREVIEW_SIZE = 1280  # pixels of the longer side of the photo before
JPEG_QUALITY = 95
SMOOTHING = 0.8  # weight of the earlier frames in the time per frame
SQUARE_SIZE = 16  # pixels of the side of a square of the checkerboard
MAX_CAMERAS = 8  # open pages whose last frame is kept


class Checkerboard(Background):
    """Squares that stand for transparency."""

    def at(self, image, alpha):
        rows, columns = (np.arange(side) // SQUARE_SIZE for side in image.shape[:2])
        levels = np.where((rows[:, None] + columns) % 2, 204, 255).astype(np.uint8)
        return np.dstack([levels] * 3)


TRANSPARENT = Checkerboard(None)


class PageResult(NamedTuple):
    """A result as the page shows it: encoded images and a line of text."""

    text: str
    after: bytes  # cutout (PNG) or composition (PNG; JPEG for a frame)
    before: bytes = b""  # JPEG; empty for a frame


class Camera(NamedTuple):
    """The state of a camera after a frame."""

    weights: str
    matted: MattedFrame
    seconds: float  # mean processing time per frame


class Demo:
    """The functions behind the page.

    ``open_weights`` opens weights by name. With ``for_photos=False`` they have one view.
    Both take the fields and the body of a request. Fields: ``weights``; ``background``, one of
    transparent, colour, blur and image; ``colour``; ``length``, the bytes of the photo or frame in
    the body, which the background image follows; ``camera``, a name that the page chooses.
    """

    def __init__(self, open_weights: Callable[..., Predictor], matting: MattingOptions):
        self.open_weights, self.matting = open_weights, matting
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above this and refuses the double
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        self.cameras: Dict[str, Camera] = {}

    def cut_out_photo(self, fields: Mapping[str, str], body: bytes) -> PageResult:
        """Cut out a photo: a transparent PNG, or a composition."""
        predictor = self.open_weights(fields.get("weights", ""))
        start = time.monotonic()
        data, background = read_upload(fields, body)
        photo = decode_upload(data, "photo")
        alpha = matte_photo(photo, predictor, self.matting)
        kind = "cutout" if background is TRANSPARENT else "composition"
        options = OutputOptions((kind,), background, self.matting)
        image = render_outputs(photo.image, alpha, options, photo.opacity)[kind]
        after = encode_image(image, "photo.png", photo.metadata)
        visible = compose_over_grey(photo.image, photo.opacity)
        before = encode_jpeg(shrink(visible, PREVIEW_SIZE), JPEG_QUALITY)
        height, width = alpha.shape
        milliseconds = 1000 * (time.monotonic() - start)
        size = f"{width} x {height} pixels"
        text = f"{size}, person: {100 * alpha.mean():.1f} %, {milliseconds:.0f} ms"
        return PageResult(text, after, before)

    def cut_out_frame(self, fields: Mapping[str, str], body: bytes) -> PageResult:
        """Cut out a frame of a camera. The alpha follows that of its previous frame."""
        weights, name = fields.get("weights", ""), fields.get("camera", "")
        predictor = self.open_weights(weights, for_photos=False)
        start = time.monotonic()
        data, background = read_upload(fields, body)
        image = decode_upload(data, "frame").image
        options = OutputOptions(("composition",), background, self.matting)
        previous = self.cameras.pop(name, None)
        if previous is not None and previous.weights != weights:
            previous = None
        matted = matte_next_frame(image, predictor, options, previous and previous.matted)
        alpha = enlarge_alpha(matted.alpha, matted.image, image, refine=self.matting.refine_edges)
        composition = render_outputs(image, alpha, options)["composition"]
        after = encode_jpeg(composition, JPEG_QUALITY)
        seconds = time.monotonic() - start
        if previous is not None:
            seconds = SMOOTHING * previous.seconds + (1 - SMOOTHING) * seconds
        self.cameras[name] = Camera(weights, matted, seconds)
        if len(self.cameras) > MAX_CAMERAS:
            del self.cameras[next(iter(self.cameras))]  # the one that was used longest ago
        height, width = alpha.shape
        text = f"{width} x {height} pixels, {1000 * seconds:.0f} ms per frame"
        return PageResult(text, after)


def read_upload(fields: Mapping[str, str], body: bytes) -> Tuple[bytes, Background]:
    """Return the photo or frame in the body, still encoded, and the background that is chosen."""
    choice, length = fields.get("background", ""), fields.get("length", "")
    if not re.fullmatch("[0-9]{1,12}", length):
        raise MmnetError(f"length {shorten(length)}: must be a number of bytes")
    data, background = body[: int(length)], body[int(length) :]
    if choice == "transparent":
        return data, TRANSPARENT
    if choice == "colour":
        return data, parse_colour(fields.get("colour", ""))
    if choice == BLUR:
        return data, Background(None)
    if choice == "image":
        return data, decode_background(background)
    raise MmnetError(f"background {shorten(choice)}: must be transparent, colour, {BLUR} or image")


@functools.lru_cache(maxsize=2)
def decode_background(data: bytes) -> Background:
    """Decode a background once for all frames of a camera."""
    photo = decode_upload(data, "background")
    return Background(compose_over_grey(photo.image, photo.opacity))


def decode_upload(data: bytes, name: str) -> Photo:
    """Decode an image that has at most MAX_PIXELS. Errors name it ``name``."""
    if detect_format(data):  # OpenCV decodes it. Pillow, which decodes others, checks their size.
        try:
            Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))
        except Exception as error:  # Pillow raises many classes for damaged files
            raise MmnetError(f"{name}: {str(error) or 'damaged image'}") from None
    return decode_photo(data, name)
