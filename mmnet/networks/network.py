"""Network: which network, its width and its input. No TensorFlow."""

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.memory import check_memory

STRIDE = 32  # height and width of every network input are multiples of it
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

    def __str__(self) -> str:
        memory = ", with the previous frame" if self.channels == 4 else ""
        width = self.width_multiplier or 0
        return f"{self.name} {width:g} at {format_shape(self.shape)}{memory}"


def make_network(
    requested: Mapping[str, Any], recorded: Optional[Mapping[str, Any]] = None
) -> Network:
    """Create a Network from the user's fields, then the fields recorded in a source, then defaults.

    Raise MmnetError if a field has an invalid value.
    """
    fields = dict(recorded or {}, **requested)
    if "shape" in fields:
        fields["shape"] = tuple(fields["shape"])
    network = Network(**fields)
    invalid_sides = [side for side in network.shape if side < STRIDE or side % STRIDE]
    if len(network.shape) != 2 or invalid_sides:
        shape = format_shape(network.shape)
        raise MmnetError(f"must be two multiples of {STRIDE}, not {shape}", "shape")
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
