from mmnet.io import progress as progress_module
from mmnet.io.progress import progress


def test_plain_lines_where_stderr_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "PLAIN_SECONDS", 0.0)
    assert list(progress([[1, 2], [3]], 3, "reading", "files", count=len)) == [[1, 2], [3]]
    first, second = capsys.readouterr().err.splitlines()
    assert (
        first.startswith("reading: 2 / 3 files, ")
        and "files/s" in first
        and first.endswith(", 0:00:00 left")
    )
    assert second.startswith("reading: 3 / 3 files")


def test_one_line_on_a_terminal_that_is_cleared_at_the_end(capsys, monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(progress_module.sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress("ab", 2, "drawing")) == ["a", "b"]
    err = capsys.readouterr().err
    assert "\n" not in err and err.count("\r") == 3 and err.endswith("\r\033[K")


def test_short_work_is_silent(capsys):
    assert list(progress(range(3), 3, "checking")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_nobody_knows_how_many(capfd, monkeypatch):
    monkeypatch.setattr("mmnet.io.progress.PLAIN_SECONDS", 0.0)
    assert list(progress(iter("ab"), None, "reading", "frames")) == ["a", "b"]
    err = capfd.readouterr().err
    assert "reading: 2 frames, " in err and "left" not in err
