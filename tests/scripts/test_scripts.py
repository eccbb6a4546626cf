"""Tests of scripts/*.sh in every installed shell, from another folder, with spaces in paths."""

import glob
import json
import os
import shutil

import pytest

from helpers import ROOT, SMALL_FLAGS, assert_message
from helpers.shell import SHELLS, needs_setup, run
from mmnet.cli import make_parser
from mmnet.commands.presets import list_presets

RECIPES = sorted(glob.glob(os.path.join(ROOT, "configs", "recipes", "mmnet-*.sh")))
SCRIPTS = sorted(glob.glob(os.path.join(ROOT, "scripts", "*.sh"))) + RECIPES
CREATE_VENV = "-m venv --clear .venv"
SETUP_FILES = ["requirements.txt", "requirements-light.txt", "setup.py", "pyproject.toml"]

# Logs its arguments instead of creating an environment.
FAKE_PYTHON = """#!/bin/sh
[ "$1" = -c ] || echo "$@" >> "$LOG"
case $1 in
    -c) echo VERSION ;;
    -m) [ "$2" != venv ] || {
        rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python
        echo "VIRTUAL_ENV=\\"$PWD/.venv\\"" > .venv/bin/activate
    } ;;
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


@pytest.mark.parametrize("path", RECIPES, ids=os.path.basename)
def test_recipe_accepts_paths_with_spaces(path, project, tmp_path):
    shutil.copytree(os.path.dirname(path), str(project / "configs" / "recipes"))
    recipe = project / "configs" / "recipes" / os.path.basename(path)
    environment = dict(os.environ, PYTHON="", LOG=str(tmp_path / "log"), STEPS="2")
    arguments = ["PORTRAITS", "my persons", "BACKGROUNDS", "a run"]
    result = run("sh", str(recipe), *arguments, env=environment, cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr
    log = (tmp_path / "log").read_text()
    words = log.replace("my persons", "persons").replace("a run", "run")
    calls = [line.split()[2:] for line in words.splitlines() if "-m mmnet" in line]
    for command, *flags in calls:
        options = make_parser(command).parse_args(flags)
        if command == "train":
            assert options.config in list_presets() and options.max_step_from_restore == "2"
    assert {command for command, *_ in calls} == {"weights", "train", "calibrate"}
    assert_message(log, "my persons", "a run/start_", f"a run/{recipe.stem}/MMNetModel-1")


@needs_setup
def test_setup_does_nothing_without_a_change(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    result = run("sh", script("setup.sh"), cwd=str(tmp_path), env=environment)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_setup_refuses_a_program_that_is_not_python():
    result = run("sh", script("setup.sh"), env=dict(os.environ, PYTHON="/bin/false"))
    assert result.returncode == 2
    assert_message(result.stderr, "PYTHON=/bin/false")
    stamp = os.path.join(ROOT, ".venv", "mmnet-extras")
    assert os.path.exists(stamp) or not os.path.exists(os.path.join(ROOT, ".venv"))


@pytest.fixture
def project(tmp_path):
    """A copy of what scripts/setup.sh reads. ``find_python.sh`` finds a fake Python 3.13."""
    folder = tmp_path / "a project"
    (folder / "scripts").mkdir(parents=True)
    for name in [*SETUP_FILES, "scripts/setup.sh"]:
        shutil.copy(os.path.join(ROOT, name), str(folder / name))
    shutil.copytree(os.path.join(ROOT, "requirements"), str(folder / "requirements"))
    python = write_program(tmp_path / "real python", FAKE_PYTHON.replace("VERSION", "3.13"))
    find_python = f'[ "$1" = 3.13 ] && echo "{python}"\n'
    (folder / "scripts" / "find_python.sh").write_text(find_python)
    return folder


def run_setup(folder, *flags, python=""):
    """Return the messages of scripts/setup.sh, and the commands that a fake Python was given."""
    log = folder.parent / "log"
    log.write_text("")
    environment = dict(os.environ, PYTHON=str(python), LOG=str(log))
    result = run("sh", str(folder / "scripts" / "setup.sh"), *flags, env=environment)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    return result.stderr, log.read_text()


def test_setup_creates_an_environment(project, tmp_path):
    # The shim of a version manager, without an installed version.
    shim = write_program(tmp_path / "python3.13", "#!/bin/sh\nexit 127\n")
    for python in ("", tmp_path / "real python", shim):
        message, calls = run_setup(project, python=python)
        first, last = message.splitlines()
        assert_message(first, "create .venv", "Python 3.13", "TensorFlow 2.x")
        assert_message(last, ".venv/bin/mmnet predict")
        assert_message(calls, CREATE_VENV, "-e .[train,video,demo,heif,export]")
        assert run_setup(project, python=python) == ("", "")
        shutil.rmtree(str(project / ".venv"))


def test_setup_updates_in_place_after_a_change(project):
    run_setup(project)
    (project / ".venv" / "added").write_text("a package of the user")
    for name in [*SETUP_FILES, "requirements/video.txt"]:
        with open(str(project / name), "a") as file:
            file.write("\n")
        message, calls = run_setup(project)
        assert_message(message, "update .venv")
        assert_message(calls, "-e .[train,video")
        assert run_setup(project) == ("", "")
    assert (project / ".venv" / "added").exists()


def test_setup_adds_extras(project):
    run_setup(project)
    assert_message(run_setup(project, "--with", "dev,docs")[1], "export,dev,docs]")
    for flags in ([], ["--with", "docs"]):
        assert run_setup(project, *flags) == ("", "")
    calls = run_setup(project, "--gpu", "--with", "horovod")[1]
    assert_message(calls, "export,dev,docs]", "tensorflow[and-cuda]", "requirements/horovod.txt")
    result = run("sh", str(project / "scripts" / "setup.sh"), "--with", "videos")
    assert result.returncode == 2
    assert_message(result.stderr, "--with videos", "video", "demo")


def test_failed_setup_keeps_the_extras(project, tmp_path):
    run_setup(project, "--with", "dev", "--gpu")
    (project / "setup.py").write_text("changed")
    python = project / ".venv" / "bin" / "python"
    working = tmp_path / "working"
    # Replace the program instead of writing to it: a process may still execute the old one.
    shutil.copy(str(python), str(working))
    failing = write_program(tmp_path / "failing", "#!/bin/sh\n[ $1 != -m ] && echo 3.13\n")
    failing.replace(python)
    result = run("sh", str(project / "scripts" / "setup.sh"))
    assert result.returncode != 0
    working.replace(python)
    assert_message(run_setup(project)[1], "export,dev]", "tensorflow[and-cuda]")


def test_setup_replaces_an_environment_that_cannot_be_updated(project, tmp_path):
    run_setup(project)
    other = write_program(tmp_path / "other", FAKE_PYTHON.replace("VERSION", "3.12"))
    message, calls = run_setup(project, python=other)
    assert_message(message, "create .venv", "Python 3.12")
    assert_message(calls, CREATE_VENV)
    assert run_setup(project) == ("", "")  # without PYTHON, the environment keeps its Python
    project.rename(tmp_path / "moved")  # the programs of an environment contain its path
    assert_message(run_setup(tmp_path / "moved")[1], CREATE_VENV)


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
