"""The interface of every trained network: images in, alphas out. No TensorFlow."""

import os
from typing import Any, Callable, Dict, Optional, TypeVar

import numpy as np

from mmnet.inference.card import Card
from mmnet.inference.signature import sigmoid
from mmnet.io.errors import MmnetError
from mmnet.io.images import pad_channels, to_unit_range
from mmnet.io.resize import resize_bilinear
from mmnet.tf.device import FORKED

ROUNDING_TOLERANCE = 1e-5  # an alpha may leave 0..1 by this rounding error

P = TypeVar("P", bound="Predictor")


class Predictor:
    """A trained network. Call it with images to get alphas. ``with`` closes it at the end.

    Attributes:
        card: description of the model; ``network`` and ``precision`` are fields of it.
        sha256: hash of everything that its alphas depend on.
        source: checkpoint prefix or path of the model; None: untrained.
        step: global step of the checkpoint, or None.
        name: name of the weights in the registry, or None; names of several sources.
        batch_size: images per run of the model; None: any number.
        is_recurrent: the network has a state that it passes from frame to frame.
    """

    is_recurrent = False

    def __init__(
        self,
        run: Callable[..., np.ndarray],
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
        self.check_process()
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

    def run_image(
        self,
        image: np.ndarray,
        previous_alpha: Optional[np.ndarray] = None,
        state: Optional[Dict[str, Any]] = None,
    ) -> np.ndarray:
        """Return the alpha of an image of any shape: float32 [h,w], 0..1, at the network's shape.

        Args:
            image: [H,W,3], RGB, 0..255.
            previous_alpha: float32 [H,W], 0..1, of the previous frame.
            state: state of a recurrent network, which this call updates; empty before the first
                frame of a clip; None for a photo.
        """
        arrays = [image]
        if previous_alpha is not None and self.network.channels > 3:
            arrays.append(previous_alpha)
        shape = self.network.shape
        batches = [resize_bilinear(array, shape, align_corners=True)[None] for array in arrays]
        return self(*batches)[0]

    def check_process(self) -> None:
        """Raise MmnetError in a forked process in which the runtime would hang."""
        if self._process not in (None, os.getpid()):
            raise MmnetError(f"{self.source or 'the network'} {FORKED}")

    def close(self) -> None:
        """Free the session or interpreter. The predictor cannot be called afterwards."""
        if self._release is not None:
            self._release()
        self._release, self.run = None, _closed

    def __enter__(self: P) -> P:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class FlexiblePredictor(Predictor):
    """A trained network that takes one image of any shape: a foreign model, or several sources.

    Calls accept images of any shape and return alphas of the same shape. ``network.shape`` is the
    shape at which ``evaluate`` scores.
    """

    def __init__(
        self,
        run: Callable[..., np.ndarray],
        card: Card,
        *,
        source: Optional[str] = None,
        release: Optional[Callable[[], Any]] = None,
        process: Optional[int] = None,
        is_recurrent: bool = False,
    ):
        """Wrap ``run``: (image, previous alpha, state) -> alpha, as in ``run_image``."""
        super().__init__(run, card, source=source, release=release, process=process)
        self.is_recurrent = is_recurrent

    def __call__(
        self, images: np.ndarray, previous_alphas: Optional[np.ndarray] = None
    ) -> np.ndarray:
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[3] != 3 or len(images) == 0:
            raise MmnetError(f"{self.source}: takes images [N,H,W,3], not {list(images.shape)}")
        alphas = []
        for index, image in enumerate(images):
            previous = None if previous_alphas is None else previous_alphas[index]
            alpha = self.run_image(image, previous)
            alphas.append(resize_bilinear(alpha, images.shape[1:3], align_corners=True))
        return np.stack(alphas)

    def run_image(
        self,
        image: np.ndarray,
        previous_alpha: Optional[np.ndarray] = None,
        state: Optional[Dict[str, Any]] = None,
    ) -> np.ndarray:
        self.check_process()
        return np.clip(self.run(image, previous_alpha, state), 0, 1)


def _closed(*_):
    raise RuntimeError("the predictor is closed")


def output_to_alphas(output: np.ndarray, output_type: str) -> np.ndarray:
    """Convert the output of a model, [N,H,W,2] or for "alpha" [N,H,W,1], to alphas [N,H,W]."""
    if output_type == "logits":  # the softmax of two logits
        return sigmoid(output[..., 1] - output[..., 0])
    return output[..., -1]
