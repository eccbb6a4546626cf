"""Types of flags: functions that convert text to a value and raise MmnetError for bad text.

They check that local paths exist, so a typing mistake is reported before TensorFlow is imported.
They never download.
"""

import os
from typing import Callable, Dict, Optional, Tuple

from humanfriendly import InvalidSize, InvalidTimespan, parse_size, parse_timespan

from mmnet.io.errors import MmnetError
from mmnet.io.tar_shards import Shard
from mmnet.networks.network import STRIDE
from mmnet.weights.source import find_source


def positive_int(value: str) -> int:
    if not is_number(value) or int(value) < 1:
        raise MmnetError("must be a whole number above 0")
    return int(value)


def positive_ints(value: str) -> Tuple[int, ...]:
    try:
        return tuple(positive_int(part) for part in value.split(","))
    except MmnetError:
        raise MmnetError("must be whole numbers above 0 with commas, for example 1,2") from None


def whole_number(value: str) -> int:
    if not is_number(value):
        raise MmnetError("must be a whole number, 0 or more")
    return int(value)


def seed_number(value: str) -> int:
    if not is_number(value) or int(value) >= 1 << 32:
        raise MmnetError("must be a whole number from 0 to 4294967295")
    return int(value)


def shard(value: str) -> Shard:
    index, slash, count = value.partition("/")
    if not (slash and is_number(index) and is_number(count) and int(index) < int(count)):
        raise MmnetError("must be I/N, for example 0/8 to 7/8")
    return Shard(int(index), int(count))


def port_number(value: str) -> int:
    if not is_number(value) or int(value) >= 1 << 16:
        raise MmnetError("must be a port from 0 to 65535")
    return int(value)


def positive_float(value: str) -> float:
    number = finite_float(value)
    if not number:
        raise MmnetError("must be a number above 0")
    return number


def not_negative(value: str) -> float:
    number = finite_float(value)
    if number is None:
        raise MmnetError("must be a number, 0 or more")
    return number


def fraction(value: str) -> float:
    number = finite_float(value)
    if number is None or number > 1:
        raise MmnetError("must be a number from 0 to 1")
    return number


def decay(value: str) -> float:
    number = finite_float(value)
    if number is None or number >= 1:
        raise MmnetError("must be a number from 0 to below 1")
    return number


def network_side(value: str) -> int:
    if not is_number(value) or int(value) < STRIDE or int(value) % STRIDE:
        example = round(int(value) / STRIDE) * STRIDE or STRIDE if is_number(value) else 256
        raise MmnetError(f"must be a multiple of {STRIDE}, for example {example}")
    return int(value)


def size_in_bytes(value: str) -> int:
    try:
        return parse_size(value, binary=True)
    except InvalidSize:
        raise MmnetError("must be a size, for example 500MB or 4GB") from None


def timespan(value: str) -> float:
    try:
        return parse_timespan(value)
    except InvalidTimespan:
        raise MmnetError("must be a time, for example 90s, 10m or 2h") from None


def switch(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise MmnetError("must be true or false")
    return value.lower() == "true"


def one_of(*choices: str, removed: Optional[Dict[str, str]] = None) -> Callable[[str], str]:
    """Return a type that accepts only ``choices``. They appear in ``--help``.

    Args:
        removed: choices of 0.2 that 0.3 deleted -> their replacements.
    """

    def choice(value: str) -> str:
        if removed and value in removed:
            raise MmnetError(f"was removed in 0.3; {removed[value]}")
        if value not in choices:
            raise MmnetError(f"must be one of {', '.join(choices)}")
        return value

    choice.choices = choices  # type: ignore[attr-defined]
    return choice


def dataset_folder(value: str) -> str:
    if not os.path.isdir(value):
        raise FileNotFoundError(f"no dataset folder {value}")
    return value


def image_folder(value: str) -> str:
    if not os.path.isdir(value):
        raise FileNotFoundError(f"no folder {value}")
    return value


def source(value: str) -> str:
    """Check that a checkpoint, a folder of checkpoints, a model file or a known name exists."""
    find_source(value, download=False)
    return value


def is_number(value: str) -> bool:
    """Return whether a text is a whole number of at most 20 ASCII digits."""
    return value.isascii() and value.isdigit() and len(value) <= 20


def finite_float(value: str) -> Optional[float]:
    """Convert a text to a finite number of at least 0, or return None."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
