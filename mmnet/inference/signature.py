"""The signature of a model of another project: how an image becomes its input, and its output an
alpha. No TensorFlow.
"""

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from mmnet.io.errors import MmnetError, shorten
from mmnet.io.resize import resize_bilinear

Shape = Tuple[int, int]  # (height, width)
Arrays = Dict[str, np.ndarray]  # tensor name -> values

CHOICES = {  # field -> values
    "layout": ("nhwc", "nchw"),
    "channel_order": ("rgb", "bgr"),
    "resizing": ("stretch", "pad", "keep"),
    "output_kind": ("alpha", "probability", "logit", "two_class_logits", "label_mask"),
}
MAX_SIDE = 8192  # pixels of the input; a limit keeps a damaged card from using all memory
RATIO = "downsample_ratio"  # name of the input that RobustVideoMatting has


class Signature(NamedTuple):
    """Input and output of a model of another project."""

    input: str  # name of the tensor of the image
    output: str  # name of the tensor of the alpha
    shape: Shape  # (height, width) of the input; with resizing "keep" the largest
    layout: str = "nhwc"
    channel_order: str = "rgb"
    scale: float = 1 / 255  # value = (level * scale - mean) / std
    mean: Tuple[float, float, float] = (0.0, 0.0, 0.0)  # in the order of the channels
    std: Tuple[float, float, float] = (1.0, 1.0, 1.0)
    resizing: str = "stretch"  # "pad": with black; "keep": the aspect ratio, up to ``shape``
    multiple: int = 1  # with "keep", sides are multiples of it
    output_kind: str = "alpha"
    channel: int = -1  # the person's channel of the output, or label of a label mask
    states: Dict[str, str] = {}  # recurrent state: name of the input -> name of the output
    downsample: Optional[int] = None  # longer side to which the model itself shrinks the image
    mirrored: bool = False  # also run the mirrored image, and average the logits


class Tensor(NamedTuple):
    """An input or output of a model."""

    name: str
    shape: Tuple[Optional[int], ...]  # None: any length
    dtype: str = "float32"


class TensorModel(NamedTuple):
    """A model of any project, which is called with arrays by name."""

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    run: Callable[[Arrays], Arrays]
    release: Optional[Callable[[], Any]] = None
    process: Optional[int] = None  # id of the only process that may call it
    facts: Dict[str, Any] = {}  # fields of the card: precision, parameters and others

    def input(self, name: str) -> Tensor:
        """Return the input with this name."""
        for tensor in self.inputs:
            if tensor.name == name:
                return tensor
        raise MmnetError(f"has no input {name}; write its card again with mmnet card")


def check_signature(signature: Signature, where: str) -> None:
    """Raise MmnetError, which starts with ``where``, for an impossible value."""
    for field, choices in CHOICES.items():
        value = getattr(signature, field)
        if value not in choices:
            raise MmnetError(f"{where}: {field}: expected {', '.join(choices)}, not {value!r}")
    if not all(1 <= side <= MAX_SIDE for side in signature.shape):
        shape = shorten(list(signature.shape))
        raise MmnetError(f"{where}: shape: expected two sides from 1 to {MAX_SIDE}, not {shape}")
    if not 1 <= signature.multiple <= min(signature.shape):
        raise MmnetError(f"{where}: multiple: {signature.multiple} does not fit into the shape")
    if not all(np.isfinite(value) and value for value in (signature.scale, *signature.std)):
        raise MmnetError(f"{where}: scale and std must not be 0")
    if signature.mirrored and signature.states:
        raise MmnetError(f"{where}: mirrored: a recurrent model has one view")


def make_input(image: np.ndarray, signature: Signature) -> np.ndarray:
    """Convert an image [h,w,3], RGB 0..255, to the input of a model.

    Returns:
        float32 [1,H,W,3] or [1,3,H,W], also for a model that takes another type.
    """
    height, width = input_shape(image.shape[:2], signature)
    values = resize_bilinear(image, (height, width), align_corners=True)
    if signature.resizing == "pad":
        rows, columns = signature.shape[0] - height, signature.shape[1] - width
        pads = rows // 2, rows - rows // 2, columns // 2, columns - columns // 2
        values = cv2.copyMakeBorder(values, *pads, cv2.BORDER_CONSTANT)
    if signature.channel_order == "bgr":
        values = values[..., ::-1]
    mean, std = (np.array(values, np.float32) for values in (signature.mean, signature.std))
    values = (values * np.float32(signature.scale) - mean) / std
    if signature.layout == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[np.newaxis])


