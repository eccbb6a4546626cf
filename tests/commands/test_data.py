"""Tests of the options of `mmnet data`."""

import pytest

from helpers.layouts import write_dapm


@pytest.mark.parametrize(
    "arguments, tokens",
    [
        ("convert S T", ["--layout"]),
        ("convert S T --from coco", ["coco", "dapm"]),
        ("convert S T --layout labels", ["labels", "pairs"]),  # removed
        ("convert S T --layout pairs --ids 1,2", ["--ids", "pairs"]),  # removed
        ("pack S T", ["pack", "images"]),  # removed
        ("split S", ["SOURCE TARGET"]),
        ("split S S", ["source and target"]),
        ("split S T --layout dapm", ["--layout"]),
        ("split S T --report R", ["--report"]),
    ],
    ids=str,
)
def test_data_refuses_arguments(assert_refused, tmp_path, arguments, tokens):
    write_dapm(str(tmp_path / "S"))
    paths = {"S": str(tmp_path / "S"), "T": str(tmp_path / "T"), "R": str(tmp_path / "R.html")}
    assert_refused(
        ["data"] + [paths.get(argument, argument) for argument in arguments.split()], *tokens
    )
    assert not (tmp_path / "T").exists()
