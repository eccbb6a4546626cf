"""Tests of mmnet.io.progress."""

import logging

from helpers import assert_message
from mmnet.io import progress as progress_module
from mmnet.io.progress import progress


def test_progress_writes_plain_lines_without_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "PLAIN_SECONDS", 0.0)
    assert list(progress([[1, 2], [3]], 3, "reading", "files", count=len)) == [[1, 2], [3]]
    first, second = capsys.readouterr().err.splitlines()
    assert_message(first, "reading: 2 / 3 files, ", "files/s", ", 0:00:00 left")
    assert_message(second, "reading: 3 / 3 files")


def test_progress_clears_its_line_on_terminal(capsys, monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(progress_module.sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress("ab", 2, "drawing")) == ["a", "b"]
    err = capsys.readouterr().err
    assert "\n" not in err and err.count("\r") == 3 and err.endswith("\r\033[K")


def test_progress_of_short_work_is_silent(capsys):
    assert list(progress(range(3), 3, "checking")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_progress_without_total_shows_count(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "PLAIN_SECONDS", 0.0)
    assert list(progress(iter("ab"), None, "reading", "frames")) == ["a", "b"]
    err = capsys.readouterr().err
    assert_message(err, "reading: 2 frames, ")
    assert "left" not in err


def test_progress_is_hidden_above_level_info(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(logging.getLogger("mmnet"), "level", logging.WARNING)
    assert list(progress("ab", 2, "drawing")) == ["a", "b"]
    assert capsys.readouterr().err == ""
