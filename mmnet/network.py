"""Which network: a value, known without TensorFlow."""

from typing import NamedTuple, Optional, Tuple

STRIDE = 32  # the sides of every network's input are multiples of it
# name -> the scope of the convolution, with biases, that gives its logits.
CLASSIFIERS = {
    "mmnet": "MMNet/final_block/pointwise_conv",
    "deeplab": "DeepLab/logits",
    "deeplab_os8": "DeepLab/logits",
    "modnet": "MODNet/f_branch/conv_f_1",
    "modnet_easpp": "MODNet/f_branch/conv_f_1",
}


class Network(NamedTuple):
    """Which network, without its weights."""

    name: str = "mmnet"  # a key of networks.build.NETWORKS
    width_multiplier: Optional[float] = 1.0  # of its channels; None: a model file does not say
    shape: Tuple[int, int] = (256, 256)  # (height, width) of its input in pixels
    channels: int = 3  # of its input: RGB; 4: and the alpha of the frame before

    def __str__(self):
        memory = ", with the frame before" if self.channels == 4 else ""
        width = self.width_multiplier or 0
        return "%s %g at %s%s" % (self.name, width, shape_text(self.shape), memory)


def decide(wanted, said=None):
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
        raise ValueError(
            "the sides of a network's input are multiples of %d, not %s"
            % (STRIDE, shape_text(network.shape))
        )
    if network.channels not in (3, 4):
        raise ValueError(
            "a network takes 3 channels, RGB, or 4: with the alpha of the frame before; not %s"
            % network.channels
        )
    if network.width_multiplier is not None and not network.width_multiplier > 0:
        raise ValueError("width_multiplier is greater than 0, not %s" % network.width_multiplier)
    return network


def said_in(record):
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


def shape_text(shape):
    """``(800, 600)`` -> ``800x600``: height x width."""
    return "x".join(str(side) for side in shape)
