"""Tests of mmnet.io.terminal."""

import io
import json

import pytest

from mmnet.io.errors import format_names
from mmnet.io.tables import format_table
from mmnet.io.terminal import EscapedStream, escape_controls

# Colours, a title, C1 codes, DEL, a cleared line, a new line, and the direction of text.
NAME = "a\033[31m\033]0;x\a\x9b2J\x7f\r\n\u202e.png"


@pytest.mark.parametrize(
    "escape",
    [escape_controls, lambda name: format_names([name]), lambda name: format_table([[name]])],
    ids=["escape_controls", "format_names", "format_table"],
)
def test_names_stay_printable_and_on_one_line(escape):
    text = escape(NAME)
    assert text.isprintable() and text.startswith("a\\u001b[31m") and "\\n" in text
    assert escape("à b 日本 👩‍🦰") == "à b 日本 👩‍🦰"


def test_escaped_stream_keeps_lines_and_json():
    stream = EscapedStream(io.StringIO())
    print("a\tb", file=stream)
    print(json.dumps(NAME), file=stream)
    print(NAME, file=stream)
    first, second, third, last = stream.getvalue().split("\n", 3)
    assert first == "a\tb" and json.loads(second) == NAME
    assert third.isprintable() and last.rstrip("\n").isprintable()
