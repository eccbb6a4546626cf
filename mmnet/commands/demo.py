"""`mmnet demo`: a page in the browser that cuts people out of photos and camera frames (Gradio)."""

import contextlib
import dataclasses
import functools
import logging
import os
import re
import signal
import socket
import tempfile
import threading
import time
import uuid
from typing import Any, Callable, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from mmnet.commands.flag_types import port_number, size_in_bytes, source
from mmnet.commands.options import SOURCE, DeviceOptions, PhotoOptions, SourceOptions, flag
from mmnet.commands.predict import matting_options
from mmnet.inference.open import open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.files import write_bytes
from mmnet.io.images import encode_png
from mmnet.io.pages import image_uri
from mmnet.io.resize import shrink
from mmnet.matting.background import (
    BLUR,
    Background,
    BlurBackground,
    CheckerboardBackground,
    ImageBackground,
    parse_colour,
)
from mmnet.matting.clip import matte_next_frame
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions, enlarge_alpha, matte_photo
from mmnet.matting.temporal import PreviousFrame
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import DEFAULT, VIDEO, is_downloaded, read_registry

PREVIEW_SIZE = 1280  # pixels of the longer side of the images on the page
TRANSPARENT, COLOUR, PICTURE = "transparent", "colour", "picture"
DEFAULT_COLOUR = "#00b140"
MAX_FILE_AGE = 3600  # seconds that uploads and results stay in the temporary folder
CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}  # pixels
FRAME_INTERVAL = 0.05  # seconds, the minimum between two camera frames
SMOOTHING = 0.8  # weight of the previous frames in the time per frame
JPEG_QUALITY = 95

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options(SourceOptions, PhotoOptions, DeviceOptions):
    """Open a page in the browser that cuts people out of photos and camera frames.

    All images stay on this machine. Uploads are deleted after an hour. Other machines can reach the
    page only with --host. Ctrl-C closes the page.
    """

    checkpoint_path: Optional[str] = flag(
        None,
        source,
        help=f"{SOURCE} (default: {DEFAULT}; for the camera {VIDEO}); the page also offers all "
        "downloaded weights",
        alias="model",
        group="model",
    )
    host: str = flag("127.0.0.1", help="address of the page; 0.0.0.0 lets other machines reach it")
    port: int = flag(7860, port_number, help="port of the page; 0: any free port")
    upload_limit: int = flag(50 << 20, size_in_bytes, help="maximum size of an uploaded image")


class Page(NamedTuple):
    """State of the page."""

    open: Callable[[str], Predictor]  # name of weights -> Predictor
    matting: MattingOptions
    folder: str  # for results


class PhotoResult(NamedTuple):
    """The result of a photo as the page shows it."""

    previews: Tuple[np.ndarray, np.ndarray]  # before and after
    path: str  # of the PNG to download
    text: str


class CameraState(NamedTuple):
    """State between two camera frames."""

    source: str  # name of the weights
    previous: PreviousFrame
    seconds: float  # mean processing time per frame


def run(options: Options) -> int:
    with tempfile.TemporaryDirectory(prefix="mmnet-demo-") as folder:
        gradio = import_gradio(folder)
        check_device(Device(options.device))
        port = find_port(options.host, options.port)
        names = list_weights(options)
        page = Page(predictor_opener(options), matting_options(options), folder)
        for name in {names[0], camera_weights(names)}:
            page.open(name)  # reports errors before the page opens
        blocks = build_page(gradio, page, names)
        blocks.launch(
            server_name=options.host,
            server_port=port,
            max_file_size=options.upload_limit,
            share=False,
            ssr_mode=False,
            show_error=True,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
        )
        print(f"http://{options.host}:{port}", flush=True)
        log.info("the page is open; Ctrl-C closes it")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # removes the folder
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        blocks.close(verbose=False)
    return 0


def import_gradio(folder: str) -> Any:
    """Import Gradio, with ``folder`` for uploads and results.

    Raises:
        MmnetError: Gradio is not installed.
    """
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # no reports to its developers
    logging.getLogger("httpx").setLevel(logging.WARNING)  # hides Gradio's own requests
    try:
        import gradio
    except ImportError as error:
        raise MmnetError(
            f"demo needs Gradio ({error}); run: pip install 'mmnet[demo]' (Python 3.10 or newer)"
        ) from None
    return gradio


