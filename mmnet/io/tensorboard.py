"""Write scalars, images and texts as TensorBoard events with the optional package tensorboard."""

import importlib
import itertools
import os
import socket
import time
from typing import Any, Dict, Optional

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import add_path_to_errors
from mmnet.io.images import encode_png
from mmnet.io.optional import pip_install

GREEN = np.array([0, 177, 64], np.float32)  # background of the composition in a panel
RGB = 3  # TensorBoard's number of the colour space
HISTOGRAM_BINS = 30

_file_numbers = itertools.count()  # distinguishes the files of one process


class EventWriter:
    """Writes an event file. Every method raises OSError if the file cannot be written.

    Tensorboard's EventFileWriter would print the traceback of a thread if the disk is full. Values
    are dictionaries with the fields of tensorboard's protocol buffers.
    """

    def __init__(self, folder: str):
        """Create an event file in a folder. Raise MmnetError if tensorboard is not installed."""
        check_tensorboard()
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        os.makedirs(folder, exist_ok=True)
        origin = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._path = os.path.join(folder, f"events.out.tfevents.{origin}.{next(_file_numbers)}")
        self._file = open(self._path, "xb")  # noqa: SIM115 (closed in close)
        self._records = RecordWriter(self._file)
        self._event_type = Event
        self._append(file_version="brain.Event:2")

    def write(
        self,
        step: Optional[int],
        scalars: Dict[str, float],
        images: Optional[Dict[str, np.ndarray]] = None,
        *,
        texts: Optional[Dict[str, str]] = None,
        histograms: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Append the values of one step.

        Args:
            step: global step; None is written as 0.
            scalars: tag -> number.
            images: tag -> uint8 [H,W,3], RGB.
            texts: tag -> Markdown.
            histograms: tag -> numbers, whose distribution is shown.
        """
        values = [{"tag": tag, "simple_value": value} for tag, value in scalars.items()]
        values += [{"tag": tag, "image": _image(image)} for tag, image in (images or {}).items()]
        for tag, text in (texts or {}).items():
            shape = {"dim": [{"size": 1}]}
            tensor = {"dtype": "DT_STRING", "string_val": [text.encode()], "tensor_shape": shape}
            metadata = {"plugin_data": {"plugin_name": "text"}}
            values.append({"tag": tag, "metadata": metadata, "tensor": tensor})
        for tag, numbers in (histograms or {}).items():
            values.append({"tag": tag, "histo": _histogram(np.asarray(numbers, float))})
        self._append(step=step or 0, summary={"value": values})

    def write_hyperparameters(self, values: Dict[str, Any]) -> None:
        """Append the options of a run. Booleans and numbers keep their types; None is omitted."""
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

        start = SessionStartInfo(start_time_secs=time.time())
        for name, value in values.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, (int, float)):
                start.hparams[name].number_value = value
            elif value is not None:
                start.hparams[name].string_value = str(value)
        content = HParamsPluginData(session_start_info=start).SerializeToString()
        value = {
            "tag": "_hparams_/session_start_info",
            "metadata": {"plugin_data": {"plugin_name": "hparams", "content": content}},
            "tensor": {"dtype": "DT_FLOAT", "tensor_shape": {}, "float_val": [0.0]},
        }
        self._append(summary={"value": [value]})

    def close(self) -> None:
        with add_path_to_errors(self._path):
            self._records.close()

    def _append(self, **fields):
        event = self._event_type(wall_time=time.time(), **fields)
        try:
            with add_path_to_errors(self._path):
                self._records.write(event.SerializeToString())
                self._records.flush()
        except OSError:
            # Otherwise Python writes the rest again, and prints an error, when it deletes the file.
            self._file.raw.close()
            raise


def check_tensorboard() -> None:
    """Raise MmnetError if tensorboard is not installed."""
    try:
        importlib.import_module("tensorboard")
    except ImportError:
        raise MmnetError(f"TensorBoard events need: {pip_install('tensorboard')}") from None


def make_panel(image: np.ndarray, truth: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return uint8 [H,4W,3]: an image, the truth, an alpha and a composition on green.

    The image is [H,W,3], RGB 0..255. The truth and the alpha are [H,W], 0..1.
    """
    alpha = np.asarray(alpha, np.float32)
    greys = [np.repeat(np.asarray(grey)[..., None] * 255, 3, axis=2) for grey in (truth, alpha)]
    composition = GREEN + alpha[..., None] * (image - GREEN)
    return np.rint(np.concatenate([image] + greys + [composition], axis=1)).astype(np.uint8)


def _image(image):
    height, width = image.shape[:2]
    png = encode_png(image)
    return {"height": height, "width": width, "colorspace": RGB, "encoded_image_string": png}


def _histogram(numbers):
    counts, edges = np.histogram(numbers, HISTOGRAM_BINS)
    return {
        "min": numbers.min(),
        "max": numbers.max(),
        "num": numbers.size,
        "sum": numbers.sum(),
        "sum_squares": np.square(numbers).sum(),
        "bucket_limit": edges[1:],
        "bucket": counts,
    }
