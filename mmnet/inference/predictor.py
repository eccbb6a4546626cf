"""The interface of every trained network: images in, alphas out. No TensorFlow."""

import os
from typing import Any, Callable, Optional, TypeVar

import numpy as np

from mmnet.inference.card import Card
from mmnet.io.errors import MmnetError
from mmnet.io.images import pad_channels, to_unit_range
from mmnet.tf.device import FORKED

ROUNDING_TOLERANCE = 1e-5  # an alpha may leave 0..1 by this rounding error

P = TypeVar("P", bound="Predictor")


class Predictor:
    """A trained network. Call it with images to get alphas. ``with`` closes it at the end.

    Attributes:
        card: description of the model; ``network``, ``precision`` and ``sha256`` are fields of it.
        source: checkpoint prefix or path of the model; None: untrained.
        step: global step of the checkpoint, or None.
        name: name of the weights in the registry, or None.
        batch_size: images per run of the model; None: any number.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        card: Card,
        *,
        source: Optional[str] = None,
        batch_size: Optional[int] = None,
        release: Optional[Callable[[], Any]] = None,
        process: Optional[int] = None,
    ):
        """Wrap ``run``: input of the model, float32 [N,H,W,C] -> output of the model, float32.

        ``release`` frees the resources of the model. ``process`` is the id of the only process that
        may call it, if its runtime does not work after a fork. The other arguments become
        attributes.
        """
        self.run, self.card = run, card
        self.network, self.precision, self.sha256 = card.network, card.precision, card.sha256
        self.source, self.batch_size = source, batch_size
        self.step: Optional[int] = None
        self.name: Optional[str] = None
        self._release, self._process = release, process

    def __call__(
        self, images: np.ndarray, previous_alphas: Optional[np.ndarray] = None
    ) -> np.ndarray:
        """Return the alphas of images: float32 [N,H,W], 0..1.

        Args:
            images: [N,H,W,3], RGB, 0..255, or [N,H,W,C] for a network with C input channels.
            previous_alphas: [N,H,W], 0..1, of the previous frames; input of four-channel networks.
        """
        if self._process not in (None, os.getpid()):
            raise MmnetError(f"{self.source or 'the network'} {FORKED}")
        images = np.asarray(images, np.float32)
        channels = self.network.channels
        if images.ndim == 4 and images.shape[3] == 3 and channels > 3:
            images = pad_channels(images, channels)
            if previous_alphas is not None:
                images[..., 3] = 255 * previous_alphas
        height, width = self.network.shape
        if images.shape[1:] != (height, width, channels) or len(images) == 0:
            raise MmnetError(
                f"{self.source or 'the network'}: takes images [N,{height},{width},{channels}], "
                f"not {list(images.shape)}"
            )
        if self.card.preprocess == "outside":
            images = to_unit_range(images)
        batch_size = self.batch_size or len(images)
        starts = range(0, len(images), batch_size)
        outputs = [self.run(images[start : start + batch_size]) for start in starts]
        alphas = output_to_alphas(np.concatenate(outputs), self.card.output_type)
        # ONNX Runtime's sigmoid, for example, returns 1 + 1e-7. Larger errors and NaN stay visible.
        low, high = alphas.min(initial=0), alphas.max(initial=1)
        if low >= -ROUNDING_TOLERANCE and high <= 1 + ROUNDING_TOLERANCE:
            return np.clip(alphas, 0, 1)
        return alphas

    def close(self) -> None:
        """Free the session or interpreter. The predictor cannot be called afterwards."""
        if self._release is not None:
            self._release()
        self._release, self.run = None, _closed

    def __enter__(self: P) -> P:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _closed(images):
    raise RuntimeError("the predictor is closed")


def output_to_alphas(output: np.ndarray, output_type: str) -> np.ndarray:
    """Convert the output of a model, [N,H,W,2] or for "alpha" [N,H,W,1], to alphas [N,H,W]."""
    if output_type == "logits":  # the softmax of two logits
        return 0.5 + 0.5 * np.tanh((output[..., 1] - output[..., 0]) / 2)
    return output[..., -1]
