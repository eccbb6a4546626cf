"""The freeze verb: a checkpoint as one .pb file, handed over only if it gives the checkpoint's alphas."""
import hashlib
import os
import tempfile
from typing import Dict, NamedTuple

import numpy as np

from mmnet.data.images import read_image, resize_bilinear
from mmnet.data.synthetic import draw_portrait
from mmnet.delivery.graphs import described, fold_batch_norm, inference_graph
from mmnet.delivery.models import FrozenPredictor, counted
from mmnet.files import write_bytes

LARGEST_DIFFERENCE = 1e-5  # of alpha: the same operations on the same numbers, one picture instead of a batch
LARGEST_DIFFERENCE_FOLDED = 1e-4  # the folded weights are rounded again: 4.4e-5 was seen at a pixel, 1e-6 in the mean
PICTURES = 4  # that both must agree on


class Frozen(NamedTuple):
    path: str
    input: str  # name, dtype, shape, what it holds
    output: str
    operations: Dict[str, int]  # type -> count
    bytes: int
    sha256: str
    largest_difference: float  # of alpha from the checkpoint's, over all pixels
    mean_difference: float


class NotEqual(Exception):
    """A written model does not give what its checkpoint gives."""


def freeze(predictor, path, images, preprocess="inside", output_type="probabilities", fold=False):
    """Write the network of a CheckpointPredictor (``as_written``) to ``path``, once it is proven equal.

    Args:
        images: float32 [N,size,size,3] 0..255 to compare on. preprocess, output_type: as graphs.inference_graph.
        fold: multiply batch norm into the convolutions.

    Returns:
        Frozen.

    Raises:
        NotEqual: an alpha differs by more than LARGEST_DIFFERENCE (.._FOLDED); nothing is written.
    """
    size = images.shape[1]
    graph_def = inference_graph(predictor.values(), predictor.width_multiplier, size, preprocess, output_type)
    if fold:
        graph_def = fold_batch_norm(graph_def)
    data = graph_def.SerializeToString()
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        written = os.path.join(folder, "frozen.pb")
        write_bytes(written, data)
        difference = np.abs(FrozenPredictor(written, as_written=True)(images) - predictor(images))
    bound = LARGEST_DIFFERENCE_FOLDED if fold else LARGEST_DIFFERENCE
    if not difference.max() <= bound:  # written so that NaN fails too
        raise NotEqual("%s is not written: its alphas are up to %.2g off the checkpoint's, and at most %g is rounding"
                       % (path, difference.max(), bound))
    write_bytes(path, data)
    takes, gives = described(size, preprocess, output_type)
    return Frozen(path, "input_x float32 " + takes, "output float32 " + gives,
                  counted(node.op for node in graph_def.node), len(data), hashlib.sha256(data).hexdigest(),
                  float(difference.max()), float(difference.mean()))


def pictures_to_compare(pairs, size):
    """float32 [PICTURES,size,size,3] 0..255: the first of ``pairs``, or made-up portraits where that is None."""
    if pairs:
        images = [read_image(pair.image) for pair in pairs[:PICTURES]]
    else:
        images = [draw_portrait(np.random.RandomState(seed), (400, 300))[0] for seed in range(PICTURES)]
    return np.stack([resize_bilinear(image, (size, size), align_corners=True) for image in images])


def text(frozen):
    lines = [frozen.path, "  input   " + frozen.input, "  output  " + frozen.output,
             "  %d operations: %s" % (sum(frozen.operations.values()),
                                      ", ".join("%d %s" % (count, op) for op, count in frozen.operations.items())),
             "  %d bytes, SHA-256 %s" % (frozen.bytes, frozen.sha256),
             "  difference of alpha from the checkpoint: largest %.2g, mean %.2g" % (frozen.largest_difference,
                                                                                  frozen.mean_difference)]
    return "\n".join(lines)
