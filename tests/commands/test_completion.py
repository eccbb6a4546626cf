"""Tests of mmnet.commands.completion."""

import os
import shutil
import subprocess
import sys

import pytest

from helpers import ROOT, assert_message
from mmnet.cli import main

# Calls the completion function as bash does when the user presses the tab key.
SCRIPT = """
eval "$(mmnet completion bash)"
COMP_LINE='{line}' COMP_POINT={point} COMP_WORDS=({line}) COMP_CWORD={index} COMP_TYPE=9
function compopt() {{ :; }}
$(complete -p mmnet | sed 's/.*-F \\([^ ]*\\).*/\\1/') mmnet '{word}' '{previous}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory):
    """A folder that contains the program mmnet."""
    program = tmp_path_factory.mktemp("bin") / "mmnet"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m mmnet "$@"\n')
    program.chmod(0o755)
    return str(program.parent)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    "line, expected",
    [
        ("mmnet pre", ["predict"]),
        ("mmnet predict x --temporal_filter m", ["motion"]),
        ("mmnet predict --no_r", ["--no_refinement"]),
        ("mmnet train --config modnet", ["modnet_p3m10k"]),
        ("mmnet info mmnet-p", ["mmnet-persons"]),
    ],
    ids=["command", "choice", "flag", "preset", "weights"],
)
def test_bash_completes(bin_folder, line, expected):
    words = line.split(" ")
    script = SCRIPT.format(
        line=line, point=len(line), index=len(words) - 1, word=words[-1], previous=words[-2]
    )
    environment = dict(os.environ, PATH=bin_folder + os.pathsep + os.environ["PATH"])
    output = subprocess.check_output(["bash", "-c", script], env=environment, cwd=bin_folder)
    assert output.decode().split() == expected


@pytest.mark.parametrize(
    "variables",
    [
        {"COMP_LINE": "mmnet ", "COMP_POINT": "x"},
        {"COMP_LINE": "mmnet ", "COMP_POINT": "9" * 5000},
        {"COMP_LINE": "'", "COMP_POINT": "9"},
        {},
    ],
    ids=["text", "many digits", "quote", "missing"],
)
def test_wrong_variables_of_the_shell_are_refused(variables):
    command = ["sh", "-c", 'exec "$@" 8>/dev/null', "sh", sys.executable, "-m", "mmnet"]
    environment = dict(os.environ, _ARGCOMPLETE="1", PYTHONPATH=ROOT, **variables)
    result = subprocess.run(command, env=environment, stderr=subprocess.PIPE, check=False)
    error = result.stderr.decode()
    assert (result.returncode, error.count("\n")) == (2, 1), error
    assert_message(error, "COMP_POINT")


@pytest.mark.parametrize("shell, token", [("zsh", "compdef"), ("fish", "complete --command")])
def test_completion_supports_other_shells(shell, token, capfd):
    assert main(["completion", shell]) == 0
    assert_message(capfd.readouterr().out, token, "mmnet")
