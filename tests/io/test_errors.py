"""Tests of mmnet.io.errors."""

import pickle

import pytest

from mmnet.io.errors import MmnetError


@pytest.mark.parametrize("parameter", [None, "size"])
def test_mmnet_error_survives_pickling(parameter):
    error = MmnetError("too large", parameter)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is MmnetError and str(copy) == str(error)
    assert (copy.message, copy.parameter) == ("too large", parameter)
