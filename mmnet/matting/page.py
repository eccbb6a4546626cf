"""Matte photos and camera frames for the page of `mmnet demo`. No TensorFlow."""

import os
import tempfile
import time
from typing import Callable, NamedTuple, Optional, Tuple

import numpy as np

from mmnet.inference.predictor import Predictor
from mmnet.io.clips import Frame
from mmnet.io.pages import image_uri
from mmnet.io.resize import shrink
from mmnet.matting.background import Background, CheckerboardBackground
from mmnet.matting.clip import MattedFrame, matte_next_frame, render_frame
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.files import InputFile, Output
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.matting.temporal import PreviousFrame

PREVIEW_SIZE = 1280  # pixels of the longer side of the images on the page
SMOOTHING = 0.8  # weight of the earlier frames in the time per frame


class Page(NamedTuple):
    """What the functions of the page share."""

    open: Callable[[str], Predictor]  # name of weights -> Predictor
    matting: MattingOptions
    folder: str  # for results

    def output_options(self, background: Optional[Background]) -> OutputOptions:
        """Return the outputs to render. The page shows transparency as a checkerboard."""
        if background is None:
            kinds = ("cutout", "composition")
            return OutputOptions(kinds, CheckerboardBackground(), self.matting)
        return OutputOptions(("composition",), background, self.matting)


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


def process_photo(
    page: Page, path: str, name: str, background: Optional[Background]
) -> PhotoResult:
    """Cut the person out of an uploaded photo; background None: transparent."""
    predictor = page.open(name)
    start = time.monotonic()
    image = load_photo(path)
    alpha = matte_photo(image, predictor, page.matting)
    options = page.output_options(background)
    outputs = render_outputs(image, alpha, options)
    kind = options.kinds[0]
    file = InputFile(path, os.path.splitext(os.path.basename(path))[0])
    output = Output(tempfile.mkdtemp(dir=page.folder))
    result_path = output.write(file, {kind: outputs[kind]})[kind]
    height, width = alpha.shape
    milliseconds = 1000 * (time.monotonic() - start)
    text = f"{width} x {height} pixels, person: {100 * alpha.mean():.1f} %, {milliseconds:.0f} ms"
    previews = shrink(image, PREVIEW_SIZE), shrink(outputs["composition"], PREVIEW_SIZE)
    return PhotoResult(previews, result_path, text)


def process_frame(
    page: Page,
    image: np.ndarray,
    name: str,
    background: Optional[Background],
    previous: Optional[CameraResult] = None,
) -> CameraResult:
    """Cut the person out of a camera frame. The alpha follows the previous one."""
    predictor = page.open(name)
    start = time.monotonic()
    options = page.output_options(background)
    if previous is not None and previous.source != name:
        previous = None
    matted = matte_next_frame(image, predictor, options, previous and previous.matted)
    frame = MattedFrame(Frame(image, 0), matted, options.background)
    result = render_frame(frame, options).images["composition"]
    seconds = time.monotonic() - start
    if previous is not None:
        seconds = SMOOTHING * previous.seconds + (1 - SMOOTHING) * seconds
    height, width = image.shape[:2]
    # Gradio would write the frames of an image component to disk; a data URI stays in memory.
    html = (
        f'<img alt="the person cut out" decoding="sync" width="{width}" height="{height}" '
        f'style="height: auto; width: 100%" src="{image_uri(result, quality=95)}">'
    )
    text = f"{width} x {height} pixels, {1000 * seconds:.0f} ms per frame"
    return CameraResult(html, text, name, matted, seconds)
