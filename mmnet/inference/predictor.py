"""The one interface of all that predicts: pictures in, alphas out. No TensorFlow."""

from typing import NamedTuple

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.images import pad_channels, to_unit_range

TOLERANCE = 1e-5  # 0..1, an alpha is there by rounding


class Complexity(NamedTuple):
    """How much a network holds and how much it computes."""

    parameters: int  # numbers in weights, biases and batch norm
    multiply_adds: int  # of the convolutions, for one picture


class Predictor:
    """Call it with images float32 [N,H,W,C] 0..255 to get alphas float32 [N,H,W] 0..1.

    A network of four channels sees ``previous``, too: the alphas [N,H,W] 0..1 of the frames before
    the images; None where no frame was before them.

    Attributes:
        card: inference.card.Card. network: its Network; H, W and C are this network's.
        source: what it was opened from; None: untrained. step: global step, None without one.
        precision: one of card.PRECISIONS. operations: type -> count, or None where it cannot be
            told. complexity: Complexity, or None. batch: pictures that ``run`` takes; None: any.
        sha256: tells one trained network from another by content; None: untrained.
    """

    def __init__(self, run, card, *, source=None, operations=None, complexity=None, batch=None):
        """run: the model's own input, float32, to its own output, float32."""
        self.run, self.card = run, card
        self.network, self.precision = card.network, card.precision
        self.source, self.step, self.sha256 = source, None, card.sha256
        self.operations, self.complexity, self.batch = operations, complexity, batch

    def __call__(self, images, previous=None):
        images = np.asarray(images, np.float32)
        if images.ndim == 4 and images.shape[3] == 3 and self.network.channels > 3:
            images = pad_channels(images, self.network.channels)
            if previous is not None:
                images[..., 3] = 255 * previous
        expected = self.network.shape + (self.network.channels,)
        if images.shape[1:] != expected:
            raise MmnetError(
                "%s takes images [N,%d,%d,%d], not %s"
                % ((self.source or "the network",) + expected + (list(images.shape),))
            )
        if self.card.preprocess == "outside":
            images = to_unit_range(images)
        batch = self.batch or len(images)
        outputs = [self.run(images[at : at + batch]) for at in range(0, len(images), batch)]
        return clip_rounding(alphas_of(np.concatenate(outputs), self.card.output_type))


def clip_rounding(alphas):
    """Alphas that rounding has brought out of 0..1 (ONNX Runtime's sigmoid gives 1 + 1e-7) back.

    What is further out, or not a number, stays for whoever checks it.
    """
    lowest, highest = alphas.min(initial=0), alphas.max(initial=1)
    if lowest >= -TOLERANCE and highest <= 1 + TOLERANCE:
        return np.clip(alphas, 0, 1)
    return alphas


def alphas_of(output, output_type):
    """Alphas [N,H,W] of a model's output.

    That is probabilities or logits [N,H,W,2], or alpha [N,H,W,1].
    """
    if output_type == "logits":  # the softmax of two
        return 0.5 + 0.5 * np.tanh((output[..., 1] - output[..., 0]) / 2)
    return output[..., -1]
