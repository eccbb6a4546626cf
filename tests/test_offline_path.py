"""The Ascend path as its commands: freeze, prepare, run (the stand-in for msame), score; and what surrounds the vendor's
tools. The commands write into the project they stand in, so they run in a copy of it."""
import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT, SMALL
from mmnet.delivery.freeze import freeze, pictures_to_compare
from mmnet.delivery.predictor import CheckpointPredictor
from offline_infer import datapre, evaluate, verify_pbmodel
from test_scripts import needs_setup, run

COLUMNS = {"MAD/test": "mad_256", "GAUSS_GRAD/test": "gauss_grad_256", "MAD/test/800_600": "mad_800_600",
           "GAUSS_GRAD/test/800_600": "gauss_grad_800_600"}
NETWORK = ["--width_multiplier", SMALL["width_multiplier"], "--size", SMALL["size"]]


@pytest.fixture
def project(tmp_path):
    """A copy of the project, with a space in its path, that shares the environment of this one."""
    copy = str(tmp_path / "a copy")
    for name in ("mmnet", "offline_infer", "scripts"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(copy, name),
                        ignore=shutil.ignore_patterns("__pycache__", "*.pb", "*.om"))
    for name in ("requirements.txt", "setup.py"):
        shutil.copy(os.path.join(ROOT, name), copy)
    os.mkdir(os.path.join(copy, ".venv"))
    os.symlink(os.path.join(ROOT, ".venv", "bin"), os.path.join(copy, ".venv", "bin"))
    os.symlink(os.path.join(ROOT, ".venv", "lib"), os.path.join(copy, ".venv", "lib"))
    shutil.copy(os.path.join(ROOT, ".venv", "pyvenv.cfg"), os.path.join(copy, ".venv"))
    made_of = subprocess.check_output('printf "%s in %s" "$(cat requirements.txt setup.py | cksum)" "$PWD"', shell=True,
                                      cwd=copy, universal_newlines=True)
    with open(os.path.join(copy, ".venv", "mmnet-setup"), "w") as file:  # as scripts/setup.sh leaves it
        file.write("%s\n%s\n" % (made_of, os.environ.get("PYTHON", "")))
    return copy


@needs_setup
@pytest.mark.parametrize("shell, name, dtype, tolerance", [
    ("dash", "run_conver_ckpt2pb.sh", "float32", 1e-6), ("bash", "run_convert_ckpt2pb.sh", "uint8", 1e-3)])
def test_the_commands_in_their_order(project, portraits, write_checkpoints, shell, name, dtype, tolerance):
    def script(name, *arguments):
        result = run(shutil.which(shell) or "sh", os.path.join("scripts", name), *arguments, cwd=project)
        assert result.returncode == 0, result.stderr
        return result.stdout

    checkpoint = write_checkpoints(3)
    script(name, portraits, checkpoint, *NETWORK)
    assert sorted(file for file in os.listdir(os.path.join(project, "offline_infer")) if file.endswith(".pb")) == [
        "mmnet.pb", "model.pb"]
    script("run_datapre.sh", portraits, "--size", SMALL["size"], "--dtype", dtype)
    python = lambda *command: run(sys.executable, *command, cwd=project)
    result = python("offline_infer/verify_pbmodel.py", "--model", "offline_infer/mmnet.pb", "--input", "Bin/test/images",
                    "--output", "output")
    assert result.returncode == 0 and "Execute sample success" in result.stdout, result.stdout + result.stderr
    result = python("offline_infer/evaluate.py", "--json")
    assert result.returncode == 0, result.stderr
    offline = json.loads(result.stdout)
    online = json.loads(script("validate.sh", portraits, checkpoint, "--json", "--output", os.path.join(project, "scores"),
                               *NETWORK))
    assert offline["pictures"] == online["pictures"] == 6
    for tag in ("MAD/test", "GAUSS_GRAD/test", "MAD/test/800_600", "GAUSS_GRAD/test/800_600"):
        assert offline[tag] == pytest.approx(online[tag], abs=tolerance)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("uint8", 1e-3)])
