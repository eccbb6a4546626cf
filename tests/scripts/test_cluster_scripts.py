"""Tests of the scripts for Slurm and Kubernetes, and of the Dockerfiles, with fakes of Slurm."""

import glob
import os
import re
import signal
import subprocess
import time

import pytest
import yaml

from helpers import ROOT, assert_message
from mmnet.cli import parse_options
from mmnet.commands import COMMANDS

CLUSTER = os.path.join(ROOT, "scripts", "cluster")
FAKES = {
    "srun": '#!/bin/sh\nexec "$@"\n',
    "scontrol": "#!/bin/sh\nprintf 'node1\\nnode2\\n'\n",
    "mmnet fake": """#!/bin/sh
printf '%s\\n' "$@" > "$OUT"
[ -z "${WAIT:-}" ] || { trap 'echo stopped >> "$OUT"; exit 143' TERM; while :; do sleep 0.1; done; }
""",
}


@pytest.fixture
def slurm(tmp_path):
    """An environment in which srun runs its arguments, and mmnet writes them to a file."""
    for name, text in FAKES.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return dict(
        os.environ,
        PATH=str(tmp_path) + os.pathsep + os.environ["PATH"],
        OUT=str(tmp_path / "out"),
        MMNET=str(tmp_path / "mmnet fake"),
        SLURM_JOB_NODELIST="node[1-2]",
    )


def script(name, *arguments):
    return ["sh", os.path.join(CLUSTER, name), *arguments]


def test_slurm_train_launches_one_process_per_gpu(slurm, tmp_path):
    command = script("slurm_train.sh", "a set", "a run", "--batch_size", "64")
    assert subprocess.call(command, env=dict(slurm, SLURM_GPUS_ON_NODE="4"), cwd="/") == 0
    name, *words = (tmp_path / "out").read_text().splitlines()
    options = parse_options(name, words)
    assert name == "launch" and options.hosts == ("node1", "node2")
    assert (options.processes, options.restarts) == (4, 3)
    train = ("train", "--dataset_path", "a set", "--train_dir", "a run", "--batch_size", "64")
    assert options.command == train


@pytest.mark.parametrize("name", ["slurm_train.sh", "slurm_predict.sh"])
@pytest.mark.parametrize("arguments", [["", "run"], ["set", ""], ["set"]], ids=str)
def test_empty_arguments_are_refused(slurm, tmp_path, name, arguments):
    env = dict(slurm, SLURM_ARRAY_TASK_ID="0", SLURM_ARRAY_TASK_COUNT="2")
    result = subprocess.run(script(name, *arguments), env=env, capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert_message(result.stderr, name[:-3])
    assert not (tmp_path / "out").exists()


def test_slurm_train_lets_training_save_its_state(slurm, tmp_path):
    command = script("slurm_train.sh", "a set", "a run")
    process = subprocess.Popen(command, env=dict(slurm, WAIT="yes"))
    deadline = time.monotonic() + 30
    while not (tmp_path / "out").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)  # until the shell has set its traps
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert (tmp_path / "out").read_text().splitlines()[-1] == "stopped"


def test_slurm_predict_processes_one_shard_per_task(slurm, tmp_path):
    environ = dict(slurm, SLURM_ARRAY_TASK_ID="3", SLURM_ARRAY_TASK_COUNT="8")
    command = script("slurm_predict.sh", "my photos", "out", "--tar", "1000")
    assert subprocess.call(command, env=environ) == 0
    name, *words = (tmp_path / "out").read_text().splitlines()
    options = parse_options(name, words)
    assert name == "predict" and options.photos == ("my photos",)
    assert (str(options.shard), options.resume, options.tar) == ("3of8", True, 1000)


def test_kubernetes_template_launches_all_pods():
    with open(os.path.join(CLUSTER, "kubernetes.yaml"), encoding="utf-8") as file:
        service, job = yaml.safe_load_all(file)
    spec = job["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == spec["template"]["spec"]["subdomain"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == 2
    (container,) = spec["template"]["spec"]["containers"]
    name, *words = container["args"]
    options = parse_options(name, words)
    assert options.hosts == ("mmnet-0.mmnet", "mmnet-1.mmnet")
    assert options.processes == container["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert options.command[0] == "train"


def test_kubernetes_script_names_its_replacement():
    process = subprocess.run(script("kubernetes.sh", "job"), stderr=subprocess.PIPE, text=True)
    assert process.returncode == 2 and process.stderr.count("\n") == 1
    assert_message(process.stderr, "kubernetes.yaml")


@pytest.mark.parametrize("name", ["slurm_train.sh", "slurm_predict.sh"])
def test_script_without_arguments_prints_usage(name):
    process = subprocess.run(script(name), stderr=subprocess.PIPE, text=True)
    assert process.returncode == 2
    assert process.stderr.startswith("usage:") and process.stderr.count("\n") == 1


def test_dockerfiles_use_the_setup_script():
    paths = glob.glob(os.path.join(ROOT, "scripts", "docker", "Dockerfile.*"))
    assert len(paths) == 2
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        runs = re.findall(r"^RUN (.*)$", text, re.M)
        assert runs and all(re.fullmatch(r"sh scripts/setup\.sh( --gpu)?", run) for run in runs)
        commands = re.findall(r"^#.* mmnet:\S+ (?:\\\n#\s+)?(\w+)", text, re.M)
        assert commands and set(commands) <= set(COMMANDS)
