"""Matte photos and camera frames for the page of `mmnet demo`. No TensorFlow."""

import os
import tempfile
import time
from typing import Callable, NamedTuple, Optional, Tuple

import numpy as np

from mmnet.inference.predictor import Predictor
from mmnet.io.files import write_bytes
from mmnet.io.images import compose_over_grey, encode_image
from mmnet.io.pages import image_uri
from mmnet.io.resize import shrink
from mmnet.matting.background import Background
from mmnet.matting.clip import matte_next_frame
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.matting.refine import enlarge_alpha
from mmnet.matting.temporal import PreviousFrame

PREVIEW_SIZE = 1280  # pixels of the longer side of the images on the page
SMOOTHING = 0.8  # weight of the earlier frames in the time per frame
SQUARE_SIZE = 16  # pixels of the side of a square of the checkerboard


class Checkerboard(Background):
    """Squares that stand for transparency."""

    def at(self, image, alpha):
        rows, columns = (np.arange(side) // SQUARE_SIZE for side in image.shape[:2])
        levels = np.where((rows[:, None] + columns) % 2, 204, 255).astype(np.uint8)
        return np.dstack([levels] * 3)


TRANSPARENT = Checkerboard(None)


class Page(NamedTuple):
    """What the functions of the page share."""

    open: Callable[[str], Predictor]  # name of weights -> Predictor
    matting: MattingOptions
    folder: str  # for uploads and results


class PhotoResult(NamedTuple):
    """The result of a photo as the page shows it."""

    previews: Tuple[np.ndarray, np.ndarray]  # before and after
    path: str  # PNG file to download
    text: str


class CameraResult(NamedTuple):
    """The result of a camera frame, and the state for the next one."""

    html: str
    text: str
    source: str  # name of the weights
    matted: PreviousFrame
    seconds: float  # mean processing time per frame


def process_photo(page: Page, path: str, name: str, background: Background) -> PhotoResult:
    """Cut the person out of an uploaded photo with the weights ``name``."""
    predictor = page.open(name)
    start = time.monotonic()
    photo = load_photo(path)
    alpha = matte_photo(photo, predictor, page.matting)
    options = OutputOptions(("cutout", "composition"), background, page.matting)
    outputs = render_outputs(photo.image, alpha, options, photo.opacity)
    kind = "cutout" if background is TRANSPARENT else "composition"
    stem = os.path.splitext(os.path.basename(path))[0]
    result_path = os.path.join(tempfile.mkdtemp(dir=page.folder), f"{stem}_{kind}.png")
    write_bytes(result_path, encode_image(outputs[kind], result_path, photo.metadata))
    height, width = alpha.shape
    milliseconds = 1000 * (time.monotonic() - start)
    text = f"{width} x {height} pixels, person: {100 * alpha.mean():.1f} %, {milliseconds:.0f} ms"
    visible = compose_over_grey(photo.image, photo.opacity)
    previews = shrink(visible, PREVIEW_SIZE), shrink(outputs["composition"], PREVIEW_SIZE)
    return PhotoResult(previews, result_path, text)


def process_frame(
    page: Page,
    image: np.ndarray,
    name: str,
    background: Background,
    previous: Optional[CameraResult] = None,
) -> CameraResult:
    """Cut the person out of a camera frame. The alpha follows the previous one."""
    predictor = page.open(name)
    start = time.monotonic()
    options = OutputOptions(("composition",), background, page.matting)
    if previous is not None and previous.source != name:
        previous = None
    matted = matte_next_frame(image, predictor, options, previous and previous.matted)
    alpha = enlarge_alpha(matted.alpha, matted.image, image, refine=page.matting.refine_edges)
    composition = render_outputs(image, alpha, options)["composition"]
    seconds = time.monotonic() - start
    if previous is not None:
        seconds = SMOOTHING * previous.seconds + (1 - SMOOTHING) * seconds
    height, width = alpha.shape
    # Gradio would write the frames of an image component to disk; a data URI stays in memory.
    html = (
        f'<img alt="the person cut out" decoding="sync" width="{width}" height="{height}" '
        f'style="height: auto; width: 100%" src="{image_uri(composition, quality=95)}">'
    )
    text = f"{width} x {height} pixels, {1000 * seconds:.0f} ms per frame"
    return CameraResult(html, text, name, matted, seconds)