def cast(values: np.ndarray, dtype: str) -> np.ndarray:
    """Convert values to the type of an input. Integers are rounded."""
    if np.issubdtype(np.dtype(dtype), np.integer):
        limits = np.iinfo(dtype)
        values = np.rint(values).clip(limits.min, limits.max)
    return values.astype(dtype, copy=False)


def input_shape(shape: Shape, signature: Signature) -> Shape:
    """Return the shape to which an image of this shape is resized, without the padding."""
    if signature.resizing == "stretch":
        return signature.shape
    scale = min(limit / side for limit, side in zip(signature.shape, shape))
    sides = []
    for limit, side in zip(signature.shape, shape):
        multiple = signature.multiple if signature.resizing == "keep" else 1
        largest = limit // multiple * multiple
        sides.append(min(largest, max(multiple, round(side * scale / multiple) * multiple)))
    return sides[0], sides[1]


def make_states(model: TensorModel, signature: Signature, state: Dict[str, Any]) -> Arrays:
    """Return the recurrent inputs: ``state``, or zeros before the first frame."""
    arrays = {}
    for name in signature.states:
        tensor = model.input(name)
        if name in state:
            arrays[name] = state[name]
        else:
            arrays[name] = np.zeros([length or 1 for length in tensor.shape], tensor.dtype)
    return arrays


def make_ratio(shape: Shape, signature: Signature) -> np.ndarray:
    """Return how much a model itself shrinks an image of this shape: float32 [1]."""
    return np.array([min(1.0, (signature.downsample or 0) / max(shape))], np.float32)


def read_alpha(output: np.ndarray, shape: Shape, signature: Signature) -> np.ndarray:
    """Convert the output of a model to the alpha, float32 [H,W], of an image of this shape.

    Raises:
        MmnetError: the output has the shape of no alpha.
    """
    values = channels_last(output, signature)
    kind, channel = signature.output_kind, signature.channel
    if kind == "label_mask":
        if values.shape[2] != 1:
            raise MmnetError(f"{values.shape[2]} channels are no label mask")
        alpha = (values[..., 0] == channel).astype(np.float32)
    else:
        if not -values.shape[2] <= channel < values.shape[2]:
            raise MmnetError(f"the output has no channel {channel}: {list(output.shape)}")
        if channel == -1 and values.shape[2] > (1 if kind == "logit" else 2):
            raise MmnetError(f"which channel of the output {list(output.shape)} is the person?")
        alpha = values[..., channel].astype(np.float32)
    if kind == "two_class_logits":
        if values.shape[2] != 2:
            raise MmnetError(f"{values.shape[2]} channels are no logits of two classes")
        alpha = alpha - values[..., 1 - channel % 2]
    if kind in ("logit", "two_class_logits"):
        alpha = sigmoid(alpha)
    if signature.resizing != "pad":
        return alpha
    height, width = input_shape(shape, signature)
    alpha = resize_bilinear(alpha, signature.shape, align_corners=True)
    top, left = (signature.shape[0] - height) // 2, (signature.shape[1] - width) // 2
    return alpha[top : top + height, left : left + width]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    return 0.5 + 0.5 * np.tanh(logits / 2)


def channels_last(output: np.ndarray, signature: Signature) -> np.ndarray:
    """Return the output of one image as [H,W,C]. MmnetError: it has no such shape."""
    if output.ndim not in (2, 3, 4) or output.ndim > 2 and output.shape[0] != 1:
        raise MmnetError(f"an output {list(output.shape)} is no alpha of one image")
    values = output[0] if output.ndim > 2 else output
    if values.ndim == 2:
        return values[..., np.newaxis]
    # Some converters change the layout of the input only. An alpha has few channels.
    has_channels_first = values.shape[0] < min(values.shape[1:])
    has_channels_last = values.shape[2] < min(values.shape[:2])
    if has_channels_first == has_channels_last:
        has_channels_first = signature.layout == "nchw"
    return values.transpose(1, 2, 0) if has_channels_first else values
