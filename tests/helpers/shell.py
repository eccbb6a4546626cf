"""Run the scripts of the project."""

import os
import shutil
import subprocess

import pytest

from helpers import ROOT

SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


needs_setup = pytest.mark.skipif(
    not os.path.exists(os.path.join(ROOT, ".venv", "mmnet-setup")),
    reason="scripts/setup.sh has not run: sh scripts/test.sh runs it first",
)


def run(*command, **options):
    command = [str(part) for part in command]
    return subprocess.run(command, capture_output=True, text=True, **options)
