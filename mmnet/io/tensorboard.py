"""Write scalars, pictures and texts as TensorBoard events, with the tensorboard package."""

import itertools
import os
import socket
import time
from io import BufferedWriter
from typing import NamedTuple

import cv2
import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import add_path_to_errors

try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo
    from tensorboard.summary.writer.record_writer import RecordWriter
except ImportError:  # the light installation, which cuts out and scores but keeps no events
    RecordWriter = None

GREEN = np.array([0, 177, 64], np.float32)  # behind the persons of a panel

_numbers = itertools.count()  # of the files that this process writes


class EventsFile(NamedTuple):
    """An events file that is being written."""

    path: str
    file: BufferedWriter
    records: "RecordWriter"


def open_events(folder):
    """An EventsFile, new, in ``folder``. The caller gives it to close_events.

    It is written at once: EventFileWriter's thread prints a traceback where a disk is full.

    Raises:
        ValueError: tensorboard is not installed. OSError: the folder cannot be written.
    """
    if RecordWriter is None:
        raise MmnetError("scores are kept with TensorBoard events: pip install tensorboard")
    os.makedirs(folder, exist_ok=True)
    parts = (time.time(), socket.gethostname(), os.getpid(), next(_numbers))
    path = os.path.join(folder, "events.out.tfevents.%010d.%s.%d.%d" % parts)
    file = open(path, "xb")  # noqa: SIM115 (close_events)
    events = EventsFile(path, file, RecordWriter(file))
    _append(events, Event(wall_time=time.time(), file_version="brain.Event:2"))
    return events


def close_events(events):
    """Close the file; OSError where that cannot be."""
    with add_path_to_errors(events.path):
        events.records.close()


def write_events(events, step, scalars, pictures=None, texts=None, *, histograms=None):
    """Append the values of one step; OSError where they cannot be written.

    Args:
        events: EventsFile.
        step: global step; None is written as 0.
        scalars: tag -> number.
        pictures: tag -> uint8 [H,W,3] RGB.
        texts: tag -> Markdown.
        histograms: tag -> numbers, whose distribution is shown.
    """
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    for tag, picture in (pictures or {}).items():
        png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
        height, width = picture.shape[:2]
        # Colour space 3 is RGB.
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        values.append(Summary.Value(tag=tag, image=image))
    for tag, markdown in (texts or {}).items():
        tensor = TensorProto(
            dtype=DT_STRING,
            string_val=[markdown.encode("utf-8")],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        values.append(Summary.Value(tag=tag, metadata=metadata, tensor=tensor))
    for tag, numbers in (histograms or {}).items():
        values.append(_histogram(tag, np.asarray(numbers, float)))
    _append(events, Event(wall_time=time.time(), step=step or 0, summary=Summary(value=values)))


def write_settings(events, settings):
    """Append what a run was asked for, for TensorBoard's page of hyperparameters.

    Args:
        settings: name -> bool, number, text, or None for nothing.
    """
    start = SessionStartInfo(start_time_secs=time.time())
    for name, value in settings.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, (int, float)):
            start.hparams[name].number_value = value
        elif value is not None:
            start.hparams[name].string_value = str(value)
    content = HParamsPluginData(session_start_info=start).SerializeToString()
    data = SummaryMetadata.PluginData(plugin_name="hparams", content=content)
    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(), float_val=[0.0])
    value = Summary.Value(
        tag="_hparams_/session_start_info",
        metadata=SummaryMetadata(plugin_data=data),
        tensor=nothing,
    )
    _append(events, Event(wall_time=time.time(), summary=Summary(value=[value])))


def _histogram(tag, numbers, buckets=30):
    counts, edges = np.histogram(numbers, buckets)
    value = Summary.Value(tag=tag)
    histogram = value.histo
    histogram.min, histogram.max, histogram.num = numbers.min(), numbers.max(), numbers.size
    histogram.sum, histogram.sum_squares = numbers.sum(), np.square(numbers).sum()
    histogram.bucket_limit.extend(edges[1:])
    histogram.bucket.extend(counts)
    return value


def _append(events, event):
    try:
        with add_path_to_errors(events.path):
            events.records.write(event.SerializeToString())
            events.records.flush()
    except OSError:
        events.file.raw.close()  # else Python tries again when it forgets the file
        raise


def panel(image, truth, alpha):
    """An image, its true alpha, an alpha, and the person before green, side by side.

    Args:
        image: [H,W,3] 0..255.
        truth, alpha: [H,W] 0..1.

    Returns:
        uint8 [H,4W,3].
    """
    alpha = np.asarray(alpha, np.float32)
    greys = [np.repeat(np.asarray(grey)[..., None] * 255, 3, axis=2) for grey in (truth, alpha)]
    composition = GREEN + alpha[..., None] * (image - GREEN)
    return np.rint(np.concatenate([image] + greys + [composition], axis=1)).astype(np.uint8)
