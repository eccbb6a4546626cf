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
from mmnet.io.clips import Frame
from mmnet.io.errors import MmnetError
from mmnet.io.files import write_bytes
from mmnet.io.images import encode_png
from mmnet.io.pages import image_uri
from mmnet.io.resize import shrink
from mmnet.matting import background as backgrounds
from mmnet.matting.background import Background
from mmnet.matting.clip import MattedFrame, matte_next_frame, render_frame
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.matting.temporal import PreviousFrame
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import DEFAULT, VIDEO, is_downloaded, read_registry

PREVIEW_SIZE = 1280  # pixels of the longer side of the images on the page
TRANSPARENT, COLOUR, PICTURE = "transparent", "colour", "picture"
MAX_FILE_AGE = 3600  # seconds that uploads and results stay in the temporary folder
CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}  # pixels
FRAME_INTERVAL = 0.05  # seconds, the minimum between two camera frames
SMOOTHING = 0.8  # weight of the earlier frames in the time per frame

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
    """What the functions of the page share."""

    open: Callable[[str], Predictor]  # name of weights -> Predictor
    matting: MattingOptions
    folder: str  # for results

    def output_options(self, background: Optional[Background]) -> OutputOptions:
        """Return the outputs to render. The page shows transparency as a checkerboard."""
        if background is None:
            checkerboard = backgrounds.CheckerboardBackground()
            return OutputOptions(("cutout", "composition"), checkerboard, self.matting)
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


def run(options: Options) -> int:
    with tempfile.TemporaryDirectory(prefix="mmnet-demo-") as folder:
        gradio = import_gradio(folder)
        check_device(Device(options.device))
        port = find_port(options.host, options.port)
        downloaded = [name for name in read_registry() if is_downloaded(name)]
        names = list(dict.fromkeys([options.checkpoint_path or DEFAULT] + downloaded))
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
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the folder is removed
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        blocks.close(verbose=False)
    return 0


def import_gradio(folder: str) -> Any:
    """Import Gradio, with ``folder`` for uploads and results."""
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # no reports to its developers
    logging.getLogger("httpx").setLevel(logging.WARNING)  # hides Gradio's own requests
    try:
        import gradio
    except ImportError as error:
        raise MmnetError(
            f"demo needs Gradio ({error}): pip install 'mmnet[demo]', Python 3.10 or newer"
        ) from None
    return gradio


def find_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0. Raise MmnetError if it cannot be opened."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, port))
        except OSError as error:
            raise MmnetError(
                f"--host {host} --port {port}: {error.strerror}; give another port, or 0 for any"
            ) from None
        return server.getsockname()[1]


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
    """Cut the person out of an uploaded photo; background None: transparent."""
    predictor = page.open(name)
    start = time.monotonic()
    image = load_photo(path)
    alpha = matte_photo(image, predictor, page.matting)
    options = page.output_options(background)
    outputs = render_outputs(image, alpha, options)
    kind = options.kinds[0]
    folder = os.path.join(page.folder, uuid.uuid4().hex)
    os.mkdir(folder)
    stem = os.path.splitext(os.path.basename(path))[0]
    result_path = os.path.join(folder, f"{stem}_{kind}.png")
    write_bytes(result_path, encode_png(outputs[kind]))
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


def choose_background(
    choice: str, colour: str, upload: Union[None, str, dict]
) -> Optional[Background]:
    """Return the background that the user chose, or None for a transparent one.

    Args:
        choice: TRANSPARENT, COLOUR, PICTURE or BLUR.
        colour: ``#rrggbb`` or ``rgba(r, g, b, a)``, as browsers send it.
        upload: an uploaded image, for PICTURE.
    """
    if choice == COLOUR:
        return backgrounds.parse_colour(colour)
    if choice == PICTURE:
        if upload is None:
            raise MmnetError("no background; upload an image")
        return backgrounds.ImageBackground(load_photo(upload_path(upload)))
    return backgrounds.BlurBackground() if choice == backgrounds.BLUR else None


def upload_path(upload: Union[str, dict]) -> str:
    """Return the path of an upload, also of one that Gradio has not preprocessed."""
    return upload if isinstance(upload, str) else upload["path"]


def build_page(gradio: Any, page: Page, names: List[str]) -> Any:
    """Return the gradio.Blocks: the tabs Photo and Live."""
    cache = (MAX_FILE_AGE, MAX_FILE_AGE)
    with gradio.Blocks(title="mmnet", analytics_enabled=False, delete_cache=cache) as blocks:
        gradio.Markdown("# Cut people out\nAll images stay on this machine.")
        choices = [TRANSPARENT, COLOUR, backgrounds.BLUR, PICTURE]
        with gradio.Row():
            choice = gradio.Radio(choices, value=TRANSPARENT, label="Background")
            colour = gradio.ColorPicker("#00b140", label="Colour", visible=False)
            upload = gradio.Image(
                type="filepath", image_mode=None, label="Picture", visible=False, height=160
            )
        choice.change(
            lambda choice: [
                gradio.update(visible=choice == COLOUR),
                gradio.update(visible=choice == PICTURE),
            ],
            choice,
            [colour, upload],
            api_name=False,
        )
        with gradio.Tab("Photo"):
            add_photo_tab(gradio, page, names, [choice, colour, upload])
        with gradio.Tab("Live"):
            add_camera_tab(gradio, page, names, [choice, colour, upload])
    return blocks


def add_photo_tab(gradio: Any, page: Page, names: List[str], background: List[Any]) -> None:
    def process(upload, name, *chosen):
        if upload is None:
            return None, gradio.DownloadButton(value=None, interactive=False), ""
        result = process_photo(page, upload_path(upload), name, choose_background(*chosen))
        button = gradio.DownloadButton(value=result.path, interactive=True)
        return result.previews, button, result.text

    name = gradio.Dropdown(names, value=names[0], label="Weights")
    with gradio.Row():
        sources = ["upload", "webcam", "clipboard"]
        photo = gradio.Image(type="filepath", sources=sources, label="Photo")
        previews = gradio.ImageSlider(
            label="Before and after", format="jpeg", buttons=["fullscreen"]
        )
    text = gradio.Markdown()
    save = gradio.DownloadButton("Save the PNG", interactive=False)
    gradio.on(
        [component.change for component in (photo, name, *background)],
        show_errors(gradio, page, process),
        [photo, name, *background],
        [previews, save, text],
        preprocess=False,  # load_photo reads the upload and reports its errors
        api_name="photo",
    )


def add_camera_tab(gradio: Any, page: Page, names: List[str], background: List[Any]) -> None:
    def process(image, previous, name, *chosen):
        if image is None:
            return None, "", None
        result = process_frame(page, image, name, choose_background(*chosen), previous)
        return result.html, result.text, result

    name = gradio.Dropdown(names, value=camera_weights(names), label="Weights")
    state = gradio.State()
    with gradio.Row():
        webcam = gradio.WebcamOptions(constraints=CAMERA)
        frames = gradio.Image(
            sources=["webcam"], streaming=True, webcam_options=webcam, label="Camera"
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
