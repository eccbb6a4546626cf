"""Options of commands: how a flag is declared, and the groups of options that commands share.

A command declares its options as a frozen dataclass whose fields come from ``flag``. Its docstring
is the description in ``--help``.
"""

import dataclasses
from typing import Any, Callable, Dict, Optional, Tuple, Union

from mmnet.commands.flag_types import (
    dataset_folder,
    network_side,
    one_of,
    positive_float,
    positive_int,
    source,
    switch,
)
from mmnet.inference.card import FIELD_VALUES
from mmnet.io.errors import MmnetError
from mmnet.io.memory import check_memory
from mmnet.networks.network import make_network, network_bytes, network_fields
from mmnet.networks.registry import NETWORKS
from mmnet.weights.registry import DEFAULT
from mmnet.weights.source import is_model_file
from mmnet.weights.values import WeightOptions

REQUIRED: Any = object()  # default of a flag that the user must give

CHECKPOINT = (
    "checkpoint prefix, folder of checkpoints (its latest), or weights by name (mmnet weights "
    "list; untrained: random weights)"
)
SOURCE = CHECKPOINT + ", .pb, .tflite, .onnx or SavedModel folder"


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
) -> Any:
    """Declare a flag as a field of an options dataclass.

    Args:
        default: value without the flag, or REQUIRED.
        parse: text -> value, from flag_types. It raises MmnetError. Default: ``switch`` for a
            boolean default, else the text itself.
        help: what the flag sets, with its unit.
        nargs: None for one value, a number, or "+" or "*" for a list.
        positional: the value is given without the name of the flag.
        alias: a second name.
        old_name: the name before 0.3, which still works with a warning.
        group: heading in ``--help``.
    """
    if parse is None:
        parse = switch if isinstance(default, bool) else str
    metadata = {
        "parse": parse,
        "help": help,
        "nargs": nargs,
        "positional": positional,
        "alias": alias,
        "old_name": old_name,
        "group": group,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class BaseOptions:
    """Base class of all options."""

    def check(self) -> None:
        """Raise MmnetError or FileNotFoundError for options that exclude each other."""


@dataclasses.dataclass(frozen=True)
class SplitOptions(BaseOptions):
    """The split of datasets."""

    dataset_split_name: str = flag("test", help="split of the dataset", group="data")


@dataclasses.dataclass(frozen=True)
class DatasetOptions(SplitOptions):
    """One labelled dataset."""

    dataset_path: str = flag(
        REQUIRED,
        dataset_folder,
        help="folder of the dataset: SPLIT/image and SPLIT/mask",
        group="data",
    )


@dataclasses.dataclass(frozen=True)
class OptionalDatasetOptions(SplitOptions):
    """Images on which a model is compared with its checkpoint."""

    dataset_path: Optional[str] = flag(
        None,
        dataset_folder,
        help="compare on images of this dataset (default: synthetic images)",
        group="data",
    )


@dataclasses.dataclass(frozen=True)
class NetworkOptions(BaseOptions):
    """The network. Without these flags the record in the source decides, then the defaults."""

    network: Optional[str] = flag(
        None,
        one_of(*NETWORKS),
        help="network (default: the network in the source, or mmnet)",
        group="model",
    )
    width_multiplier: Optional[float] = flag(
        None, positive_float, help="channel multiplier of the network (default: 1.0)", group="model"
    )
    size: Optional[int] = flag(
        None,
        network_side,
        help="side of a square network input in pixels, a multiple of 32 (default: 256)",
        group="model",
    )
    shape: Optional[Tuple[int, int]] = flag(
        None,
        network_side,
        help="height and width of the network input in pixels, instead of --size",
        nargs=2,
        group="model",
    )
    channels: Optional[int] = flag(
        None,
        positive_int,
        help="input channels: 3 (RGB) or 4 (RGB and the alpha of the previous frame) (default: 3)",
        group="model",
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
        batch_size = getattr(self, "batch_size", 1)
        if isinstance(batch_size, tuple):
            batch_size = max(batch_size)
        network = make_network(self.network_fields())
        subject = f"{network} with a batch of {batch_size}"
        check_memory(subject, network_bytes(network, batch_size, training=training))


NETWORK_FLAGS = [field.name for field in dataclasses.fields(NetworkOptions)]


@dataclasses.dataclass(frozen=True)
class SourceOptions(NetworkOptions):
    """A trained network: a checkpoint or a model file."""

    checkpoint_path: Optional[str] = flag(
        DEFAULT, source, help=SOURCE, alias="model", group="model"
    )
    use_ema: bool = flag(
        False, help="use the moving averages of a checkpoint's weights", group="model"
    )
    logit_scale: float = flag(
        1.0,
        positive_float,
        help="scale the checkpoint's logits (free at run time); 2 works well for the published "
        "weights on portraits",
        old_name="temperature",
        group="model",
    )

    def weight_options(self) -> WeightOptions:
        """Return how the weights of a checkpoint are read."""
        return WeightOptions(self.use_ema, self.logit_scale)


@dataclasses.dataclass(frozen=True)
class CheckpointOptions(SourceOptions):
    """A trained network: a checkpoint."""

    checkpoint_path: str = flag(DEFAULT, source, help=CHECKPOINT, group="model")

    def check(self) -> None:
        super().check()
        if is_model_file(self.checkpoint_path):
            raise MmnetError(
                f"--checkpoint_path {self.checkpoint_path}: is a model file; give the checkpoint "
                "from which it was exported"
            )


@dataclasses.dataclass(frozen=True)
class DeviceOptions(BaseOptions):
    """The device of TensorFlow."""

    device: Optional[str] = flag(
        None,
        one_of("cpu", "gpu", "npu"),
        help="device; npu is an Ascend chip with TF Adapter (default: TensorFlow's choice)",
        group="device",
    )


@dataclasses.dataclass(frozen=True)
class JsonOptions(BaseOptions):
    """Machine-readable output."""

    json: bool = flag(False, help="print JSON, one object per result")


@dataclasses.dataclass(frozen=True)
class PreprocessOptions(BaseOptions):
    """Input of an exported model."""

    preprocess: str = flag(
        "inside",
        one_of(*FIELD_VALUES["preprocess"]),
        help="division by 255: inside the model (input 0..255) or outside (input 0..1)",
    )


@dataclasses.dataclass(frozen=True)
class MattingStepOptions(BaseOptions):
    """Steps of the photo path around the network."""

    no_second_pass: bool = flag(
        False,
        help="skip the second network run on the box that contains the people",
        old_name="no_second_look",
    )
    no_refinement: bool = flag(False, help="skip the refinement of edges with the photo")


@dataclasses.dataclass(frozen=True)
class PhotoOptions(MattingStepOptions):
    """Steps of the photo path, including the colours of the result."""

    no_foreground_colours: bool = flag(
        False, help="keep background colours in semi-transparent pixels"
    )
