"""Network: which network, its width and its input. No TensorFlow."""

from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.memory import check_memory
from mmnet.networks.views import STRIDE, largest_shape, parse_view

MAX_WIDTH = 1000000  # channel multiplier

# Rough memory of MMNet 1.0, which detects absurd sizes.
INFERENCE_BYTES, TRAINING_BYTES = 250, 1500  # per input pixel and image
WEIGHTS_BYTES, TRAINING_COPIES = 800000, 4


class Network(NamedTuple):
    """A network without its weights."""

    name: str = "mmnet"  # a key of networks.registry.NETWORKS
    width_multiplier: Optional[float] = 1.0  # channel multiplier; None: unknown (a model file)
    shape: Tuple[int, int] = (256, 256)  # (height, width) of the input in pixels
    channels: int = 3  # input channels: 3 (RGB) or 4 (RGB and the alpha of the previous frame)
    views: Tuple[str, ...] = ()  # several views of the input (views.py); (): the input itself

    @property
    def base_shape(self) -> Tuple[int, int]:
        """Return the shape of the first view, for which the network was trained."""
        return parse_view(self.views[0]).shape if self.views else self.shape

    def with_input(self, shape: Sequence[int]) -> "Network":
        """Return the network with the input (height, width) of a model file."""
        if self.views and self.shape != tuple(shape):
            raise MmnetError(f"views {' '.join(self.views)}: the model takes {format_shape(shape)}")
        return self._replace(shape=(shape[0], shape[1]))

    def __str__(self) -> str:
        memory = ", with the previous frame" if self.channels == 4 else ""
        width = self.width_multiplier or 0
        views = f", views {' '.join(self.views)}" if self.views else ""
        return f"{self.name} {width:g} at {format_shape(self.shape)}{memory}{views}"


def make_network(
    requested: Mapping[str, Any], recorded: Optional[Mapping[str, Any]] = None
) -> Network:
    """Create a Network from the user's fields, then the fields recorded in a source, then defaults.

    Raise MmnetError if a field has an invalid value.
    """
    fields = dict(recorded or {}, **requested)
    if "shape" in fields:
        fields["shape"] = tuple(fields["shape"])
    fields["views"] = tuple(fields.get("views", ()))
    network = Network(**fields)
    if network.views and network.shape != largest_shape(network.views):
        shapes = f"{format_shape(largest_shape(network.views))}, not {format_shape(network.shape)}"
        raise MmnetError(f"must be {shapes}, for these views", "shape")
    for shape in (network.shape, *(parse_view(text).shape for text in network.views)):
        if len(shape) != 2 or any(side < STRIDE or side % STRIDE for side in shape):
            name = "views" if network.views else "shape"
            text = f"must be two multiples of {STRIDE}, not {format_shape(shape)}"
            raise MmnetError(text, name)
    if network.channels not in (3, 4):
        meaning = "3 (RGB) or 4 (RGB and the alpha of the previous frame)"
        raise MmnetError(f"must be {meaning}, not {network.channels}", "channels")
    if network.width_multiplier is not None and not 0 < network.width_multiplier <= MAX_WIDTH:
        raise MmnetError(
            f"must be above 0 and at most {MAX_WIDTH}, not {network.width_multiplier}",
            "width_multiplier",
        )
    check_memory(str(network), network_bytes(network, 1))
    return network


def with_views(network: Network, views: Sequence[str]) -> Network:
    """Return a network that averages the logits of views. Its input is the largest view.

    MmnetError: a view is not a size, or not a multiple of STRIDE.
    """
    shape, is_plain = largest_shape(views), len(views) == 1 and not parse_view(views[0]).mirrored
    fields = dict(network._asdict(), shape=shape, views=() if is_plain else views)
    return make_network(fields)


def network_fields(record: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the fields of Network in a record (options of a training, or the card of a model).

    ``network`` is a name or a dictionary of fields. Options and records of version 0.1 hold
    ``width_multiplier`` and ``size`` or ``shape`` beside it.
    """
    network = record.get("network")
    fields = dict(network) if isinstance(network, dict) else {"name": network}
    if "shape" not in fields and record.get("size"):
        fields["shape"] = (record["size"], record["size"])
    for name in ("width_multiplier", "shape", "channels"):
        fields.setdefault(name, record.get(name))
    return {name: value for name, value in fields.items() if value is not None}


def network_bytes(network: Network, batch_size: int, *, training: bool = False) -> float:
    """Estimate the memory of a network and one batch in bytes."""
    width = network.width_multiplier or 1.0
    pixels = batch_size * network.shape[0] * network.shape[1]
    weights = WEIGHTS_BYTES * width**2 * (TRAINING_COPIES if training else 1)
    return pixels * width * (TRAINING_BYTES if training else INFERENCE_BYTES) + weights
