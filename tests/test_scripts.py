"""The scripts themselves, in every shell at hand, from another folder and with paths that hold spaces."""
import glob
import json
import os
import shutil
import subprocess

import pytest

from conftest import ROOT, SMALL

SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]
SCRIPTS = sorted(glob.glob(os.path.join(ROOT, "scripts", "*.sh")))
needs_setup = pytest.mark.skipif(not os.path.exists(os.path.join(ROOT, ".venv", "mmnet-setup")),
                                 reason="scripts/setup.sh has not run: sh scripts/test.sh runs it first")


def run(*command, **options):
    return subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, **options)


@pytest.mark.parametrize("script", SCRIPTS, ids=os.path.basename)
def test_scripts_parse_everywhere(script):
    for shell in SHELLS:
        assert run(shell, "-n", script).stderr == ""


@needs_setup
@pytest.mark.parametrize("shell", SHELLS)
def test_validate(shell, portraits, write_checkpoints, tmp_path):
    folder = write_checkpoints(3)
    result = run(shell, os.path.join(ROOT, "scripts", "validate.sh"), os.path.relpath(portraits, str(tmp_path)), folder,
                 "--width_multiplier", SMALL["width_multiplier"], "--size", SMALL["size"], "--json",
                 "--output", "scores of mine", cwd=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["global_step"] == 3
    assert (tmp_path / "scores of mine" / "best" / "MAD_test" / "MMNetModel-3.index").exists()


@needs_setup
def test_train_and_go_on(portraits, tmp_path):
    flags = ["--dataset_split_name", "test", "--width_multiplier", SMALL["width_multiplier"], "--size", 32, "--batch_size", 2,
             "--max_step_from_restore"]
    for steps in (2, 3):
        result = run("sh", os.path.join(ROOT, "scripts", "train.sh"), portraits, "a run", *(flags + [steps]),
                     cwd=str(tmp_path))
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
        assert "step %d (%d from restore)" % (steps, steps) in result.stderr
    assert "going on from a run/MMNetModel-2" in result.stderr
    assert (tmp_path / "a run" / "MMNetModel-3.json").exists()


def test_usage_errors():
    result = run("sh", os.path.join(ROOT, "scripts", "validate.sh"), "only one")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "usage: sh scripts/validate.sh DATASET TRAIN_DIR_OR_CKPT [more flags]\n"
    for name in ("train.sh", "quickstart.sh", "draw_figures.sh"):
        result = run("sh", os.path.join(ROOT, "scripts", name), "one")
        assert result.returncode == 2 and result.stderr.startswith("usage: ")


@needs_setup
def test_setup_is_silent_when_nothing_changed(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    result = run("sh", os.path.join(ROOT, "scripts", "setup.sh"), cwd=str(tmp_path), env=environment)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_setup_refuses_what_is_no_python():
    result = run("sh", os.path.join(ROOT, "scripts", "setup.sh"), env=dict(os.environ, PYTHON="/bin/false"))
    assert result.returncode == 2 and result.stderr == "setup: PYTHON=/bin/false does not run\n"
    assert os.path.exists(os.path.join(ROOT, ".venv", "mmnet-setup")) or not os.path.exists(os.path.join(ROOT, ".venv"))


def test_find_python_runs_its_candidates(tmp_path):
    shim = tmp_path / "python3.7"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    result = run("sh", os.path.join(ROOT, "scripts", "find_python.sh"), "3.7",
                 env={"PATH": "%s:/usr/bin:/bin" % tmp_path, "HOME": str(tmp_path)})
    assert str(shim) not in result.stdout


@needs_setup
def test_the_installed_command_is_the_module(tmp_path):
    command = run(os.path.join(ROOT, ".venv", "bin", "mmnet"), "--version", cwd=str(tmp_path))
    module = run(os.path.join(ROOT, ".venv", "bin", "python"), "-m", "mmnet", "--version", cwd=str(tmp_path))
    assert command.returncode == 0 and command.stdout == module.stdout != ""
