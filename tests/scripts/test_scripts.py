"""The scripts themselves, in every shell at hand, from another folder and with spaces in paths."""

import glob
import json
import os
import shutil

import pytest

from helpers import ROOT, SMALL_FLAGS
from helpers.shell import SHELLS, needs_setup, run

if "dash" in SHELLS and os.path.samefile(shutil.which("sh"), shutil.which("dash")):
    SHELLS.remove("sh")  # the same program
SCRIPTS = sorted(glob.glob(os.path.join(ROOT, "scripts", "*.sh")))


def script(name):
    return os.path.join(ROOT, "scripts", name)


@pytest.mark.parametrize("path", SCRIPTS, ids=os.path.basename)
def test_scripts_parse_everywhere(path):
    for shell in SHELLS:
        assert run(shell, "-n", path).stderr == ""


@pytest.fixture(scope="module")
def checkpoint(write_checkpoints):
    """A folder with a checkpoint of step 3; tests write elsewhere."""
    return write_checkpoints(3)


@needs_setup
@pytest.mark.parametrize("shell", SHELLS)
def test_validate(shell, portraits, checkpoint, tmp_path):
    data_set = os.path.relpath(portraits, str(tmp_path))
    flags = SMALL_FLAGS + ["--json", "--output", "scores of mine"]
    command = [shell, script("validate.sh"), data_set, checkpoint]
    result = run(*command, *flags, cwd=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["global_step"] == 3
    assert (tmp_path / "scores of mine" / "best" / "MAD_test" / "MMNetModel-3.index").exists()


@needs_setup
def test_train_and_go_on(portraits, tmp_path):
    flags = ["--dataset_split_name", "test", "--width_multiplier", "0.25", "--size", 32]
    flags += ["--batch_size", 2, "--max_step_from_restore"]
    for steps in (2, 3):
        command = ["sh", script("train.sh"), portraits, "a run"] + flags + [steps]
        result = run(*command, cwd=str(tmp_path))
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
        assert "step %d (%d from restore)" % (steps, steps) in result.stderr
    assert "going on from a run/MMNetModel-2" in result.stderr
    assert (tmp_path / "a run" / "MMNetModel-3.json").exists()


def test_usage_errors():
    result = run("sh", script("validate.sh"), "only one")
    assert (result.returncode, result.stdout) == (2, "")
    usage = "usage: sh scripts/validate.sh DATASET TRAIN_DIR_OR_CKPT [more flags]\n"
    assert result.stderr == usage
    for name in ("train.sh", "quickstart.sh", "draw_figures.sh"):
        result = run("sh", script(name), "one")
        assert result.returncode == 2 and result.stderr.startswith("usage: ")


@needs_setup
def test_setup_is_silent_when_nothing_changed(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    result = run("sh", script("setup.sh"), cwd=str(tmp_path), env=environment)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_setup_refuses_what_is_no_python():
    result = run("sh", script("setup.sh"), env=dict(os.environ, PYTHON="/bin/false"))
    assert result.returncode == 2 and result.stderr == "setup: PYTHON=/bin/false does not run\n"
    stamp = os.path.join(ROOT, ".venv", "mmnet-setup")
    assert os.path.exists(stamp) or not os.path.exists(os.path.join(ROOT, ".venv"))


FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "$LOG"
case $1 in
    -c) echo 3.13 ;;
    -m) [ "$2" != venv ] || { mkdir -p .venv/bin && cp "$0" .venv/bin/python; } ;;
esac
"""


def test_setup_runs_again_where_something_changed(tmp_path):
    """With a stand-in for Python, in a copy: it makes an environment once, and once a change."""
    project, log = tmp_path / "a project", tmp_path / "log"
    (project / "scripts").mkdir(parents=True)
    made_of = ["requirements.txt", "setup.py", "pyproject.toml"]
    for name in made_of + ["scripts/setup.sh"]:
        shutil.copy(os.path.join(ROOT, name), str(project / name))
    python = tmp_path / "real python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    shim = tmp_path / "python3.13"  # a version manager's, with nothing behind it
    shim.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n")
    shim.chmod(0o755)
    find = '[ "$1" = 3.13 ] && echo "%s"\n' % python
    (project / "scripts" / "find_python.sh").write_text(find)

    def setup(python):
        log.write_text("")
        environment = dict(os.environ, PYTHON=str(python), LOG=str(log))
        result = run("sh", str(project / "scripts" / "setup.sh"), env=environment)
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
        return result.stderr, log.read_text()

    for given in (python, shim):
        said, done = setup(given)
        assert said.startswith("setup: making .venv with Python 3.13 and TensorFlow 2.x")
        assert said.count("\n") == 1
        assert "-m venv --clear .venv" in done and "-m pip install" in done
        assert setup(given) == ("", "")
    for name in made_of:
        with open(str(project / name), "a") as file:
            file.write("\n")
        assert "-m venv --clear .venv" in setup(shim)[1]
        assert setup(shim) == ("", "")
    project.rename(tmp_path / "moved")
    project = tmp_path / "moved"  # an environment holds its own path
    assert "-m venv --clear .venv" in setup(shim)[1]


def test_find_python_runs_its_candidates(tmp_path):
    shim = tmp_path / "python3.7"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    environment = {"PATH": "%s:/usr/bin:/bin" % tmp_path, "HOME": str(tmp_path)}
    result = run("sh", script("find_python.sh"), "3.7", env=environment)
    assert str(shim) not in result.stdout


@needs_setup
def test_the_installed_command_is_the_module(tmp_path):
    programs = os.path.join(ROOT, ".venv", "bin")
    command = run(os.path.join(programs, "mmnet"), "--version", cwd=str(tmp_path))
    python = os.path.join(programs, "python")
    module = run(python, "-m", "mmnet", "--version", cwd=str(tmp_path))
    assert command.returncode == 0 and command.stdout == module.stdout != ""
