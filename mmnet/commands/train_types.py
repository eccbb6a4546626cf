"""Types of flags that only `mmnet train` uses."""

from typing import Any, Callable, Sequence, Tuple

from mmnet.commands.flag_types import positive_float, positive_int, size_in_bytes
from mmnet.io.errors import MmnetError
from mmnet.training.losses import ADAPTATION, TERMS
from mmnet.training.schedule import SCHEDULES, Schedule

LOSS_TERMS = [name for name in TERMS if name not in ADAPTATION] + ["teacher"]
LOSS_PARAMETERS = ("composition_range", "teacher_temperature")
NPU_PRECISIONS = (
    "allow_mix_precision",
    "allow_fp32_to_fp16",
    "must_keep_origin_dtype",
    "force_fp16",
)
CACHE_BUDGET = "4GB"  # memory for decoded images


def check_text(parse: Callable[[str], Any]) -> Callable[[str], str]:
    """Return a type whose value is the text, if ``parse`` accepts it.

    config.yaml of a training records these texts, so it can be read as a preset.
    """

    def check(value: str) -> str:
        parse(value)
        return value

    return check


def parse_cache(value: str) -> Tuple[str, int]:
    """Return the kind of cache (none, memory or disk) and the memory budget in bytes."""
    if value in ("none", "disk"):
        return value, 0
    try:
        return "memory", size_in_bytes(CACHE_BUDGET if value == "memory" else value)
    except MmnetError:
        raise MmnetError("must be none, disk or a size, for example 500MB or 4GB") from None


def parse_schedule(value: str) -> Schedule:
    """Parse a name of SCHEDULES, ``step:STEPS[:FACTOR]`` or ``polynomial:POWER``."""
    name, *numbers = value.split(":")
    schedule = Schedule(name=name)
    max_numbers = {"step": 2, "polynomial": 1}.get(name, 0)
    if name not in SCHEDULES or len(numbers) > max_numbers:
        choices = ", ".join(SCHEDULES)
        raise MmnetError(f"must be one of {choices}, step:STEPS[:FACTOR] or polynomial:POWER")
    if name == "polynomial" and numbers:
        schedule = schedule._replace(power=positive_float(numbers[0]))
    if name == "step" and numbers:
        schedule = schedule._replace(decay_steps=positive_int(numbers[0]))
    if name == "step" and len(numbers) == 2:
        schedule = schedule._replace(decay_factor=positive_float(numbers[1]))
    return schedule


def assignment(names: Sequence[str], parse: Callable[[str], float]) -> Callable[[str], str]:
    """Return a type for the text NAME=X. ``parse`` checks X."""

    def check(value: str) -> str:
        name, equals, number = value.partition("=")
        if not equals or name not in names:
            raise MmnetError(f"must be NAME=X, where NAME is one of {', '.join(names)}")
        parse(number)
        return value

    return check


def parse_assignment(value: str) -> Tuple[str, float]:
    """Parse a valid NAME=X."""
    name, _, number = value.partition("=")
    return name, float(number)
