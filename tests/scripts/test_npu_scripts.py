"""The model zoo's scripts on the CPU, with a small network: what they print, how they fail."""

import os
import re

import pytest

from helpers import ROOT
from helpers.shell import SHELLS, needs_setup, run
from mmnet.datasets.synthetic import synthesize
from mmnet.io.checkpoint_files import list_checkpoints, step_of

FLAGS = ["--", "--width_multiplier", "0.25", "--size", "32", "--learning_rate", "1e-3"]
FULL, PERFORMANCE = (
    os.path.join(ROOT, "scripts", "npu_train_%s_1p.sh" % name) for name in ("full", "performance")
)
RESULT = (
    r"------------------ Final result ------------------\n"
    r"Final Performance images/sec : (\d+\.\d\d)\n"
    r"Final Train Accuracy : (0\.\d+)\n"
    r"E2E Training Duration sec : (\d+)\n"
)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("train and test"))
    synthesize(folder, "train", 6, shape=(80, 60), seed=1)
    synthesize(folder, "test", 3, shape=(80, 60))
    return folder


@needs_setup
@pytest.mark.parametrize("shell", SHELLS[:1])
def test_full(shell, data_set, tmp_path):
    data = os.path.relpath(data_set, str(tmp_path))
    given = [shell, FULL, "--data_path=" + data, "--output_path=a run", "--batch_size=2"]
    given += ["--train_steps=12", "--device=cpu"]
    result = run(*given, "--precision_mode=force_fp16", *FLAGS, cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr
    speed, accuracy, seconds = map(float, re.fullmatch(RESULT, result.stdout).groups())
    folder = tmp_path / "a run"
    assert [step_of(prefix) for prefix in list_checkpoints(str(folder))] == [12]
    log = (folder / "train.log").read_text()
    assert log.strip() in result.stderr and not (folder / "train.log.code").exists()
    rates = [float(rate) for rate in re.findall(r"([\d.]+) images/s", log)]
    assert len(rates) == 6
    assert speed == pytest.approx(5 / sum(1 / rate for rate in rates[1:]), abs=0.01)
    scored = folder / "eval" / ("%s-test-800x600" % os.path.basename(data_set))
    printed = result.stdout.split("Accuracy : ")[1].split("\n")[0]
    assert '"MAD/test": %s' % printed in (scored / "MMNetModel-12.json").read_text()
    result = run(*given, *FLAGS, cwd=str(tmp_path))
    assert (result.returncode, result.stdout) == (1, "")  # it was done: nothing to measure
    assert "fewer than two intervals to measure" in result.stderr


@needs_setup
def test_performance(data_set, tmp_path):
    given = ["--data_path=" + data_set, "--batch_size=2", "--train_steps=3", "--device=cpu"]
    result = run("sh", PERFORMANCE, *given, *FLAGS, cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(RESULT, result.stdout)
    assert (tmp_path / "npu_performance_1p" / "MMNetModel-3.index").exists()


@needs_setup
def test_a_failing_training_gives_no_result(data_set, tmp_path):
    given = ["--data_path=%s/none" % data_set, "--device=cpu", "--output_path=o"]
    result = run("sh", FULL, *given, cwd=str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "")
    assert "no dataset folder" in result.stderr
    result = run("sh", FULL, "--data_path=" + data_set, "--output_path=o", cwd=str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "")
    assert "--device npu needs npu_bridge" in result.stderr


@pytest.mark.parametrize("script", [FULL, PERFORMANCE], ids=os.path.basename)
def test_options(script, tmp_path):
    for shell in SHELLS:
        result = run(shell, script, "--batch_size=2", cwd=str(tmp_path))
        said = '[Error] para "data_path" must be config\n'
        assert (result.returncode, result.stdout) == (1, said)
        for option in ("--bach_size=2", "--data_path", "DATA"):
            result = run(shell, script, "--data_path=D", option, cwd=str(tmp_path))
            assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
            assert "unknown option %s:" % option in result.stderr
        for steps in ("1", "many", ""):
            flags = ["--data_path=D", "--train_steps=" + steps]
            result = run(shell, script, *flags, cwd=str(tmp_path))
            said = "--train_steps=%s: 2 or more" % steps
            assert result.returncode == 2 and said in result.stderr
    assert not os.listdir(str(tmp_path))
