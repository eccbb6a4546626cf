"""Options of commands: how a flag is declared, and the groups of options that commands share.

A command declares its options as a frozen dataclass whose fields come from ``flag``. Its docstring
is the description in ``--help``.
"""

import dataclasses
import json
from functools import partial
from typing import Any, Callable, Dict, Optional, Tuple, Union

import numpy as np

from mmnet.commands.flag_types import (
    existing_folder,
    network_side,
    one_of,
    positive_float,
    positive_int,
    source,
    split_name,
    switch,
    view_count,
)
from mmnet.inference.open import load_weights, open_for_photos, open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.lazy import lazy_import
from mmnet.io.memory import check_memory
from mmnet.matting.photo import MattingOptions
from mmnet.networks.network import make_network, network_bytes, network_fields
from mmnet.networks.registry import NETWORKS
from mmnet.tf.device import Device
from mmnet.weights.registry import DEFAULT
from mmnet.weights.source import Source, is_model_file
from mmnet.weights.values import WeightOptions, Weights

yaml = lazy_import("yaml")

REQUIRED: Any = object()  # default of a flag that the user must give

CHECKPOINT = (
    "checkpoint prefix, folder of checkpoints (its latest), or weights by name (mmnet weights list)"
)
SOURCE = CHECKPOINT + ", .pb, .tflite, .onnx or SavedModel folder"
SOURCES = SOURCE + "; several: the mean of their logits"


def flag(
    default: Any,
    parse: Optional[Callable[[str], Any]] = None,
    *,
    help: str,
    nargs: Union[None, int, str] = None,
    positional: bool = False,
    alias: Optional[str] = None,
    old_name: Optional[str] = None,
    group: str = "options",
    join: bool = False,
) -> Any:
    """Declare a flag as a field of an options dataclass.

    Args:
        default: value without the flag, or REQUIRED.
        parse: text -> value, from flag_types. Default: ``switch`` for a boolean, else ``str``.
        help: meaning and unit of the value.
        nargs: None for one value, a number, or "+" or "*" for a list.
        positional: the value is given without the name of the flag.
        alias: a second name.
        old_name: the name before 0.3, which still works with a warning.
        group: heading in ``--help``.
        join: several sources after the flag become one value: A B is "A + B".
    """
    metadata = {
        "parse": parse or (switch if isinstance(default, bool) else str),
        "help": help,
        "nargs": nargs,
        "positional": positional,
        "alias": alias,
        "old_name": old_name,
        "group": group,
        "join": join,
    }
    return dataclasses.field(default=default, metadata=metadata)


data_flag = partial(flag, group="data")
model_flag = partial(flag, group="model")


@dataclasses.dataclass(frozen=True)
class BaseOptions:
    """Base class of all options."""

    def check(self) -> None:
        """Raise MmnetError or FileNotFoundError for options that exclude each other."""


@dataclasses.dataclass(frozen=True)
class DatasetOptions(BaseOptions):
    """One labelled dataset."""

    dataset_split_name: str = data_flag("test", split_name, help="split of the dataset")
    dataset_path: str = data_flag(
        REQUIRED, existing_folder, help="folder of the dataset: SPLIT/image and SPLIT/mask"
    )


@dataclasses.dataclass(frozen=True)
class NetworkOptions(BaseOptions):
    """The network. Without these flags the record in the source decides, then the defaults."""

    network: Optional[str] = model_flag(
        None, one_of(*NETWORKS), help="network (default: the network in the source, or mmnet)"
    )
    width_multiplier: Optional[float] = model_flag(
        None, positive_float, help="channel multiplier of the network (default: 1.0)"
    )
    size: Optional[int] = model_flag(
        None, network_side, help="side of a square network input, a multiple of 32 (default: 256)"
    )
    shape: Optional[Tuple[int, int]] = model_flag(
        None, network_side, nargs=2, help="height and width of the network input"
    )
    channels: Optional[int] = model_flag(
        None, positive_int, help="3 (RGB, default) or 4 (RGB and the alpha of the previous frame)"
    )

    def network_fields(self) -> Dict[str, Any]:
        """Return the fields of Network that the user gave."""
        return network_fields({name: getattr(self, name) for name in NETWORK_FLAGS})

    def check(self) -> None:
        if self.size is not None and self.shape is not None:
            raise MmnetError("--size and --shape exclude each other")
        if self.network_fields() or getattr(self, "batch_size", 1) != 1:
            self.check_memory()  # every machine can run the bundled networks

    def check_memory(self, training: bool = False) -> None:
        """Raise MmnetError if a batch needs more memory than the machine has."""
        batch_size = int(np.max(getattr(self, "batch_size", 1)))
        network = make_network(self.network_fields())
        subject = f"{network} with a batch of {batch_size}"
        check_memory(subject, network_bytes(network, batch_size, training=training))


