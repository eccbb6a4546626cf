"""Describe models of other projects and try them once in a child process. No TensorFlow here.

A damaged model file may end the process that loads it.
"""

import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple

import numpy as np

from mmnet.inference.card import Card
from mmnet.inference.foreign import load_model, run_model
from mmnet.inference.signature import RATIO, Signature, Tensor, check_signature, input_shape
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear

STATE = re.compile("(.*)i(n)?")  # name of a recurrent input; its output ends with o or out
ALPHA_NAMES = ("pha", "alpha", "matte")  # outputs that are preferred to earlier ones
RANGE_TOLERANCE = 1e-2  # float16 and 8 bits may leave 0..1 by this rounding error
MIN_CONTRAST = 1e-3  # of the alphas of all images
INVERTED = -0.5  # correlation with the true alphas below which a model marks the background
SHAPE_TOLERANCE = 0.1  # relative difference of the aspect ratios of input and alpha


class Description(NamedTuple):
    """What a model file contains."""

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    facts: Dict[str, Any]  # fields of the card


def describe_model(kind: str, path: str) -> Description:
    """Read the tensors of a model file in a child process."""
    return run_in_child(path, _describe, kind, path)


def try_card(
    kind: str, path: str, card: Card, portraits: Sequence[Tuple[np.ndarray, np.ndarray]]
) -> Card:
    """Run a model on images in a child process. Return its card, with what the outputs show.

    ``portraits``: images of one shape, uint8 [H,W,3], and their true alphas [H,W].

    Raises:
        MmnetError: the card is wrong: it does not fit the shapes, the values of the output are
            not those of its kind, or alpha is constant or inverted.
    """
    return run_in_child(path, _try, kind, path, card, portraits)


