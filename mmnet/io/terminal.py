"""Escape control characters in printed text: a file name must not control the terminal."""

import sys
from typing import Any

# C0 and C1 codes, line separators, and codes that change the direction of text.
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
ESCAPES = {code: f"\\u{code:04x}" for code in CONTROLS}  # JSON with them stays valid
ESCAPES[ord("\n")] = "\\n"
ESCAPES_IN_LINES = {code: text for code, text in ESCAPES.items() if chr(code) not in "\t\n"}


def escape_controls(text: str) -> str:
    """Return a name on one line, with its control characters as ``\\n`` and ``\\u001b``."""
    return text.translate(ESCAPES)


class EscapedStream:
    """A text stream that escapes all control characters except tabs and ends of lines.

    Attributes:
        unescaped: the stream itself.
    """

    def __init__(self, stream: Any):
        self.unescaped = stream

    def write(self, text: str) -> int:
        return self.unescaped.write(text.translate(ESCAPES_IN_LINES))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unescaped, name)


def escape_output() -> None:
    """Escape what this process prints, also characters that a stream cannot encode."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, EscapedStream):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, EscapedStream(stream))