def test_published_checkpoints_score_as_they_do_online(test_data, tmp_path, capsys, dtype, tolerance):
    """Against golden/metrics.csv, which `mmnet evaluate` meets to 2e-7 (test_evaluate)."""
    datapre.datapre(os.path.join(test_data, "soft"), "test", str(tmp_path / "Bin"), dtype=dtype)
    with open(os.path.join(test_data, "golden", "metrics.csv")) as file:
        golden = list(csv.DictReader(file))
    for step in (304500, 1898000):
        model, output = str(tmp_path / "mmnet.pb"), str(tmp_path / ("output %d" % step))
        freeze(CheckpointPredictor.open(os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step), as_written=True),
               model, pictures_to_compare(None, 256))
        assert verify_pbmodel.main(["--model", model, "--input", str(tmp_path / "Bin" / "test" / "images"), "--output",
                                    output]) == 0
        capsys.readouterr()
        evaluate.main(["--output_dir", output, "--manifest", str(tmp_path / "Bin" / "test" / "manifest.json"), "--json"])
        scores = json.loads(capsys.readouterr().out)
        rows = [row for row in golden if int(row["checkpoint"]) == step]
        assert scores["pictures"] == len(rows) == 20
        for tag, column in COLUMNS.items():
            assert scores[tag] == pytest.approx(np.mean([float(row[column]) for row in rows]), abs=tolerance)


@pytest.fixture
def fake_tool(tmp_path, monkeypatch):
    """Put a program on PATH that prints its arguments, one a line: name -> None."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", "%s:%s" % (folder, os.environ["PATH"]))

    def make(name):
        (folder / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (folder / name).chmod(0o755)
    return make


@pytest.mark.parametrize("preprocess", ["inside", "outside"])
def test_atc_gets_the_documented_flags(project, fake_tool, write_checkpoints, preprocess):
    pb = os.path.join(project, "offline_infer", "mmnet.pb")
    script = os.path.join(project, "scripts", "run_pb2om.sh")
    assert "no frozen graph" in run("sh", script).stderr
    freeze(CheckpointPredictor(as_written=True, **SMALL), pb, pictures_to_compare(None, SMALL["size"]), preprocess)
    if not shutil.which("atc"):
        result = run("sh", script)
        assert result.returncode == 2 and "atc is not here" in result.stderr and result.stdout.startswith("atc --model=")
    fake_tool("atc")
    result = run("sh", script, "--soc_version", "Ascend310", "--size", SMALL["size"], "--aipp")
    assert result.returncode == 0, result.stderr
    arguments = result.stdout.splitlines()[1:]
    assert arguments == ["--model=" + pb, "--framework=3", "--output=" + pb[:-3], "--input_format=NHWC",
                         "--input_shape=input_x:1,64,64,3", "--out_nodes=output:0", "--soc_version=Ascend310",
                         "--output_type=FP32", "--precision_mode=allow_fp32_to_fp16", "--log=error",
                         "--insert_op_conf=" + pb[:-3] + ".aipp.cfg"]
    with open(pb[:-3] + ".aipp.cfg") as file:
        config = file.read()
    assert "src_image_size_w: 64" in config and "src_image_size_h: 64" in config
    assert ("var_reci_chn_0: 0.003921568627451" in config) == (preprocess == "outside")  # divided once, and only once
    assert run("sh", script, "--size").returncode == run("sh", script, "--fast").returncode == 2


def test_msame_or_ais_bench(project, fake_tool):
    script = os.path.join(project, "scripts", "run_msame.sh")
    model, images = os.path.join(project, "offline_infer", "mmnet.om"), os.path.join(project, "Bin", "test", "images")
    assert "no model" in run("sh", script).stderr
    open(model, "w").close()
    assert "no folder" in run("sh", script).stderr
    os.makedirs(images)
    result = run("sh", script)
    assert result.returncode == 2 and "neither msame" in result.stderr and "verify_pbmodel.py" in result.stderr
    fake_tool("msame")
    result = run("sh", script)
    assert result.returncode == 0
    assert result.stdout.splitlines()[1:] == ["--model", model, "--input", images, "--output",
                                              os.path.join(project, "output"), "--outfmt", "BIN"]
