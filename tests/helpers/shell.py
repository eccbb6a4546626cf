"""Run the scripts of the project."""

import os
import shutil
import subprocess

import pytest

from helpers import ROOT

SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]
if "dash" in SHELLS and os.path.samefile(shutil.which("sh"), shutil.which("dash")):
    SHELLS.remove("sh")  # sh is dash

needs_setup = pytest.mark.skipif(
    not os.path.exists(os.path.join(ROOT, ".venv", "mmnet-extras")),
    reason="scripts/setup.sh has not run: sh scripts/test.sh runs it first",
)


def run(*command, **options):
    """Run a command and return the CompletedProcess with its output as text."""
    command = [str(part) for part in command]
    return subprocess.run(command, capture_output=True, text=True, **options)