NETWORK_FLAGS = [field.name for field in dataclasses.fields(NetworkOptions)]


@dataclasses.dataclass(frozen=True)
class SourceOptions(NetworkOptions):
    """A trained network: a checkpoint or a model file."""

    checkpoint_path: str = model_flag(DEFAULT, source, help=SOURCES, alias="model", join=True)
    use_ema: bool = model_flag(False, help="use the moving averages of a checkpoint's weights")
    logit_scale: float = model_flag(
        1.0,
        positive_float,
        help="factor of the checkpoint's logits; 2 suits the published weights on portraits",
        old_name="temperature",
    )

    def weight_options(self) -> WeightOptions:
        """Return how the weights of a checkpoint are read."""
        return WeightOptions(self.use_ema, self.logit_scale)


@dataclasses.dataclass(frozen=True)
class CheckpointOptions(SourceOptions):
    """A trained network: a checkpoint."""

    checkpoint_path: str = model_flag(DEFAULT, source, help=CHECKPOINT)

    def check(self) -> None:
        super().check()
        if is_model_file(self.checkpoint_path):
            raise MmnetError(
                f"--checkpoint_path {self.checkpoint_path}: is a model file; give the checkpoint "
                "from which it was exported"
            )

    def load_weights(self, *, finite: bool = True) -> Weights:
        """Read the weights of the checkpoint."""
        return load_weights(
            self.checkpoint_path, self.network_fields(), self.weight_options(), finite=finite
        )


@dataclasses.dataclass(frozen=True)
class DeviceOptions(BaseOptions):
    """The device of TensorFlow."""

    device: Optional[str] = flag(
        None, one_of("cpu", "gpu", "npu"), help="default: TensorFlow's choice", group="device"
    )


@dataclasses.dataclass(frozen=True)
class JsonOptions(BaseOptions):
    """Machine-readable output."""

    json: bool = flag(False, help="print JSON, one object per result")

    def print_record(self, record: Dict[str, Any], text: Optional[str] = None) -> None:
        """Print a record as a line of JSON, or as text. Default text: its known values as YAML."""
        json_text = json.dumps(record)
        if self.json:
            text = json_text
        elif text is None:
            values = json.loads(json_text)  # only types that YAML has
            known = {name: value for name, value in values.items() if value not in (None, {}, [])}
            text = yaml.safe_dump(known, sort_keys=False, allow_unicode=True, width=1000)
        print(text)


@dataclasses.dataclass(frozen=True)
class PhotoOptions(SourceOptions, DeviceOptions):
    """A trained network, and the steps of the photo path around it."""

    no_second_pass: bool = flag(
        False, help="skip the second network run on the people's box", old_name="no_second_look"
    )
    no_cleaning: bool = flag(False, help="keep smudges, islands and holes in the alphas of photos")
    no_refinement: bool = flag(False, help="skip the refinement of edges with the photo")
    views: Optional[int] = flag(
        None,
        view_count,
        help="views of a photo whose logits are averaged: 1 (fastest) to 3 (best) (default: 3; 1 "
        "for mmnet-fast and several sources; a model file: its own)",
    )

    def open_network(self, source: Union[str, Source], *, for_photos: bool) -> Predictor:
        """Open a source as the flags describe it. Only photos have several views."""
        return (open_for_photos if for_photos else open_predictor)(
            source,
            self.network_fields(),
            weight_options=self.weight_options(),
            views=self.views if for_photos else None,
            device=Device(self.device),
        )

    def matting_options(self) -> MattingOptions:
        """Return the steps that the flags leave."""
        return MattingOptions(
            second_pass=not self.no_second_pass,
            refine_edges=not self.no_refinement,
            clean_alpha=not self.no_cleaning,
        )


@dataclasses.dataclass(frozen=True)
class CutoutOptions(PhotoOptions):
    """Steps of the photo path, including the colours of the result."""

    no_foreground_colours: bool = flag(
        False, help="keep background colours in semi-transparent pixels"
    )

    def matting_options(self) -> MattingOptions:
        estimate_foreground = not self.no_foreground_colours
        return super().matting_options()._replace(estimate_foreground=estimate_foreground)
