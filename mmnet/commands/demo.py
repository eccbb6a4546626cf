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
from typing import Any, Callable, List, Optional, Union

from mmnet.commands.flag_types import port_number, size_in_bytes, source
from mmnet.commands.options import SOURCE, DeviceOptions, PhotoOptions, SourceOptions, flag
from mmnet.inference.open import open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.matting.background import BLUR, Background, load_background, parse_colour
from mmnet.matting.page import TRANSPARENT, Page, process_frame, process_photo
from mmnet.matting.photo import MattingOptions
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import DEFAULT, VIDEO, is_downloaded, read_registry

BACKGROUND_CHOICES = ("transparent", "colour", BLUR, "picture")  # backgrounds
MAX_FILE_AGE = 3600  # seconds that uploads and results stay in the temporary folder
CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}  # pixels
FRAME_INTERVAL = 0.05  # seconds, the minimum between two camera frames

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


def run(options: Options) -> int:
    with tempfile.TemporaryDirectory(prefix="mmnet-demo-") as folder:
        gradio = import_gradio(folder)
        check_device(Device(options.device))
        port = find_port(options.host, options.port)
        downloaded = [name for name in read_registry() if is_downloaded(name)]
        names = list(dict.fromkeys([options.checkpoint_path or DEFAULT] + downloaded))
        matting_options = MattingOptions(
            second_pass=not options.no_second_pass,
            refine_edges=not options.no_refinement,
            estimate_foreground=not options.no_foreground_colours,
        )
        page = Page(predictor_opener(options, names), matting_options, folder)
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
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the folder is removed
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


def predictor_opener(options: Options, names: List[str]) -> Callable[[str], Predictor]:
    """Return a function that opens one of ``names``, once. The flags describe their own source."""

    @functools.lru_cache(maxsize=None)
    def open_once(name: str) -> Predictor:
        if name not in names:  # clients may send any text
            raise MmnetError(f"weights {name}: must be one of {', '.join(names)}")
        described = options if name == options.checkpoint_path else Options()
        return open_predictor(
            name,
            described.network_fields(),
            weight_options=described.weight_options(),
            device=Device(options.device),
        )

    return open_once


def choose_background(
    page: Page, choice: str, colour: str, upload: Union[None, str, dict]
) -> Background:
    """Return the background that the user chose. ``choice`` is one of BACKGROUND_CHOICES."""
    if choice == "colour":
        return parse_colour(colour)  # #rrggbb or rgba(r, g, b, a): it depends on the browser
    if choice == "picture":
        if upload is None:
            raise MmnetError("no background; upload an image")
        return load_background(upload_path(page, upload))
    return Background(None) if choice == BLUR else TRANSPARENT


def upload_path(page: Page, upload: Union[str, dict]) -> str:
    """Return the path of an upload, also of one that Gradio has not preprocessed.

    Raises:
        MmnetError: a client sent the path of another file of this machine.
    """
    path = upload if isinstance(upload, str) else upload["path"]
    if not os.path.realpath(path).startswith(os.path.realpath(page.folder) + os.sep):
        raise MmnetError(f"{path}: is not an upload")
    return path


def build_page(gradio: Any, page: Page, names: List[str]) -> Any:
    """Return the gradio.Blocks: the tabs Photo and Live."""
    cache = (MAX_FILE_AGE, MAX_FILE_AGE)
    with gradio.Blocks(title="mmnet", analytics_enabled=False, delete_cache=cache) as blocks:
        gradio.Markdown("# Cut people out\nAll images stay on this machine.")
        with gradio.Row():
            choice = gradio.Radio(
                list(BACKGROUND_CHOICES), value=BACKGROUND_CHOICES[0], label="Background"
            )
            colour = gradio.ColorPicker("#00b140", label="Colour", visible=False)
            upload = gradio.Image(
                type="filepath", image_mode=None, label="Picture", visible=False, height=160
            )

        def show_details(choice):
            return [gradio.update(visible=choice == name) for name in ("colour", "picture")]

        choice.change(show_details, choice, [colour, upload], api_name=False)
        background = [choice, colour, upload]
        with gradio.Tab("Photo"):
            add_photo_tab(gradio, page, names, background)
        with gradio.Tab("Live"):
            add_camera_tab(gradio, page, names, background)
    return blocks


def add_photo_tab(gradio: Any, page: Page, names: List[str], background: List[Any]) -> None:
    def process(upload, name, *chosen):
        if upload is None:
            return None, gradio.DownloadButton(value=None, interactive=False), ""
        path = upload_path(page, upload)
        result = process_photo(page, path, name, choose_background(page, *chosen))
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
    inputs = [photo, name, *background]
    gradio.on(
        [component.change for component in inputs],
        show_errors(gradio, page, process),
        inputs,
        [previews, save, text],
        preprocess=False,  # load_photo reads the upload and reports its errors
        api_name="photo",
    )


def add_camera_tab(gradio: Any, page: Page, names: List[str], background: List[Any]) -> None:
    def process(image, previous, name, *chosen):
        if image is None:
            return None, "", None
        result = process_frame(page, image, name, choose_background(page, *chosen), previous)
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
