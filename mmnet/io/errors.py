"""The exception for bad input, and helpers that format values for messages."""

import re
from typing import Any, Dict, List, Optional, Sequence

from mmnet.io.terminal import escape_controls

ERRORS = "MMNET_ERRORS"  # environment variable: descriptor of a file for the launcher's stderr
NAMES_SHOWN = 3  # file names that a message shows of a list
MAX_NAMES = 20  # file names in one message
NAME_LENGTH = 200  # characters of a file name in a message
MAX_MESSAGE = 5000  # characters of a message


class MmnetError(ValueError):
    """Bad input from the user: a file, a value, or options that exclude each other.

    The command line prints the message without a traceback and exits with 2. ``parameter`` is the
    name of a wrong parameter, for example ``size``; the command line prints it as ``--size``.
    """

    def __init__(self, message: str, parameter: Optional[str] = None):
        super().__init__(message if parameter is None else f"{parameter}: {message}")
        self.message = message
        self.parameter = parameter


def shorten(value: Any) -> str:
    """Return ``repr(value)`` for a message, truncated to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def format_shape(shape: Sequence[int]) -> str:
    """Return ``800x600`` for the shape (800, 600): height x width."""
    return "x".join(str(side) for side in shape)


def format_names(names: Sequence[str], limit: int = NAMES_SHOWN) -> str:
    """Return ``a.png, b.png, c.png, ...``: the first names of a list."""
    shown = [shorten_name(name) for name in names[:limit]] + ["..."] * (len(names) > limit)
    return ", ".join(shown)


def shorten_name(name: str) -> str:
    """Return a file name on one line. A long one is shortened to its start and its end."""
    name, half = escape_controls(name), NAME_LENGTH // 2
    return name if len(name) <= NAME_LENGTH else f"{name[: half - 3]}...{name[-half:]}"


def shorten_message(text: str) -> str:
    """Return a message whose words, such as paths, have at most NAME_LENGTH characters."""
    long_word = f"\\S{{{NAME_LENGTH + 1},}}"
    text = re.sub(long_word, lambda word: shorten_name(word.group()), text)
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 3] + "..."


def summarize_names(problem: str, names: Sequence[str], limit: int = NAMES_SHOWN) -> str:
    """Return ``4 images without a mask (a.png, b.png, c.png, ...)``."""
    return f"{len(names)} {problem} ({format_names(names, limit)})"


def summarize_problems(problems: Dict[str, List[str]], limit: int = MAX_NAMES) -> str:
    """Return ``2 unreadable files (a.png, b.png); 1 images without a mask (c.png)``."""
    return "; ".join(summarize_names(*problem, limit) for problem in sorted(problems.items()))
