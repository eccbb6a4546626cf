"""Kinds of settings: text in, value out; ValueError says what would be right. No TensorFlow."""

import os

from humanfriendly import InvalidSize, InvalidTimespan, parse_size, parse_timespan

from mmnet.network import STRIDE
from mmnet.records import shown
from mmnet.shards import Shard
from mmnet.weights.find import find_source


def text(value):
    return value


def positive_int(value):
    if not is_number(value) or int(value) < 1:
        raise ValueError("a whole number above 0, not %s" % shown(value))
    return int(value)


def positive_ints(value):
    try:
        return tuple(positive_int(part) for part in value.split(","))
    except ValueError:
        raise ValueError(
            "whole numbers above 0 with commas between, such as 1,2, not %s" % shown(value)
        ) from None


def whole_number(value):
    if not is_number(value):
        raise ValueError("a whole number, 0 or more, not %s" % shown(value))
    return int(value)


def seed_number(value):
    if not is_number(value) or int(value) >= 1 << 32:
        raise ValueError("a whole number from 0 to 4294967295, not %s" % shown(value))
    return int(value)


def shard(value):
    index, slash, count = str(value).partition("/")
    if not (slash and is_number(index) and is_number(count) and int(index) < int(count)):
        raise ValueError("I/N, such as 0/8 to 7/8, not %s" % shown(value))
    return Shard(int(index), int(count))


def port_number(value):
    if not is_number(value) or int(value) >= 1 << 16:
        raise ValueError("a port from 0 to 65535, not %s" % shown(value))
    return int(value)


def positive_float(value):
    number = not_negative_or(value, 0.0)
    if number == 0:
        raise ValueError("a number above 0, not %s" % shown(value))
    return number


def not_negative(value):
    number = not_negative_or(value, None)
    if number is None:
        raise ValueError("a number, 0 or more, not %s" % shown(value))
    return number


def share(value):
    number = not_negative_or(value, None)
    if number is None or number > 1:
        raise ValueError("a share of 0 to 1, not %s" % shown(value))
    return number


def decay(value):
    number = not_negative_or(value, 1.0)
    if number >= 1:
        raise ValueError("a number from 0 to below 1, not %s" % shown(value))
    return number


def network_side(value):
    if not is_number(value) or int(value) < STRIDE or int(value) % STRIDE:
        near = [round(int(value) / STRIDE) * STRIDE or STRIDE] if is_number(value) else [128, 256]
        raise ValueError(
            "a multiple of %d such as %s, not %s"
            % (STRIDE, " or ".join(map(str, near)), shown(value))
        )
    return int(value)


def size_in_bytes(value):
    try:
        return parse_size(value, binary=True)
    except InvalidSize:
        raise ValueError("a size such as 500MB or 4GB, not %s" % shown(value)) from None


def timespan(value):
    try:
        return parse_timespan(value)
    except InvalidTimespan:
        raise ValueError("a time such as 90s, 10m or 2h, not %s" % shown(value)) from None


def switch(value):
    if value.lower() not in ("true", "false"):
        raise ValueError("true or false, not %s" % shown(value))
    return value.lower() == "true"


def one_of(*choices):
    def choice(value):
        if value not in choices:
            raise ValueError("one of %s, not %s" % (", ".join(choices), shown(value)))
        return value

    choice.choices = choices
    return choice


# Paths are looked at here, before anything slow is imported.


def data_set_folder(value):
    if not os.path.isdir(value):
        raise FileNotFoundError("no data set folder %s" % value)
    return value


def pictures_folder(value):
    if not os.path.isdir(value):
        raise FileNotFoundError("no folder %s" % value)
    return value


def existing_file(value):
    if not os.path.isfile(value):
        raise FileNotFoundError("no file %s" % value)
    return value


def source(value):
    """A checkpoint's prefix, a folder of checkpoints, a model file, or a name of weights: something
    that is there, or can be got."""
    find_source(value)
    return value


def is_number(value):
    """Whether a text is a whole number of plain digits, and not of absurd length."""
    return value.isascii() and value.isdigit() and len(value) <= 20


def not_negative_or(value, otherwise):
    """A text as a finite number of at least 0, or ``otherwise``."""
    try:
        number = float(value)
    except ValueError:
        return otherwise
    return number if 0 <= number < float("inf") else otherwise
