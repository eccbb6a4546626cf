"""Tests of scripts/*.sh in every installed shell, from another folder, with spaces in paths."""

import glob
import json
import os
import shutil

import pytest

from helpers import ROOT, SMALL_FLAGS, assert_message
from helpers.shell import SHELLS, needs_setup, run

SCRIPTS = sorted(glob.glob(os.path.join(ROOT, "scripts", "*.sh")))
CREATE_VENV = "-m venv --clear .venv"
SETUP_FILES = ["requirements.txt", "setup.py", "pyproject.toml"]  # a change creates .venv again

# Logs its arguments instead of creating an environment.
FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "$LOG"
case $1 in
    -c) echo 3.13 ;;
    -m) [ "$2" != venv ] || { mkdir -p .venv/bin && cp "$0" .venv/bin/python; } ;;
esac
"""


def script(name):
    return os.path.join(ROOT, "scripts", name)


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("path", SCRIPTS, ids=os.path.basename)
def test_script_parses_in_every_shell(path):
    for shell in SHELLS:
        assert run(shell, "-n", path).stderr == ""


@pytest.fixture(scope="module")
def checkpoint_folder(write_checkpoints):
    """A folder with a checkpoint of step 3. Tests do not write into it."""
    return write_checkpoints(3)


@needs_setup
@pytest.mark.parametrize("shell", SHELLS)
def test_validate_scores_from_another_folder(shell, portraits, checkpoint_folder, tmp_path):
    dataset = os.path.relpath(portraits, str(tmp_path))
    flags = [*SMALL_FLAGS, "--json", "--output", "my scores"]
    command = [shell, script("validate.sh"), dataset, checkpoint_folder]
    result = run(*command, *flags, cwd=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["global_step"] == 3
    assert (tmp_path / "my scores" / "best" / "MAD_test" / "MMNetModel-3.index").exists()


@needs_setup
def test_train_resumes(portraits, tmp_path):
    flags = ["--dataset_split_name", "test", *SMALL_FLAGS, "--batch_size", 2]
    for steps in (2, 3):
        command = ["sh", script("train.sh"), portraits, "a run", *flags]
        result = run(*command, "--max_step_from_restore", steps, cwd=str(tmp_path))
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert_message(result.stderr, "a run/MMNetModel-2")
    assert (tmp_path / "a run" / "MMNetModel-3.json").exists()


@pytest.mark.parametrize("name", ["validate.sh", "train.sh", "quickstart.sh", "draw_figures.sh"])
def test_wrong_number_of_arguments_prints_usage(name):
    result = run("sh", script(name), "one")
    assert (result.returncode, result.stdout) == (2, "")
    assert_message(result.stderr, "usage:", name)


@needs_setup
def test_setup_does_nothing_without_a_change(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    result = run("sh", script("setup.sh"), cwd=str(tmp_path), env=environment)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_setup_refuses_a_program_that_is_not_python():
    result = run("sh", script("setup.sh"), env=dict(os.environ, PYTHON="/bin/false"))
    assert result.returncode == 2
    assert_message(result.stderr, "PYTHON=/bin/false")
    stamp = os.path.join(ROOT, ".venv", "mmnet-setup")
    assert os.path.exists(stamp) or not os.path.exists(os.path.join(ROOT, ".venv"))


def test_setup_runs_again_after_a_change(tmp_path):
    project, log = tmp_path / "a project", tmp_path / "log"
    (project / "scripts").mkdir(parents=True)
    for name in [*SETUP_FILES, "scripts/setup.sh"]:
        shutil.copy(os.path.join(ROOT, name), str(project / name))
    python = write_program(tmp_path / "real python", FAKE_PYTHON)
    # The shim of a version manager, without an installed version.
    shim = write_program(tmp_path / "python3.13", "#!/bin/sh\nexit 127\n")
    find_python = f'[ "$1" = 3.13 ] && echo "{python}"\n'
    (project / "scripts" / "find_python.sh").write_text(find_python)

    def setup(folder, interpreter):
        log.write_text("")
        environment = dict(os.environ, PYTHON=str(interpreter), LOG=str(log))
        result = run("sh", str(folder / "scripts" / "setup.sh"), env=environment)
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
        return result.stderr, log.read_text()

    for interpreter in (python, shim):
        message, calls = setup(project, interpreter)
        assert_message(message, ".venv", "Python 3.13", "TensorFlow 2.x")
        assert message.count("\n") == 1
        assert_message(calls, CREATE_VENV, "-m pip install")
        assert setup(project, interpreter) == ("", "")
    for name in SETUP_FILES:
        with open(str(project / name), "a") as file:
            file.write("\n")
        assert_message(setup(project, shim)[1], CREATE_VENV)
        assert setup(project, shim) == ("", "")
    project.rename(tmp_path / "moved")  # an environment contains its own path
    assert_message(setup(tmp_path / "moved", shim)[1], CREATE_VENV)


def test_find_python_runs_its_candidates(tmp_path):
    shim = write_program(tmp_path / "python3.7", "#!/bin/sh\nexit 127\n")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    result = run("sh", script("find_python.sh"), "3.7", env=environment)
    assert str(shim) not in result.stdout


@needs_setup
def test_installed_command_is_the_module(tmp_path):
    programs = os.path.join(ROOT, ".venv", "bin")
    command = run(os.path.join(programs, "mmnet"), "--version", cwd=str(tmp_path))
    python = os.path.join(programs, "python")
    module = run(python, "-m", "mmnet", "--version", cwd=str(tmp_path))
    assert command.returncode == 0 and command.stdout == module.stdout != ""
