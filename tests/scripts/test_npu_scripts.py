"""Tests of the scripts for the Ascend model zoo, on the CPU with a small network."""

import os
import re

import pytest

from helpers import ROOT, assert_message
from helpers.runs import steps_in
from helpers.shell import SHELLS, needs_setup, run
from mmnet.datasets.synthetic import synthesize

FLAGS = ["--", "--network", "tiny", "--size", "32", "--learning_rate", "1e-3"]
FULL = os.path.join(ROOT, "scripts", "npu_train_full_1p.sh")
PERFORMANCE = os.path.join(ROOT, "scripts", "npu_train_performance_1p.sh")
RESULT = (  # the format that the model zoo reads
    r"------------------ Final result ------------------\n"
    r"Final Performance images/sec : (\d+\.\d\d)\n"
    r"Final Train Accuracy : (0\.\d+)\n"
    r"E2E Training Duration sec : (\d+)\n"
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Folder of a dataset with the splits train and test."""
    folder = str(tmp_path_factory.mktemp("train and test"))
    synthesize(folder, "train", 6, shape=(80, 60), seed=1)
    synthesize(folder, "test", 3, shape=(80, 60))
    return folder


@needs_setup
def test_full_script_prints_speed_accuracy_and_duration(dataset, tmp_path):
    data = os.path.relpath(dataset, str(tmp_path))
    command = [SHELLS[0], FULL, f"--data_path={data}", "--output_path=a run", "--batch_size=2"]
    command += ["--train_steps=12", "--device=cpu"]
    result = run(*command, "--precision_mode=force_fp16", *FLAGS, cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr
    speed, accuracy, seconds = map(float, re.fullmatch(RESULT, result.stdout).groups())
    folder = tmp_path / "a run"
    assert steps_in(folder) == [12]
    log = (folder / "train.log").read_text()
    assert log.strip() in result.stderr and not (folder / "train.log.code").exists()
    rates = [float(rate) for rate in re.findall(r"([\d.]+) images/s", log)]
    assert len(rates) == 6
    # Each interval has two steps. The log rounds the rates of the tiny network.
    assert speed == pytest.approx(5 / sum(1 / rate for rate in rates[1:]), rel=0.02)
    scores = folder / "eval" / f"{os.path.basename(dataset)}-test-800x600" / "MMNetModel-12.json"
    printed_accuracy = result.stdout.split("Accuracy : ")[1].split("\n")[0]
    assert_message(scores.read_text(), f'"MAD/test": {printed_accuracy}')
    result = run(*command, *FLAGS, cwd=str(tmp_path))  # a complete run has nothing to measure
    assert (result.returncode, result.stdout) == (1, "")
    assert_message(result.stderr, "fewer than two intervals")


@needs_setup
def test_performance_script_uses_its_own_folder(dataset, tmp_path):
    flags = [f"--data_path={dataset}", "--batch_size=2", "--train_steps=3", "--device=cpu"]
    result = run("sh", PERFORMANCE, *flags, *FLAGS, cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(RESULT, result.stdout)
    assert (tmp_path / "npu_performance_1p" / "MMNetModel-3.index").exists()


@needs_setup
@pytest.mark.parametrize(
    "flags, token",
    [(["--data_path=none", "--device=cpu"], "none"), (["--data_path={dataset}"], "npu_bridge")],
    ids=["no dataset", "no device"],
)
def test_failed_training_prints_no_result(dataset, tmp_path, flags, token):
    flags = [flag.format(dataset=dataset) for flag in flags]
    result = run("sh", FULL, *flags, "--output_path=o", cwd=str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "")
    assert_message(result.stderr, token)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("script", [FULL, PERFORMANCE], ids=os.path.basename)
def test_script_refuses_bad_options(script, shell, tmp_path):
    result = run(shell, script, "--batch_size=2", cwd=str(tmp_path))
    assert result.returncode == 1
    assert result.stdout == '[Error] para "data_path" must be config\n'  # the model zoo reads it
    bad_options = ["--bach_size=2", "--data_path", "DATA"]
    bad_options += ["--train_steps=1", "--train_steps=many", "--train_steps="]
    for option in bad_options:
        result = run(shell, script, "--data_path=D", option, cwd=str(tmp_path))
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert_message(result.stderr, option)
    assert not os.listdir(str(tmp_path))
