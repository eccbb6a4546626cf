"""Jobs for Slurm and Kubernetes, and what containers are built by; with stand-ins for srun."""

import glob
import os
import re
import signal
import subprocess
import time

import pytest
import yaml
from mmnet.commands.settings import VERBS

from helpers import ROOT
from mmnet.cli import make_parser
from mmnet.commands.presets import resolve

CLUSTER = os.path.join(ROOT, "scripts", "cluster")
STUB = """#!/bin/sh
printf '%s\\n' "$@" > "$OUT"
[ -z "${WAIT:-}" ] || { trap 'echo stopped >> "$OUT"; exit 143' TERM; while :; do sleep 0.1; done; }
"""


@pytest.fixture
def slurm(tmp_path):
    """An environment in which srun runs what it is given, and mmnet notes its arguments."""
    for name, text in (("srun", '#!/bin/sh\nexec "$@"\n'), ("mmnet stub", STUB)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = str(tmp_path) + os.pathsep + os.environ["PATH"]
    return dict(
        os.environ, PATH=path, OUT=str(tmp_path / "out"), MMNET=str(tmp_path / "mmnet stub")
    )


def script(name, *arguments):
    return ["sh", os.path.join(CLUSTER, name)] + list(arguments)


def test_slurm_trains_with_a_process_a_gpu(slurm, tmp_path):
    command = script("slurm_train.sh", "a set", "a run", "--batch_size", "64")
    assert subprocess.call(command, env=dict(slurm, SLURM_GPUS_ON_NODE="4"), cwd="/") == 0
    arguments = (tmp_path / "out").read_text().splitlines()
    flags = vars(make_parser().parse_args(arguments))
    assert flags["verb"] == "launch" and (flags["processes"], flags["restarts"]) == ("4", "3")
    assert flags["command"][:5] == ["train", "--dataset_path", "a set", "--train_dir", "a run"]
    assert flags["command"][5:] == ["--batch_size", "64"]


def test_slurm_lets_a_training_save_before_its_time_is_over(slurm, tmp_path):
    command = script("slurm_train.sh", "a set", "a run")
    process = subprocess.Popen(command, env=dict(slurm, WAIT="yes"))
    deadline = time.monotonic() + 30
    while not (tmp_path / "out").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert (tmp_path / "out").read_text().splitlines()[-1] == "stopped"


def test_slurm_predicts_a_part_a_task(slurm, tmp_path):
    environ = dict(slurm, SLURM_ARRAY_TASK_ID="3", SLURM_ARRAY_TASK_COUNT="8")
    command = script("slurm_predict.sh", "my photos", "out", "--tar", "1000")
    assert subprocess.call(command, env=environ) == 0
    flags = vars(make_parser().parse_args((tmp_path / "out").read_text().splitlines()))
    assert (flags["verb"], flags["photos"], flags["shard"]) == ("predict", ["my photos"], "3/8")
    assert flags["resume"] == "true" and flags["tar"] == "1000"


@pytest.mark.parametrize("gpus", [0, 4])
def test_kubernetes_jobs(gpus):
    words = ["matting", "mmnet:gpu", "2", str(gpus), "claim", "a set", "a run", "--seed", '"1"']
    printed = subprocess.check_output(script("kubernetes.sh", *words), universal_newlines=True)
    service, job = yaml.safe_load_all(printed)
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == job["spec"]["template"]["spec"]["subdomain"] == "matting"
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    (container,) = job["spec"]["template"]["spec"]["containers"]
    limits = container.get("resources", {}).get("limits", {})
    assert limits == ({"nvidia.com/gpu": 4} if gpus else {})
    flags = vars(make_parser().parse_args(container["args"]))
    assert flags.pop("verb") == "launch"
    settings = resolve("launch", flags)
    assert settings.hosts == ("matting-0.matting", "matting-1.matting")
    assert settings.processes == max(1, gpus)
    assert settings.command[2] == "/data/a set" and settings.command[-1] == '"1"'


@pytest.mark.parametrize("name", ["slurm_train.sh", "slurm_predict.sh", "kubernetes.sh"])
def test_without_arguments_they_say_what_they_take(name):
    process = subprocess.run(script(name), stderr=subprocess.PIPE, text=True)
    assert process.returncode == 2
    assert process.stderr.startswith("usage:") and process.stderr.count("\n") == 1


def test_containers_are_set_up_by_our_own_scripts():
    paths = glob.glob(os.path.join(ROOT, "scripts", "docker", "Dockerfile.*"))
    assert len(paths) == 2
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        runs = re.findall(r"^RUN (.*)$", text, re.M)
        assert runs and all(re.fullmatch(r"sh scripts/setup\.sh( --gpu)?", run) for run in runs)
        verbs = re.findall(r"^#.* mmnet:\S+ (?:\\\n#\s+)?(\w+)", text, re.M)
        assert verbs and set(verbs) <= set(VERBS)
