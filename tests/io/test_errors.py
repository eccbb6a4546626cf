"""Tests of mmnet.io.errors."""

import pickle

import pytest

from mmnet.io.errors import MmnetError, format_names, shorten_message


@pytest.mark.parametrize("parameter", [None, "size"])
def test_mmnet_error_survives_pickling(parameter):
    error = MmnetError("too large", parameter)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is MmnetError and str(copy) == str(error)
    assert (copy.message, copy.parameter) == ("too large", parameter)


def test_format_names_shows_few_short_names():
    assert format_names(["a", "b", "c"]) == "a, b, c"
    assert format_names(["a", "b", "c", "d"]) == "a, b, c, ..."
    name = "folder/" + "x" * 100000 + ".png"
    shown = format_names([name] * 1000, 20)
    assert shown.count("folder/x") == shown.count("x.png") == 20 and len(shown) < 20 * 203


def test_shorten_message_keeps_short_words():
    assert shorten_message("a b " * 100) == "a b " * 100
    assert shorten_message(f"no file {'x' * 100000}: give another") == (
        f"no file {'x' * 97}...{'x' * 99}: give another"
    )
    assert len(shorten_message("a b " * 10000)) <= 5000
