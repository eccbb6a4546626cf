"""Tests of mmnet.io.tables."""

from mmnet.io.tables import format_table

ROWS = [["model", "ms", "note"], ["a", "12.5", "x"], ["a longer name", "", ""]]


def test_format_table_aligns_text_left_and_numbers_right():
    assert format_table(ROWS).split("\n") == [
        "model            ms  note",
        "a              12.5     x",
        "a longer name",
    ]
    assert format_table(ROWS, left_columns=3).split("\n")[1] == "a              12.5  x"