def run_in_child(path: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process. MmnetError, which names ``path``: the process ended."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise MmnetError(f"{path}: ends the process that loads it; is it damaged?") from None


def _describe(kind, path):
    model = load_model(kind, path)
    return Description(model.inputs, model.outputs, model.facts)


def make_signature(
    path: str, description: Description, fields: Dict[str, Any], flags: Dict[str, Any]
) -> Signature:
    """Combine the tensors of a file, the ``fields`` of a recipe and the user's ``flags``.

    The file has priority over the recipe. A flag that contradicts the file is an error.
    """
    merged = {**fields, **flags}
    tensor = _find_tensor(path, "input", description.inputs, merged.get("input"))
    output = _find_tensor(path, "output", description.outputs, merged.get("output"))
    merged.update(input=tensor.name, output=output.name)
    if len(tensor.shape) != 4:
        raise MmnetError(f"{path}: {_text(tensor)}: expected four axes; use input_name")
    layouts = {"nchw": tensor.shape[1], "nhwc": tensor.shape[3]}
    possible = [name for name, channels in layouts.items() if channels in (3, None)]
    exact = [name for name, channels in layouts.items() if channels == 3]
    if flags.get("layout") not in (None, *(exact or possible)) or not possible:
        raise MmnetError(f"{path}: {_text(tensor)} does not fit layout {merged.get('layout')}")
    if merged.get("layout") not in possible or len(exact) == 1 and "layout" not in flags:
        merged["layout"] = (exact or possible)[0]
    sides = tensor.shape[1:3] if merged["layout"] == "nhwc" else tensor.shape[2:4]
    if None not in sides:
        if flags.get("shape", sides) != sides:
            raise MmnetError(f"{path}: {_text(tensor)} has a fixed size; omit size and shape")
        if flags.get("resizing") == "keep":
            raise MmnetError(f"{path}: {_text(tensor)} has a fixed size; resizing keep: use pad")
        merged["shape"] = sides
        if merged.get("resizing") == "keep":
            merged["resizing"] = "pad"
    if "shape" not in merged:
        raise MmnetError(f"{path}: {_text(tensor)} has no fixed size; give size or like")
    if tensor.dtype.startswith(("int", "uint")):
        merged.setdefault("scale", 1.0)
    _add_states(path, description, merged)
    signature = Signature(**merged)
    check_signature(signature, path)
    return signature


def _add_states(path, description, merged):
    """Add the recurrent inputs of a file. MmnetError: an input that nothing describes."""
    outputs = [tensor.name for tensor in description.outputs]
    names = [tensor.name for tensor in description.inputs if tensor.name != merged["input"]]
    states = merged.setdefault("states", {})
    for name in names:
        match = STATE.fullmatch(name)
        candidates = [match[1] + "o", match[1] + "out"] if match else []
        for output in candidates:
            if name not in states and output in outputs:
                states = merged["states"] = {**states, name: output}
    if RATIO in names:
        merged.setdefault("downsample", 512)
    elif merged.pop("downsample", None) is not None:
        raise MmnetError(f"{path}: has no input {RATIO}")
    missing = [name for name in {*states} if name not in names]
    missing += [name for name in states.values() if name not in outputs]
    if missing:
        raise MmnetError(f"{path}: has no input or output {', '.join(sorted(missing))}")
    unknown = [name for name in names if name not in {*states, RATIO}]
    if unknown:
        raise MmnetError(f"{path}: needs the input {unknown[0]}; states describes recurrent ones")


def _find_tensor(path, kind, tensors, name):
    """Return the tensor with a name, or the first one that may be an image or an alpha."""
    texts = ", ".join(map(_text, tensors))
    if name is not None:
        for tensor in tensors:
            if tensor.name == name:
                return tensor
        raise MmnetError(f"{path}: no {kind} {name}; {kind}s: {texts}")
    images = [tensor for tensor in tensors if len(tensor.shape) in (0, 3, 4)]
    images.sort(key=lambda tensor: tensor.name not in ALPHA_NAMES)  # others keep their order
    if kind == "input":
        images = [tensor for tensor in images if 3 in tensor.shape[1:] or len(tensors) == 1]
    if not images or kind == "input" and len(images) > 1:
        raise MmnetError(f"{path}: which {kind} is the image? {kind}_name is one of {texts}")
    return images[0]


def _text(tensor):
    lengths = ",".join("?" if length is None else str(length) for length in tensor.shape)
    return f"{tensor.name} [{lengths}]"


def _try(kind, path, card, portraits):
    model = load_model(kind, path)
    images, truths = zip(*portraits)
    signature, raw = card.signature, []

    def run(arrays):
        outputs = model.run(arrays)
        raw.append(outputs[signature.output])
        return outputs

    alphas = [run_model(model._replace(run=run), card, path, image, None, {}) for image in images]
    if signature.output_kind == "two_class_logits" and _are_probabilities(raw[0]):
        signature = signature._replace(output_kind="probability")
        card = card._replace(signature=signature)
        alphas = [run_model(model, card, path, image, None, {}) for image in images]
    where = f"{path}: output {signature.output} {list(raw[0].shape)}"
    for image, alpha in zip(images, alphas):
        height, width = input_shape(image.shape[:2], signature)
        ratio = alpha.shape[0] / alpha.shape[1] * width / height
        if abs(ratio - 1) > SHAPE_TOLERANCE or min(alpha.shape) < 2:
            raise MmnetError(
                f"{where}: is no alpha of an input of {height}x{width}; check output_name and "
                "layout"
            )
    _check_values(where, signature, raw, np.concatenate([alpha.ravel() for alpha in alphas]))
    shape = alphas[0].shape
    truths = [resize_bilinear(truth, shape, align_corners=True) for truth in truths]
    if np.corrcoef(np.ravel(alphas), np.ravel(truths))[0, 1] < INVERTED:
        raise MmnetError(f"{where}: alpha is high outside the people; check channel")
    return card


def _are_probabilities(output):
    sums = [output.sum(axis=axis) for axis in (1, -1) if output.shape[axis] == 2]
    return output.min() >= 0 and any(abs(values - 1).max() < RANGE_TOLERANCE for values in sums)


def _check_values(where, signature, raw, alphas):
    """Raise MmnetError if the values of the outputs cannot be those of the card."""
    values = np.concatenate([output.ravel() for output in raw]).astype(np.float64)
    low, high, kind = values.min(), values.max(), signature.output_kind
    limits = f"{low:.3g} to {high:.3g}"
    if not np.isfinite(values).all():
        raise MmnetError(f"{where}: has values that are not finite; check scale, mean, std")
    if kind in ("alpha", "probability"):
        if alphas.min() < -RANGE_TOLERANCE or alphas.max() > 1 + RANGE_TOLERANCE:
            raise MmnetError(
                f"{where}: has values from {limits}, no alphas in 0..1; check output_kind"
            )
    elif kind == "label_mask":
        if abs(values - np.rint(values)).max() > 0:
            raise MmnetError(f"{where}: has values from {limits}, no labels; check output_kind")
    elif low >= 0 and high <= 1:
        raise MmnetError(f"{where}: has values from {limits}, no logits; check output_kind")
    if np.ptp(alphas) < MIN_CONTRAST:
        labels = ""
        if kind == "label_mask":
            labels = " of the labels " + ", ".join(f"{label:g}" for label in np.unique(values)[:9])
        raise MmnetError(
            f"{where}: alpha is constant ({alphas.mean():.3f}); check scale, mean, std, "
            f"output_kind and channel{labels}"
        )
