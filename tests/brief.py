"""MMNet with fewer blocks and branches, which every test has that does not ask for the whole one.

It has every kind of operation, all heads and every scope that others look for, and is built in a
third of the time. What is published of MMNet is tested on the whole one: the fixture `whole`.
"""

import contextlib

from mmnet.networks import mmnet, mobilenet_v2, modnet
from mmnet.networks.layers import relu6
from mmnet.networks.mmnet import Block
from mmnet.networks.mobilenet_v2 import Residual

WHOLE = (mmnet.ENCODER, mmnet.REFINEMENT)
BRIEF = (
    (
        Block(16, 16, 2, (1, 2)),
        Block(16, 24, 1, (1,)),
        Block(16, 24, 1, (1,)),
        Block(16, 24, 1, (1,)),
        Block(32, 40, 2, (1,)),
        Block(80, 80, 2, (1,), relu6),
    ),
    Block(40, 40, 1, (1,)),
)


def use(blocks):
    """Build the network "mmnet" of WHOLE or of BRIEF from now on."""
    mmnet.ENCODER, mmnet.REFINEMENT = blocks


@contextlib.contextmanager
def using(blocks):
    """Build the network "mmnet" of WHOLE or of BRIEF meanwhile."""
    before = mmnet.ENCODER, mmnet.REFINEMENT
    use(blocks)
    try:
        yield
    finally:
        use(before)


@contextlib.contextmanager
def brief_encoder():
    """Build MobileNetV2 with one residual a stride meanwhile, and two that add their input."""
    before = mobilenet_v2.RESIDUALS, modnet.LAST
    rows = (Residual(16), Residual(24, 2), Residual(32, 2), Residual(64, 2), Residual(64))
    mobilenet_v2.RESIDUALS = rows + (Residual(160, 2), Residual(160))
    modnet.LAST = 160
    try:
        yield
    finally:
        mobilenet_v2.RESIDUALS, modnet.LAST = before
