"""`mmnet card`: describe a model of another project, so that every command accepts it."""

import dataclasses
import os
from functools import partial
from typing import Any, Dict, Optional, Tuple

import numpy as np

from mmnet.commands.flag_types import (
    not_negative,
    one_of,
    positive_float,
    positive_int,
    whole_number,
)
from mmnet.commands.options import REQUIRED, JsonOptions, flag
from mmnet.datasets.synthetic import draw_portrait
from mmnet.inference.card import Card, card_path, card_to_dict, model_sha256
from mmnet.inference.foreign import LOADERS, has_signature
from mmnet.inference.recipes import RECIPES
from mmnet.inference.signature import CHOICES, Signature
from mmnet.inference.trial import describe_model, make_signature, try_card
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_replaceable, write_json
from mmnet.networks.network import Network
from mmnet.weights.source import Source, find_source, source_bytes

TRIAL_IMAGES = 3  # drawn portraits
TRIAL_SHAPE = (400, 300)

input_flag = partial(flag, group="input")
output_flag = partial(flag, group="output")
clip_flag = partial(flag, group="clips")
choices = {name: one_of(*values) for name, values in CHOICES.items()}


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """Write the card of a .tflite, .onnx, .pb or SavedModel of another project.

    Every command that accepts a source then accepts the model. The command reads from the file what
    the file contains. A recipe (--like) or flags give the rest. It runs the model once, in a child
    process, and reports a wrong card.
    """

    model: str = flag(REQUIRED, help=".tflite, .onnx, .pb or SavedModel folder", positional=True)
    like: Optional[str] = flag(None, one_of(*RECIPES), help="recipe of a known model")
    input_name: Optional[str] = input_flag(None, help="input of the image")
    layout: Optional[str] = input_flag(None, choices["layout"], help="axes of the input")
    size: Optional[int] = input_flag(
        None, positive_int, help="side of a square input, if the file fixes none"
    )
    shape: Optional[Tuple[int, int]] = input_flag(
        None, positive_int, nargs=2, help="height and width of the input"
    )
    resizing: Optional[str] = input_flag(
        None, choices["resizing"], help="stretch (default), pad with black, or keep the proportions"
    )
    multiple: Optional[int] = input_flag(
        None, positive_int, help="sides with --resizing keep are multiples of it"
    )
    channel_order: Optional[str] = input_flag(None, choices["channel_order"], help="default: rgb")
    scale: Optional[float] = input_flag(
        None, positive_float, help="input = (level * scale - mean) / std (default: 1/255 or 1)"
    )
    mean: Optional[Tuple[float, ...]] = input_flag(
        None, not_negative, nargs="+", help="one number, or one per channel"
    )
    std: Optional[Tuple[float, ...]] = input_flag(
        None, positive_float, nargs="+", help="one number, or one per channel"
    )
    output_name: Optional[str] = output_flag(None, help="output of the alpha (default: the first)")
    output_kind: Optional[str] = output_flag(None, choices["output_kind"], help="default: alpha")
    channel: Optional[int] = output_flag(
        None, whole_number, help="channel, or label, of people (default: the last)"
    )
    mirrored: bool = output_flag(
        False, help="also run mirrored images, and average the logits: twice the time"
    )
    states: Optional[Tuple[str, ...]] = clip_flag(
        None, nargs="+", help="recurrent inputs and their outputs, such as r1i=r1o"
    )
    downsample: Optional[int] = clip_flag(
        None, positive_int, help="longer side to which RobustVideoMatting itself shrinks images"
    )

    def check(self) -> None:
        if self.size is not None and self.shape is not None:
            raise MmnetError("--size and --shape exclude each other")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, 3):
                raise MmnetError(f"--{name}: expected 1 or 3 numbers, not {len(values)}")
        for text in self.states or ():
            if not all(text.partition("=")):
                raise MmnetError(f"--states {text}: must be INPUT=OUTPUT, such as r1i=r1o")
        if find_source(self.model, download=False).kind not in LOADERS:
            raise MmnetError(f"{self.model}: must be a .tflite, .onnx, .pb or SavedModel folder")

    def fields(self) -> Dict[str, Any]:
        """Return the fields of the Signature that the user gave."""
        size = self.size and (self.size, self.size)
        values: Dict[str, Any] = {
            "input": self.input_name,
            "output": self.output_name,
            "shape": self.shape or size,
            "mean": self.mean and self.mean * (3 // len(self.mean)),
            "std": self.std and self.std * (3 // len(self.std)),
            "states": self.states and dict(text.split("=", 1) for text in self.states),
            "layout": self.layout,
            "channel_order": self.channel_order,
            "scale": self.scale,
            "resizing": self.resizing,
            "multiple": self.multiple,
            "output_kind": self.output_kind,
            "channel": self.channel,
            "downsample": self.downsample,
            "mirrored": self.mirrored or None,
        }
        return {name: value for name, value in values.items() if value is not None}


def run(options: Options) -> int:
    source = find_source(options.model)
    record = write_card(source, options.like, options.fields())
    options.print_record(dict(record, card=card_path(source.path)))
    return 0


def write_card(
    source: Source, like: Optional[str] = None, fields: Optional[Dict[str, Any]] = None
) -> Dict[str, Any]:
    """Try a model of another project, write its card and return the content.

    Args:
        like: a key of RECIPES.
        fields: fields of the Signature, which override the recipe.
    """
    path = card_path(source.path)
    check_replaceable(path, lambda _: has_signature(source.path), parameter="model")
    description = describe_model(source.kind, source.path)
    recipe = RECIPES[like].fields if like else {}
    signature = make_signature(source.path, description, recipe, fields or {})
    card = Card(
        Network(like or "other", None, signature.shape),
        path=os.path.normpath(source.path),
        format=source.kind,
        input=describe_input(signature),
        output=f"{signature.output}: {signature.output_kind}",
        bytes=source_bytes(source.path),
        sha256=model_sha256(source.path),
        signature=signature,
        **description.facts,
    )
    randoms = map(np.random.RandomState, range(TRIAL_IMAGES))
    portraits = [draw_portrait(random, TRIAL_SHAPE) for random in randoms]
    card = try_card(source.kind, source.path, card, portraits)
    record = card_to_dict(card)
    write_json(path, record)
    return record


def describe_input(signature: Signature) -> str:
    """Return the input of a model for people."""
    height, width = signature.shape
    sides = f"{height},{width},3" if signature.layout == "nhwc" else f"3,{height},{width}"
    return f"{signature.input} [1,{sides}]: {signature.channel_order.upper()}"
