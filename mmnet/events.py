"""Write scalars, pictures and texts as TensorBoard events, with the tensorboard package."""

import contextlib
import time

import cv2
import numpy as np

try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError:  # the light installation, which cuts out and scores but keeps no events
    EventFileWriter = None


@contextlib.contextmanager
def _os_errors():
    """Turn what TensorBoard's file system raises, TensorFlow's errors among it, into OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("tensorflow", "tensorboard")):
            raise
        raise OSError("TensorBoard events cannot be written: %s" % error) from None


@_os_errors()
def open_events(folder):
    """Give a writer of a new events file in ``folder``. The caller gives it to close_events.

    Raises:
        ValueError: tensorboard is not installed. OSError: the folder cannot be written.
    """
    if EventFileWriter is None:
        raise ValueError("scores are kept with TensorBoard events: pip install tensorboard")
    return EventFileWriter(folder)


@_os_errors()
def close_events(writer):
    """Write what is left and close the file; OSError where that cannot be."""
    writer.close()


@_os_errors()
def write_events(writer, step, scalars, pictures=None, texts=None):
    """Append the values of one step.

    Args:
        writer: from open_events.
        step: global step; None is written as 0.
        scalars: tag -> number.
        pictures: tag -> uint8 [H,W,3] RGB.
        texts: tag -> Markdown.
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
    writer.add_event(Event(wall_time=time.time(), step=step or 0, summary=Summary(value=values)))
    writer.flush()


def strip(image, truth, alpha):
    """Put an image, its true alpha and an alpha side by side.

    Args:
        image: [H,W,3] 0..255.
        truth, alpha: [H,W] 0..1.

    Returns:
        uint8 [H,3W,3].
    """
    greys = [np.repeat(np.asarray(grey)[..., None] * 255, 3, axis=2) for grey in (truth, alpha)]
    return np.rint(np.concatenate([image] + greys, axis=1)).astype(np.uint8)