def find_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0.

    Raises:
        MmnetError: the port is in use, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, port))
        except OSError as error:
            raise MmnetError(
                f"--host {host} --port {port}: {error.strerror}; give another port, or 0 for a "
                "free one"
            ) from None
        return server.getsockname()[1]


def list_weights(options: Options) -> List[str]:
    """Return the weights to choose from: first the default, then all downloaded ones."""
    downloaded = [name for name in read_registry() if is_downloaded(name)]
    return list(dict.fromkeys([options.checkpoint_path or DEFAULT] + downloaded))


def camera_weights(names: List[str]) -> str:
    """Return the default weights for the camera."""
    return VIDEO if names[0] == DEFAULT else names[0]


def predictor_opener(options: Options) -> Callable[[str], Predictor]:
    """Return a function that opens weights by name, once. The flags describe their own source."""
    device = Device(options.device)

    @functools.lru_cache(maxsize=None)
    def open_once(name: str) -> Predictor:
        if name != options.checkpoint_path:
            return open_predictor(name, device=device)
        return open_predictor(
            name, options.network_fields(), weight_options=options.weight_options(), device=device
        )

    return open_once


def process_photo(
    page: Page, path: str, name: str, background: Optional[Background]
) -> PhotoResult:
    """Cut the person out of an uploaded photo; None: a transparent background."""
    predictor = page.open(name)
    start = time.monotonic()
    image = load_photo(path)
    alpha = matte_photo(image, predictor, page.matting)
    alpha_seconds = time.monotonic() - start
    kind = "cutout" if background is None else "composition"
    outputs = render_outputs(image, alpha, output_options(page, background))
    folder = os.path.join(page.folder, uuid.uuid4().hex)
    os.mkdir(folder)
    stem = os.path.splitext(os.path.basename(path))[0]
    result_path = os.path.join(folder, f"{stem}_{kind}.png")
    write_bytes(result_path, encode_png(outputs[kind]))
    seconds = time.monotonic() - start
    height, width = alpha.shape
    text = (
        f"{width} x {height} pixels, person: {100 * alpha.mean():.1f} %, alpha: "
        f"{1000 * alpha_seconds:.0f} ms, total: {1000 * seconds:.0f} ms"
    )
    previews = shrink(image, PREVIEW_SIZE), shrink(outputs["composition"], PREVIEW_SIZE)
    return PhotoResult(previews, result_path, text)


def process_frame(
    page: Page,
    image: np.ndarray,
    name: str,
    background: Optional[Background],
    state: Optional[CameraState],
) -> Tuple[str, str, CameraState]:
    """Cut the person out of a camera frame: (HTML, text, state for the next frame)."""
    predictor = page.open(name)
    start = time.monotonic()
    if state is not None and state.source != name:
        state = None
    previous = None if state is None else state.previous
    current = matte_next_frame(image, predictor, page.matting, previous=previous)
    alpha = enlarge_alpha(current.alpha, current.image, image, refine=page.matting.refine_edges)
    result = render_outputs(image, alpha, output_options(page, background))["composition"]
    seconds = time.monotonic() - start
    if state is not None:
        seconds = SMOOTHING * state.seconds + (1 - SMOOTHING) * seconds
    height, width = alpha.shape
    # Gradio would write an image component's frames to disk; a data URI stays in memory.
    html = (
        f'<img alt="the person cut out" decoding="sync" width="{width}" height="{height}" '
        f'style="height: auto; width: 100%" src="{image_uri(result, JPEG_QUALITY)}">'
    )
    text = f"{width} x {height} pixels, {1000 * seconds:.0f} ms per frame"
    return html, text, CameraState(name, current, seconds)


def output_options(page: Page, background: Optional[Background]) -> OutputOptions:
    """Return the outputs to render. The page shows transparency as a checkerboard."""
    if background is None:
        return OutputOptions(("cutout", "composition"), CheckerboardBackground(), page.matting)
    return OutputOptions(("composition",), background, page.matting)


