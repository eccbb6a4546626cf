"""TensorBoard events of an evaluation, under the published names; written by the tensorboard package alone."""
import time

import cv2
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write_events(folder, step, scalars, examples, split):
    """Append one evaluation to the run in ``folder``.

    Args:
        scalars: tag -> value. examples: list of evaluate.Example, shown as image, true alpha and alpha side by side.
    """
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    for index, example in enumerate(examples):
        strip = np.concatenate([example.image] + [np.repeat(alpha[..., None] * 255, 3, axis=2)
                                                  for alpha in (example.truth, example.alpha)], axis=1)
        png = cv2.imencode(".png", cv2.cvtColor(np.rint(strip).astype(np.uint8), cv2.COLOR_RGB2BGR))[1].tobytes()
        values.append(Summary.Value(tag="example/%s/%d" % (split, index), image=Summary.Image(
            height=strip.shape[0], width=strip.shape[1], colorspace=3, encoded_image_string=png)))
    writer = EventFileWriter(folder)
    writer.add_event(Event(wall_time=time.time(), step=step or 0, summary=Summary(value=values)))
    writer.close()
