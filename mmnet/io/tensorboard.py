"""Write scalars, images and texts as TensorBoard events with the package tensorboard.

No TensorFlow. The package is optional, because the light installation writes no events.
"""

import itertools
import os
import socket
import time
from typing import Any, Dict, Optional, Sequence

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import add_path_to_errors
from mmnet.io.images import encode_png

GREEN = np.array([0, 177, 64], np.float32)  # background of the composition in a panel
RGB = 3  # TensorBoard's number of the colour space
HISTOGRAM_BINS = 30

_file_numbers = itertools.count()  # distinguishes the files of one process


class EventWriter:
    """Writes an event file. Every method raises OSError if the file cannot be written.

    It does not use tensorboard's EventFileWriter, whose thread prints a traceback if the disk is
    full.
    """

    def __init__(self, folder: str):
        """Create a new event file in a folder.

        Raises:
            MmnetError: the package tensorboard is not installed.
        """
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            raise MmnetError("TensorBoard events need: pip install tensorboard") from None
        os.makedirs(folder, exist_ok=True)
        parts = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        name = f"events.out.tfevents.{parts}.{next(_file_numbers)}"
        self._path = os.path.join(folder, name)
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
        histograms: Optional[Dict[str, Sequence[float]]] = None,
    ) -> None:
        """Append the values of one step.

        Args:
            step: global step; None is written as 0.
            scalars: tag -> number.
            images: tag -> uint8 [H,W,3], RGB.
            texts: tag -> Markdown.
            histograms: tag -> numbers, whose distribution is shown.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        values += [_image_value(tag, image) for tag, image in (images or {}).items()]
        values += [_text_value(tag, text) for tag, text in (texts or {}).items()]
        values += [_histogram_value(tag, numbers) for tag, numbers in (histograms or {}).items()]
        self._append(step=step or 0, summary=Summary(value=values))

    def write_hyperparameters(self, values: Dict[str, Any]) -> None:
        """Append the options of a run. Booleans and numbers keep their types; None is omitted."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_FLOAT
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
        plugin_data = SummaryMetadata.PluginData(plugin_name="hparams", content=content)
        value = Summary.Value(
            tag="_hparams_/session_start_info",
            metadata=SummaryMetadata(plugin_data=plugin_data),
            tensor=TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(), float_val=[0.0]),
        )
        self._append(summary=Summary(value=[value]))

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


def make_panel(image: np.ndarray, truth: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return an image, its true alpha, an alpha and a composition on green side by side.

    Args:
        image: [H,W,3], RGB 0..255.
        truth: [H,W], 0..1.
        alpha: [H,W], 0..1.

    Returns:
        uint8 [H,4W,3].
    """
    alpha = np.asarray(alpha, np.float32)
    greys = [np.repeat(np.asarray(grey)[..., None] * 255, 3, axis=2) for grey in (truth, alpha)]
    composition = GREEN + alpha[..., None] * (image - GREEN)
    return np.rint(np.concatenate([image] + greys + [composition], axis=1)).astype(np.uint8)


def _image_value(tag, image):
    from tensorboard.compat.proto.summary_pb2 import Summary

    height, width = image.shape[:2]
    png = encode_png(image)
    value = Summary.Image(height=height, width=width, colorspace=RGB, encoded_image_string=png)
    return Summary.Value(tag=tag, image=value)


def _text_value(tag, markdown):
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[markdown.encode("utf-8")],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def _histogram_value(tag, numbers):
    from tensorboard.compat.proto.summary_pb2 import Summary

    numbers = np.asarray(numbers, float)
    counts, edges = np.histogram(numbers, HISTOGRAM_BINS)
    value = Summary.Value(tag=tag)
    histogram = value.histo
    histogram.min, histogram.max, histogram.num = numbers.min(), numbers.max(), numbers.size
    histogram.sum, histogram.sum_squares = numbers.sum(), np.square(numbers).sum()
    histogram.bucket_limit.extend(edges[1:])
    histogram.bucket.extend(counts)
    return value
