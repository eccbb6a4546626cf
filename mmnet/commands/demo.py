"""The demo verb: a page on this machine that cuts out photos and what the camera sees, on Gradio.

A photo's way: load_photo -> matte_photo -> results_of -> shown and saved. A camera's frame goes the
way of a clip's: next_frame -> enlarge_alpha -> results_of.
"""

import contextlib
import dataclasses
import logging
import os
import re
import signal
import socket
import tempfile
import threading
import time
import uuid
from functools import lru_cache
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from mmnet.commands.flag_types import port_number, size_in_bytes, source
from mmnet.commands.options import SOURCE, DeviceOptions, PhotoOptions, SourceOptions, flag
from mmnet.commands.predict import care_of, stem_of
from mmnet.inference.open import open_predictor
from mmnet.io.errors import MmnetError
from mmnet.io.files import write_bytes
from mmnet.io.images import encode_png
from mmnet.io.pages import image_uri
from mmnet.io.resize import shrink
from mmnet.matting.clip import next_frame
from mmnet.matting.compose import BLUR, OutputOptions, compose, load_background, results_of
from mmnet.matting.load import load_photo
from mmnet.matting.photo import GRAIN, enlarge_alpha, matte_photo
from mmnet.matting.temporal import Before
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import DEFAULT, VIDEO, is_downloaded, read_registry

PREVIEW = 1280  # pixels of the longer side of what the page shows; what is saved is whole
SQUARES = 16  # pixels of a side, of the pattern that stands for nothing
TRANSPARENT, COLOUR, PICTURE = "transparent", "colour", "picture"
KEPT = 3600  # seconds that uploads and results lie in the temporary folder
CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}  # pixels
EVERY = 0.05  # seconds, the least between two frames of the camera
SMOOTHED = 0.8  # share of the time a frame took before, in the one that is shown

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options(SourceOptions, PhotoOptions, DeviceOptions):
    """Open a page in the browser: a photo, or what the camera sees, cut out on this machine.

    Nothing is fetched for the page, and nothing leaves the machine; others reach it only where
    --host says so. What is uploaded lies in a temporary folder for an hour at most. Ctrl-C ends it.
    """

    checkpoint_path: Optional[str] = flag(
        None,
        source,
        help=(
            "%s (default: %s; of the camera %s); the page offers all weights by name that lie here"
            % (SOURCE, DEFAULT, VIDEO)
        ),
        alias="model",
    )
    host: str = flag(
        "127.0.0.1", help="address to listen at; 0.0.0.0 lets others reach the page, by any way"
    )
    port: int = flag(7860, port_number, help="to listen at; 0: one that is free")
    upload_limit: int = flag(
        50 << 20, size_in_bytes, help="the largest picture that is taken; a larger one is refused"
    )


class Page(NamedTuple):
    """What the functions behind the page need."""

    open: Callable  # name of weights -> Predictor
    care: Any  # matte.Care
    folder: str  # for what is saved


class Live(NamedTuple):
    """What a frame of the camera leaves to the next one."""

    source: str  # name of the weights
    before: Before
    seconds: float  # that a frame took, smoothed


def run(options):
    with tempfile.TemporaryDirectory(prefix="mmnet-demo-") as folder:
        gradio = import_gradio(folder)
        check_device(Device(options.device))
        port = need_port(options.host, options.port)
        names = names_here(options)
        page = Page(opener(options), care_of(options), folder)
        for name in {names[0], live_name(names)}:
            page.open(name)  # what is wrong with it is said now
        blocks = page_of(gradio, page, names)
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
        print("http://%s:%d" % (options.host, port), flush=True)
        log.info("the page is open until Ctrl-C")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing is left behind then
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        blocks.close(verbose=False)
    return 0


def import_gradio(folder):
    """The module, which is to put uploads and results into ``folder``."""
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # it would report to its makers
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each of its own requests
    try:
        import gradio
    except ImportError as error:
        raise MmnetError(
            "the demo needs Gradio (pip install 'mmnet[demo]', Python 3.10 or newer): %s" % error
        ) from None
    return gradio