def choose_background(
    choice: str, colour: str, picture: Union[None, str, dict]
) -> Optional[Background]:
    """Return the background that the user chose, or None for a transparent one.

    Args:
        choice: TRANSPARENT, COLOUR, PICTURE or BLUR.
        colour: ``#rrggbb`` or ``rgba(r, g, b, a)``, as browsers send it.
        picture: an uploaded image.
    """
    if choice == COLOUR:
        return parse_colour(colour)
    if choice == PICTURE:
        if picture is None:
            raise MmnetError("no background; upload a picture")
        return ImageBackground(load_photo(upload_path(picture)))
    return BlurBackground() if choice == BLUR else None


def upload_path(upload: Union[str, dict]) -> str:
    """Return the path of an upload that Gradio has not preprocessed."""
    return upload if isinstance(upload, str) else upload["path"]


def build_page(gradio: Any, page: Page, names: List[str]) -> Any:
    """Return the gradio.Blocks: the tabs Photo and Live."""
    with gradio.Blocks(
        title="mmnet", analytics_enabled=False, delete_cache=(MAX_FILE_AGE, MAX_FILE_AGE)
    ) as blocks:
        gradio.Markdown("# Cut people out\nAll images stay on this machine.")
        with gradio.Row():
            choice = gradio.Radio(
                [TRANSPARENT, COLOUR, BLUR, PICTURE], value=TRANSPARENT, label="Background"
            )
            colour = gradio.ColorPicker(DEFAULT_COLOUR, label="Colour", visible=False)
            picture = gradio.Image(
                type="filepath", image_mode=None, label="Picture", visible=False, height=160
            )
        choice.change(
            lambda value: [
                gradio.update(visible=value == COLOUR),
                gradio.update(visible=value == PICTURE),
            ],
            choice,
            [colour, picture],
            api_name=False,
        )
        with gradio.Tab("Photo"):
            add_photo_tab(gradio, page, names, [choice, colour, picture])
        with gradio.Tab("Live"):
            add_camera_tab(gradio, page, names, [choice, colour, picture])
    return blocks


def add_photo_tab(gradio: Any, page: Page, names: List[str], background: List[Any]) -> None:
    def process(photo, name, *chosen):
        if photo is None:
            return None, gradio.DownloadButton(value=None, interactive=False), ""
        result = process_photo(page, upload_path(photo), name, choose_background(*chosen))
        button = gradio.DownloadButton(value=result.path, interactive=True)
        return result.previews, button, result.text

    name = gradio.Dropdown(names, value=names[0], label="Weights")
    with gradio.Row():
        photo = gradio.Image(
            type="filepath", sources=["upload", "webcam", "clipboard"], label="Photo"
        )
        result = gradio.ImageSlider(label="Before and after", format="jpeg", buttons=["fullscreen"])
    text = gradio.Markdown()
    save = gradio.DownloadButton("Save the PNG", interactive=False)
    gradio.on(
        [component.change for component in (photo, name, *background)],
        show_errors(gradio, page, process),
        [photo, name, *background],
        [result, save, text],
        preprocess=False,  # load_photo reads the upload, and reports its errors
        api_name="photo",
    )


def add_camera_tab(gradio: Any, page: Page, names: List[str], background: List[Any]) -> None:
    def process(frame, state, name, *chosen):
        if frame is None:
            return None, "", None
        return process_frame(page, frame, name, choose_background(*chosen), state)

    name = gradio.Dropdown(names, value=camera_weights(names), label="Weights")
    state = gradio.State()
    with gradio.Row():
        frames = gradio.Image(
            sources=["webcam"],
            streaming=True,
            webcam_options=gradio.WebcamOptions(constraints=CAMERA),
            label="Camera",
        )
        html = gradio.HTML()
    text = gradio.Markdown()
    frames.stream(
        show_errors(gradio, page, process),
        [frames, state, name, *background],
        [html, text, state],
        stream_every=FRAME_INTERVAL,
        show_progress="hidden",
        api_name="camera",
    )


def show_errors(gradio: Any, page: Page, function: Callable) -> Callable:
    """Let the page show bad input in one line, without the path of the temporary folder."""

    @functools.wraps(function)
    def call(*inputs):
        try:
            return function(*inputs)
        except (MmnetError, OSError) as error:
            message = re.sub(re.escape(page.folder) + r"/\w+/", "", str(error))
            raise gradio.Error(message, print_exception=False) from None

    return call
