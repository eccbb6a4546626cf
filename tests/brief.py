"""MMNet with fewer blocks and branches, for tests of what is around a network's graph.

It has every kind of operation, all heads and every scope that others look for, and is built in a
third of the time. What is published of MMNet is tested on the whole one.
"""

import contextlib

import pytest

from mmnet.networks import mmnet as module
from mmnet.networks.layers import relu6
from mmnet.networks.mmnet import Block

ENCODER = (
    Block(16, 16, 2, (1, 2)),
    Block(16, 24, 1, (1, 2)),
    Block(16, 24, 1, (1,)),
    Block(16, 24, 1, (1,)),
    Block(32, 40, 2, (1, 2)),
    Block(80, 80, 2, (1,), relu6),
)
REFINEMENT = Block(40, 40, 1, (1, 2))


@contextlib.contextmanager
def brief_network():
    """Meanwhile the network "mmnet" is the brief one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ENCODER", ENCODER)
        patch.setattr(module, "REFINEMENT", REFINEMENT)
        yield
