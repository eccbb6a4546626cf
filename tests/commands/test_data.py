"""Tests of the options of `mmnet data`."""

import pytest

from helpers import assert_message
from helpers.layouts import write_dapm
from mmnet.cli import main


@pytest.mark.parametrize(
    "arguments, tokens",
    [
        pytest.param(["convert", "S", "T"], ["--layout"], id="convert without layout"),
        pytest.param(["split", "S", "T", "--layout", "dapm"], ["--layout"], id="split with layout"),
        pytest.param(["split", "S"], ["SOURCE TARGET"], id="split without target"),
        pytest.param(["split", "S", "T", "--report", "R"], ["--report"], id="split with report"),
        pytest.param(["split", "S", "S"], ["source and target"], id="target is source"),
        pytest.param(
            ["convert", "S", "T", "--from", "coco"], ["coco", "dapm"], id="unknown layout"
        ),
        pytest.param(["pack", "S", "T"], ["pack", "images"], id="removed action"),
        pytest.param(
            ["convert", "S", "T", "--layout", "labels"], ["labels", "pairs"], id="removed layout"
        ),
        pytest.param(
            ["convert", "S", "T", "--layout", "pairs", "--ids", "1,2"],
            ["--ids", "pairs"],
            id="removed flag",
        ),
    ],
)
def test_data_refuses_arguments(tmp_path, capfd, arguments, tokens):
    write_dapm(str(tmp_path / "S"))
    paths = {"S": str(tmp_path / "S"), "T": str(tmp_path / "T"), "R": str(tmp_path / "R.html")}
    assert main(["data"] + [paths.get(argument, argument) for argument in arguments]) == 2
    error = capfd.readouterr().err
    assert_message(error, *tokens)
    assert error.count("\n") == 1 and not (tmp_path / "T").exists()
