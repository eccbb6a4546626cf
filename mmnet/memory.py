"""Whether this machine has the memory for what is asked of it, estimated before it is taken.

The figures were measured with MMNet 1.0 and rounded; they catch what is absurd, not what is tight.
No TensorFlow.
"""

import os

from humanfriendly import format_size

# Bytes a pixel of the network's input, for each picture of a batch, at width 1.0.
INFERENCE_BYTES, TRAINING_BYTES = 250, 1500
WEIGHTS_BYTES = 4 * 200000  # of the weights at width 1.0; they grow with the square of the width
COPIES = 4  # of the weights in training: themselves, their gradients and the optimizer's slots
SCORING_BYTES = 60  # a pixel of the second shape to score at
DRAWING_BYTES = 400  # a pixel of a made-up portrait, which is drawn at twice its size


def machine_memory():
    """Bytes of memory of this machine, or None where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def need_memory(what, need):
    """Raise ValueError where ``what`` needs more bytes than the machine has in all."""
    there = machine_memory()
    if there is not None and need > there:
        raise ValueError(
            "%s takes about %s of memory, and this machine has %s"
            % (what, format_size(int(need), binary=True), format_size(there, binary=True))
        )


def network_bytes(network, batch, training=False):
    """About how much a Network takes for a batch of so many pictures."""
    width = network.width_multiplier or 1.0
    pixels = batch * network.shape[0] * network.shape[1]
    weights = WEIGHTS_BYTES * width**2 * (COPIES if training else 1)
    return pixels * width * (TRAINING_BYTES if training else INFERENCE_BYTES) + weights
