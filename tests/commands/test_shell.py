"""What a shell meets: completion, mmnet alone, mmnet doctor."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from helpers import ROOT
from mmnet.cli import FIRST, main
from mmnet.commands import doctor
from mmnet.commands.settings import VERBS

LAUNCHER = '#!/bin/sh\nPYTHONPATH="%s" exec "%s" -m mmnet "$@"\n'


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    """A folder with the command mmnet."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "mmnet"
    command.write_text(LAUNCHER % (ROOT, sys.executable))
    command.chmod(0o755)
    return str(folder)


def offered(line, folder):
    """What bash, with what ``mmnet completion bash`` prints, offers behind a line."""
    words = line.split(" ")
    script = """
        eval "$(mmnet completion bash)"
        COMP_LINE='%s' COMP_POINT=%d COMP_WORDS=(%s) COMP_CWORD=%d COMP_TYPE=9
        function compopt() { :; }
        $(complete -p mmnet | sed 's/.*-F \\([^ ]*\\).*/\\1/') mmnet '%s' '%s'
        printf '%%s\\n' "${COMPREPLY[@]}"
    """ % (line, len(line), line, len(words) - 1, words[-1], words[-2])
    environment = dict(os.environ, PATH=folder + os.pathsep + os.environ["PATH"])
    done = subprocess.run(
        ["bash", "-c", script], stdout=subprocess.PIPE, env=environment, cwd=folder, check=True
    )
    return [word.strip() for word in done.stdout.decode().splitlines() if word.strip()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_verbs_flags_and_names(launcher):
    assert offered("mmnet pre", launcher) == ["predict"]
    assert offered("mmnet predict x --temporal_filter m", launcher) == ["motion"]
    assert "--refinement" not in offered("mmnet predict --no_r", launcher)
    assert offered("mmnet predict --no_r", launcher) == ["--no_refinement"]
    assert offered("mmnet train --config modnet", launcher) == ["modnet_p3m10k"]
    assert offered("mmnet info mmnet-p", launcher) == ["mmnet-persons"]


@pytest.mark.parametrize("shell, word", [("zsh", "compdef"), ("fish", "complete --command")])
def test_other_shells(shell, word, capfd):
    assert main(["completion", shell]) == 0
    out = capfd.readouterr().out
    assert word in out and "mmnet" in out


def test_mmnet_alone_shows_what_most_people_want(capfd):
    assert main([]) == 0
    out = capfd.readouterr().out
    assert out == FIRST + "\n"
    named = [line.split()[1] for line in out.splitlines() if line.startswith("  mmnet ")]
    assert len(named) == 3 and set(named) <= set(VERBS)


def test_doctor_says_what_is_here(capfd):
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    import tensorflow

    assert said["parts"]["TensorFlow"] == tensorflow.__version__
    assert "cpu" in said["devices"] and said["weights_in_the_box"] == "work"
    assert main(["doctor"]) == 0
    out = capfd.readouterr().out
    assert "weights in the box: work" in out and tensorflow.__version__ in out


def test_doctor_says_what_is_broken(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(str(tmp_path))
    part = doctor.Part("half", "half_there", "nothing", "more")
    assert doctor.version_of(part).startswith("broken: No module named")
    assert doctor.version_of(part._replace(module="not_there_at_all")) is None
    assert doctor.version_of(part._replace(name="sh", module=None)) == shutil.which("sh")


def test_doctor_where_nothing_runs(monkeypatch, capfd):
    def fail(source):
        raise ValueError("nothing here runs a .tflite")

    monkeypatch.setattr(doctor, "open_predictor", fail)
    assert main(["doctor"]) == 1
    assert "weights in the box: nothing here runs a .tflite" in capfd.readouterr().out
