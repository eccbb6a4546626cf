"""`mmnet demo`: a page in the browser that cuts people out of photos and camera frames."""

import dataclasses
import functools
import os
from typing import Callable, List

from mmnet.commands.flag_types import port_number, size_in_bytes
from mmnet.commands.options import CutoutOptions, flag
from mmnet.demo.app import Server, open_socket
from mmnet.demo.processing import Demo
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError, shorten
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import is_downloaded, read_registry


@dataclasses.dataclass(frozen=True)
class Options(CutoutOptions):
    """Open a page in the browser that cuts people out of photos and camera frames.

    All images stay in the memory of this machine. Other machines can reach the page only with
    --host and the printed address, which contains a secret token. Ctrl-C closes the page.
    """

    host: str = flag(
        "127.0.0.1",
        help="name or IP address of this machine on which the page opens; 0.0.0.0: all addresses",
    )
    port: int = flag(7860, port_number, help="port of the page; 0: any free port")
    upload_limit: int = flag(50 << 20, size_in_bytes, help="maximum size of an upload")


def run(options: Options) -> int:
    check_device(Device(options.device))
    downloaded = [name for name in read_registry() if is_downloaded(name)]
    names = list(dict.fromkeys([options.checkpoint_path] + downloaded))
    demo = Demo(predictor_opener(options, names), options.matting_options())
    listener, address = open_socket(options.host, options.port)
    with listener:
        server = Server(demo, address, options.upload_limit, names)
        demo.open_weights(names[0])  # reports errors before the page opens
        demo.open_weights(names[0], for_photos=False)
        exit_code = 128 + server.run(listener)
    os._exit(exit_code)  # sys.exit would wait for the photo in progress


def predictor_opener(options: Options, names: List[str]) -> Callable[..., Predictor]:
    """Return a function that opens one of ``names``, for photos or for frames, once.

    The flags describe their own source. Frames have one view.
    """

    @functools.lru_cache(maxsize=None)
    def open_once(name: str, *, for_photos: bool = True) -> Predictor:
        if name not in names:  # clients may send any text
            raise MmnetError(f"weights {shorten(name)}: must be one of {', '.join(names)}")
        is_own = name == options.checkpoint_path
        described = options if is_own else Options(device=options.device)
        return described.open_network(name, for_photos=for_photos)

    return open_once