def need_port(host, port):
    """The port, or a free one for 0; ValueError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, port))
        except OSError as error:
            raise MmnetError(
                "--host %s --port %d cannot be opened (%s): give another, or --port 0 for any that "
                "is free" % (host, port, error.strerror)
            ) from None
        return taken.getsockname()[1]


def names_here(options):
    """Names of the weights to choose from, the first chosen: nothing is downloaded for the page."""
    here = [name for name in read_registry() if is_downloaded(name)]
    return list(dict.fromkeys([options.checkpoint_path or DEFAULT] + here))


def live_name(names):
    """Those that the camera begins with: clips' own, where the user has named none."""
    return VIDEO if names[0] == DEFAULT else names[0]


def opener(options):
    """name -> Predictor, opened once; the options describe the source that they name."""

    @lru_cache(maxsize=None)
    def opened(name):
        device = Device(options.device)
        if name != options.checkpoint_path:
            return open_predictor(name, device=device)
        return open_predictor(
            name, options.network_fields(), weight_options=options.weight_options(), device=device
        )

    return opened


def cut_photo(page, path, name, background):
    """(photo and result as the page shows them, path of the result's PNG, what is said of it)."""
    predictor = page.open(name)
    begun = time.monotonic()
    image = load_photo(path)
    alpha = matte_photo(image, predictor, page.care)
    spent = time.monotonic() - begun
    kind = "cutout" if background is None else "composition"
    result = results_of(image, alpha, OutputOptions((kind,), background, page.care))[kind]
    saved = os.path.join(page.folder, uuid.uuid4().hex)
    os.mkdir(saved)
    saved = os.path.join(saved, "%s_%s.png" % (stem_of(os.path.basename(path)), kind))
    write_bytes(saved, encode_png(result))
    shorten = shrink(image, PREVIEW), shrink(visible(result), PREVIEW)
    height, width = alpha.shape
    said = "%d x %d pixels, person: %.1f %% of them. Alpha in %.0f ms, all of it in %.0f ms." % (
        width,
        height,
        100 * alpha.mean(),
        1000 * spent,
        1000 * (time.monotonic() - begun),
    )
    return shorten, saved, said


def cut_frame(page, frame, name, background, live):
    """(a frame's result as HTML, what is said of it, Live for the next one).

    live: Live of the frame before; None: there was none.
    """
    predictor = page.open(name)
    begun = time.monotonic()
    small = shrink(frame, GRAIN)
    if live is not None and (live.source != name or live.before.image.shape != small.shape):
        live = None
    before = next_frame(small, predictor, page.care, "motion", live and live.before)
    alpha = enlarge_alpha(before.alpha, small, frame, page.care)
    kind = "cutout" if background is None else "composition"
    result = visible(results_of(frame, alpha, OutputOptions((kind,), background, page.care))[kind])
    spent = time.monotonic() - begun
    if live is not None:
        spent = SMOOTHED * live.seconds + (1 - SMOOTHED) * spent
    said = "%d x %d pixels, %.0f ms a frame" % (frame.shape[1], frame.shape[0], 1000 * spent)
    return as_html(result), said, Live(name, before, spent)


def as_html(image):
    """A picture with its bytes, for Gradio would leave a file of every frame on the disk."""
    height, width = image.shape[:2]
    return (
        '<img alt="the person cut out" decoding="sync" width="%d" height="%d" '
        'style="height: auto; width: 100%%" src="%s">' % (width, height, image_uri(image, 95))
    )


