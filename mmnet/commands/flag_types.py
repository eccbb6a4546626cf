"""Types of flags: functions that convert text to a value and raise MmnetError for bad text.

They check that local paths exist, so a typing mistake is reported before TensorFlow is imported.
They never download.
"""

import math
import os
import re
from typing import Callable, Dict, Optional, Tuple

from mmnet.distributed.members import LAST_PORT
from mmnet.io.errors import MmnetError
from mmnet.io.lazy import lazy_import
from mmnet.io.tar_shards import Shard
from mmnet.networks.views import SCALES, STRIDE
from mmnet.weights.source import find_source

humanfriendly = lazy_import("humanfriendly")

MAX_INT = (1 << 31) - 1  # the global step is an int32
MAX_JOBS = 1024  # each thread holds one photo in memory
MAX_FLOAT = 1e38  # TensorFlow computes with float32
MAX_SECONDS = 1e9  # about 30 years; Python cannot wait much longer


def integer(
    lowest: int, highest: float = MAX_INT, description: Optional[str] = None
) -> Callable[[str], int]:
    """Return a type for whole numbers from ``lowest`` to ``highest``."""
    description = description or f"a whole number from {lowest} to {highest}"

    def parse_integer(value: str) -> int:
        is_number = value.isascii() and value.isdigit() and len(value) <= 20
        if not is_number or not lowest <= int(value) <= highest:
            raise MmnetError(f"must be {description}")
        return int(value)

    return parse_integer


def number(description: str, is_valid: Callable[[float], bool]) -> Callable[[str], float]:
    """Return a type for numbers that ``is_valid`` accepts."""

    def parse_number(value: str) -> float:
        try:
            result = float(value)
        except ValueError:
            result = math.nan
        if not is_valid(result):
            raise MmnetError(f"must be {description}")
        return result

    return parse_number


positive_int = integer(1, description=f"a whole number above 0, at most {MAX_INT}")
whole_number = integer(0, description=f"a whole number, 0 or more, at most {MAX_INT}")
job_number = integer(1, MAX_JOBS)
seed_number = integer(0, (1 << 32) - 1)
port_number = integer(0, (1 << 16) - 1, "a port from 0 to 65535")
PORTS = f"a port from 1 to {LAST_PORT}, because each process needs two ports"
first_port = integer(1, LAST_PORT, PORTS)
view_count = integer(1, max(SCALES), f"1 to {max(SCALES)}")
multiple_of_stride = integer(0, math.inf, f"a multiple of {STRIDE}, for example 256")
number_in_list = integer(1, description=f"whole numbers above 0, at most {MAX_INT}, such as 1,2")

positive_float = number("a number above 0", lambda x: 0 < x < MAX_FLOAT)
not_negative = number("a number, 0 or more", lambda x: 0 <= x < MAX_FLOAT)
fraction = number("a number from 0 to 1", lambda x: 0 <= x <= 1)
decay = number("a number from 0 to below 1", lambda x: 0 <= x < 1)


def positive_ints(value: str) -> Tuple[int, ...]:
    return tuple(map(number_in_list, value.split(",")))


def shard(value: str) -> Shard:
    match = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", value)
    if match is None or int(match[1]) >= int(match[2]):
        raise MmnetError("must be I/N, for example 0/8 to 7/8")
    return Shard(int(match[1]), int(match[2]))


def network_side(value: str) -> int:
    side = multiple_of_stride(value)
    if side == 0 or side % STRIDE:
        example = max(1, round(side / STRIDE)) * STRIDE
        raise MmnetError(f"must be a multiple of {STRIDE}, for example {example}")
    return side


def size_in_bytes(value: str) -> int:
    try:
        return humanfriendly.parse_size(value, binary=True)
    except humanfriendly.InvalidSize:
        raise MmnetError("must be a size, for example 500MB or 4GB") from None


def timespan(value: str) -> float:
    try:
        seconds = float(humanfriendly.parse_timespan(value))
    except (humanfriendly.InvalidTimespan, OverflowError):
        seconds = math.inf
    if seconds > MAX_SECONDS:
        raise MmnetError("must be a time, for example 90s, 10m or 2h")
    return seconds


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


def existing_folder(value: str) -> str:
    if not os.path.isdir(value):
        raise FileNotFoundError(f"no folder {value}")
    return value


def split_name(value: str) -> str:
    """Check that a split is a folder in its dataset: commands write to folders with its name."""
    if os.path.isabs(value) or ".." in value.split(os.sep):
        raise MmnetError("must be the name of a folder in the dataset, for example test")
    return value


def source(value: str) -> str:
    """Check that a checkpoint, a folder of checkpoints, a model file or a known name exists."""
    find_source(value, download=False)
    return value


def is_source(value: str) -> bool:
    """Return whether a text names a source."""
    try:
        return bool(source(value))
    except (OSError, MmnetError):
        return False
