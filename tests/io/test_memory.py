"""Tests of mmnet.io.memory."""

import sys

import numpy as np
import pytest

from mmnet.io.memory import limit_growth


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_limit_growth_ends_with_the_block():
    with limit_growth(128 << 20):
        np.ones(16 << 20, np.uint8)
        with pytest.raises(MemoryError):
            np.empty(4 << 30, np.uint8)  # more than the freed memory that a process keeps
    np.ones(256 << 20, np.uint8)