def visible(result):
    """A result as the page shows it: what is transparent before a pattern of squares."""
    if result.shape[2] == 3:
        return result
    rows, columns = (np.arange(side) // SQUARES for side in result.shape[:2])
    levels = np.where((rows[:, None] + columns) % 2, 204, 255).astype(np.uint8)
    alpha = result[..., 3] / np.float32(255)
    return compose(np.ascontiguousarray(result[..., :3]), alpha, np.dstack([levels] * 3))


def background_of(choice, colour, picture) -> Optional[Any]:
    """What compose takes, or None for a transparent one.

    Args:
        choice: one of the page's. colour: of its field, ``#rrggbb`` or ``rgba(r, g, b, a)``.
        picture: path of an uploaded one, or None.
    """
    if choice == COLOUR:
        return load_background(as_hex(colour))
    if choice == PICTURE:
        if picture is None:
            raise MmnetError("choose the picture that is to be the background")
        return load_photo(picture)
    return BLUR if choice == BLUR else None


def as_hex(colour):
    """``rgba(0, 177.4, 64, 1)``, as a browser may say it, as ``#00b140``."""
    if not colour.startswith("rgb"):
        return colour
    levels = colour[colour.index("(") + 1 : -1].split(",")[:3]
    return "#" + "".join("%02x" % min(255, max(0, round(float(level)))) for level in levels)


def page_of(gradio, page, names):
    """The gradio.Blocks: two tabs, what they show, and which function each change calls."""

    def upload(**options):
        """A field for a picture: its path. load_photo reads it, and says what is wrong with it."""
        field = gradio.Image(type="filepath", **options)
        field.preprocess = lambda payload: payload and payload.path
        return field

    def answered(function):
        """What is wrong with the input is shown on the page, as one line."""

        def call(*inputs):
            try:
                return function(*inputs)
            except (ValueError, OSError) as error:
                message = re.sub(re.escape(page.folder) + r"/\w+/", "", str(error))
                raise gradio.Error(message, print_exception=False) from None

        return call

    def photo(path, name, *chosen):
        if path is None:
            return None, gradio.DownloadButton(value=None, interactive=False), ""
        shorten, saved, said = cut_photo(page, path, name, background_of(*chosen))
        return shorten, gradio.DownloadButton(value=saved, interactive=True), said

    def camera(frame, live, name, *chosen):
        if frame is None:
            return None, "", None
        return cut_frame(page, frame, name, background_of(*chosen), live)

    with gradio.Blocks(title="mmnet", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as blocks:
        gradio.Markdown("# Cut a person out\nOn this machine: no picture leaves it.")
        with gradio.Row():
            choice = gradio.Radio(
                [TRANSPARENT, COLOUR, BLUR, PICTURE], value=TRANSPARENT, label="Background"
            )
            colour = gradio.ColorPicker("#00b140", label="Colour", visible=False)
            picture = upload(label="Picture", visible=False, height=160)
        chosen = [choice, colour, picture]
        with gradio.Tab("Photo"):
            name = gradio.Dropdown(names, value=names[0], label="Weights")
            with gradio.Row():
                given = upload(sources=["upload", "webcam", "clipboard"], label="Photo")
                result = gradio.ImageSlider(
                    label="Before and after", format="jpeg", buttons=["fullscreen"]
                )
            said = gradio.Markdown()
            save = gradio.DownloadButton("Save the PNG", interactive=False)
            gradio.on(
                [given.change, name.change] + [choice.change, colour.change, picture.change],
                answered(photo),
                [given, name] + chosen,
                [result, save, said],
                api_name="photo",
            )
        with gradio.Tab("Live"):
            live_source = gradio.Dropdown(names, value=live_name(names), label="Weights")
            state = gradio.State()
            with gradio.Row():
                frames = gradio.Image(
                    sources=["webcam"],
                    streaming=True,
                    webcam_options=gradio.WebcamOptions(constraints=CAMERA),
                    label="Camera",
                )
                cut = gradio.HTML()
            rate = gradio.Markdown()
            frames.stream(
                answered(camera),
                [frames, state, live_source] + chosen,
                [cut, rate, state],
                stream_every=EVERY,
                show_progress="hidden",
                api_name="camera",
            )
        choice.change(
            lambda choice: [
                gradio.update(visible=choice == COLOUR),
                gradio.update(visible=choice == PICTURE),
            ],
            choice,
            [colour, picture],
            api_name=False,
        )
    return blocks
