"""Which network: a value, known without TensorFlow."""

from typing import NamedTuple, Optional, Tuple

from mmnet.io.errors import MmnetError, format_shape

STRIDE = 32  # the sides of every network's input are multiples of it


class Network(NamedTuple):
    """Which network, without its weights."""

    name: str = "mmnet"  # a key of networks.build.NETWORKS
    width_multiplier: Optional[float] = 1.0  # of its channels; None: a model file does not say
    shape: Tuple[int, int] = (256, 256)  # (height, width) of its input in pixels
    channels: int = 3  # of its input: RGB; 4: and the alpha of the frame before

    def __str__(self):
        memory = ", with the frame before" if self.channels == 4 else ""
        width = self.width_multiplier or 0
        return "%s %g at %s%s" % (self.name, width, format_shape(self.shape), memory)


class NetworkRecord(NamedTuple):
    """How the options of a training record its network."""

    network: Optional[str] = None
    width_multiplier: Optional[float] = None
    size: Optional[int] = None
    shape: Optional[Tuple[int, int]] = None
    channels: Optional[int] = None


def make_network(wanted, said=None):
    """The Network that somebody wants, completed by what a source says of itself, then by defaults.

    Args:
        wanted, said: some fields of Network, name -> value.

    Raises:
        ValueError: a shape whose sides are no multiples of STRIDE, a width that is not positive, or
            other channels than 3 or 4.
    """
    fields = dict(said or {}, **wanted)
    if "shape" in fields:
        fields["shape"] = tuple(fields["shape"])
    network = Network(**fields)
    if len(network.shape) != 2 or any(side < STRIDE or side % STRIDE for side in network.shape):
        raise MmnetError(
            "the sides of a network's input are multiples of %d, not %s"
            % (STRIDE, format_shape(network.shape))
        )
    if network.channels not in (3, 4):
        raise MmnetError(
            "a network takes 3 channels, RGB, or 4: with the alpha of the frame before; not %s"
            % network.channels
        )
    if network.width_multiplier is not None and not network.width_multiplier > 0:
        raise MmnetError("width_multiplier is greater than 0, not %s" % network.width_multiplier)
    return network


def network_fields(record):
    """What a record (a run's settings, a model's card) says of its network: fields of Network.

    A record holds ``network``, a name or all the fields; records of version 0.1 and the flags hold
    ``width_multiplier`` and ``size`` or ``shape`` beside it.
    """
    network = record.get("network")
    said = dict(network) if isinstance(network, dict) else {"name": network}
    if "shape" not in said and record.get("size"):
        said["shape"] = (record["size"], record["size"])
    for name in ("width_multiplier", "shape", "channels"):
        said.setdefault(name, record.get(name))
    return {name: value for name, value in said.items() if value is not None}
