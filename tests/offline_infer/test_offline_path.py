"""The Ascend path as its commands: freeze, prepare, run (the stand-in for msame), score.

Also what surrounds the vendor's tools. The commands write into the project they stand in, so they
run in a copy of it.
"""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.brief import WHOLE, using

from helpers import ROOT, SMALL, SMALL_FLAGS
from helpers.shell import needs_setup, run
from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.export.comparison import comparison_images
from mmnet.export.export import ExportSpec, export
from mmnet.networks.inference_graph import inference_graph
from mmnet.networks.network import Network
from mmnet.weights.values import read_weights

sys.path.append(ROOT)
from offline_infer import datapre, evaluate, verify_pbmodel  # noqa: E402

COLUMNS = {
    "MAD/test": "mad_256",
    "GAUSS_GRAD/test": "gauss_grad_256",
    "MAD/test/800_600": "mad_800_600",
    "GAUSS_GRAD/test/800_600": "gauss_grad_800_600",
}
# What scripts/setup.sh compares with its stamp, as it computes it itself.
MADE_OF = "requirements=requirements.txt; "
MADE_OF += 'eval "$(grep ^made_of= scripts/setup.sh)"; printf %s "$made_of"'
SIDE = SMALL.shape[0]


@pytest.fixture
def project(tmp_path):
    """A copy of the project, with a space in its path, that shares the environment of this one."""
    copy = str(tmp_path / "a copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.pb", "*.pb.json", "*.om")
    for name in ("mmnet", "configs", "offline_infer", "scripts"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(copy, name), ignore=ignored)
    for name in ("requirements.txt", "setup.py", "pyproject.toml"):
        shutil.copy(os.path.join(ROOT, name), copy)
    environment = os.path.join(copy, ".venv")
    os.mkdir(environment)
    for name in ("bin", "lib"):
        os.symlink(os.path.join(ROOT, ".venv", name), os.path.join(environment, name))
    shutil.copy(os.path.join(ROOT, ".venv", "pyvenv.cfg"), environment)
    made_of = subprocess.check_output(MADE_OF, shell=True, cwd=copy, text=True)
    assert made_of.endswith(" in " + copy)
    with open(os.path.join(environment, "mmnet-setup"), "w") as file:  # as scripts/setup.sh does
        file.write("%s\n%s\n" % (made_of, os.environ.get("PYTHON", "")))
    return copy


@needs_setup
@pytest.mark.parametrize(
    "shell, name, dtype, tolerance",
    [
        ("dash", "run_conver_ckpt2pb.sh", "float32", 1e-6),
        ("bash", "run_convert_ckpt2pb.sh", "uint8", 1e-3),
    ],
)
def test_the_commands_in_their_order(
    project, portraits, lively_weights, shell, name, dtype, tolerance
):
    def script(name, *arguments):
        path = os.path.join("scripts", name)
        result = run(shutil.which(shell) or "sh", path, *arguments, cwd=project)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def python(*command):
        result = run(sys.executable, *command, cwd=project)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    checkpoint = os.path.dirname(lively_weights.source)
    script(name, portraits, checkpoint, *SMALL_FLAGS)
    written = os.listdir(os.path.join(project, "offline_infer"))
    assert sorted(file for file in written if file.endswith(".pb")) == ["mmnet.pb", "model.pb"]
    script("run_datapre.sh", portraits, "--size", SIDE, "--dtype", dtype)
    flags = ["--model", "offline_infer/mmnet.pb", "--input", "Bin/test/images"]
    said = python("offline_infer/verify_pbmodel.py", *flags, "--output", "output")
    assert "Execute sample success" in said
    offline = json.loads(python("offline_infer/evaluate.py", "--json"))
    flags = ["--json", "--output", os.path.join(project, "scores")] + SMALL_FLAGS
    online = json.loads(script("validate.sh", portraits, checkpoint, *flags))
    assert offline["pictures"] == online["pictures"] == 6
    for tag in COLUMNS:
        assert offline[tag] == pytest.approx(online[tag], abs=tolerance)


def test_a_packed_data_set(portraits, lively_weights, tmp_path, capfd):
    packed, bins, output = (str(tmp_path / name) for name in ("packed", "Bin", "output"))
    model, scores = str(tmp_path / "m.pb"), []
    assert main(["data", "pack", portraits, packed]) == 0
    source = ["--checkpoint_path", lively_weights.source] + SMALL_FLAGS
    assert main(["freeze", *source, "--output", model]) == 0
    offline = os.path.join(ROOT, "offline_infer")
    for data_set, out in ((portraits, "a"), (packed, "b")):
        commands = (
            ["datapre.py", "--dataset_path", data_set, "--output", bins + out, "--size", SIDE],
            ["verify_pbmodel.py", "--model", model, "--input", bins + out + "/test/images"]
            + ["--output", output + out],
            ["evaluate.py", "--manifest", bins + out + "/test/manifest.json", "--json"]
            + ["--output_dir", output + out],
        )
        for command in commands:
            result = run(sys.executable, os.path.join(offline, command[0]), *command[1:])
            assert result.returncode == 0, result.stderr
        scores.append([json.loads(result.stdout)[tag] for tag in COLUMNS])
    assert scores[0] == scores[1]


@pytest.fixture(scope="module")
def published_models(test_data, tmp_path_factory):
    """step -> path of the frozen graph of a published checkpoint."""
    folder, network = tmp_path_factory.mktemp("published"), Network()
    paths = {}
    for step in (304500, 1898000):
        prefix = os.path.join(test_data, "checkpoints", "MMNetModel-%d" % step)
        paths[step] = str(folder / ("%d.pb" % step))
        form = ExportSpec("pb", paths[step], output_type="probabilities", fold=False)
        with using(WHOLE):
            export(read_weights(prefix, network), [form], comparison_images(None, network))
    return paths


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("uint8", 1e-3)])
def test_published_checkpoints_score_as_they_do_online(
    test_data, published_models, tmp_path, capsys, dtype, tolerance
):
    """Against golden/metrics.csv, which `mmnet evaluate` meets to 2e-7 (test_evaluate)."""
    data_set = find_dataset(os.path.join(test_data, "soft"), "test")
    prepared = datapre.datapre(data_set, str(tmp_path / "Bin"), datapre.Input(dtype=dtype))[0]
    images, manifest = (os.path.join(prepared, name) for name in ("images", "manifest.json"))
    with open(os.path.join(test_data, "golden", "metrics.csv")) as file:
        golden = list(csv.DictReader(file))
    for step, model in published_models.items():
        output = str(tmp_path / ("output %d" % step))
        flags = ["--model", model, "--input", images, "--output", output]
        assert verify_pbmodel.main(flags) == 0
        capsys.readouterr()
        evaluate.main(["--output_dir", output, "--manifest", manifest, "--json"])
        scores = json.loads(capsys.readouterr().out)
        rows = [row for row in golden if int(row["checkpoint"]) == step]
        assert scores["pictures"] == len(rows) == 20
        for tag, column in COLUMNS.items():
            expected = np.mean([float(row[column]) for row in rows])
            assert scores[tag] == pytest.approx(expected, abs=tolerance)


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
def test_atc_gets_the_documented_flags(project, fake_tool, lively_weights, preprocess):
    pb = os.path.join(project, "offline_infer", "mmnet.pb")
    script = os.path.join(project, "scripts", "run_pb2om.sh")
    assert "no frozen graph" in run("sh", script).stderr
    graph_def = inference_graph(SMALL, lively_weights.values, preprocess=preprocess)
    with open(pb, "wb") as file:
        file.write(graph_def.SerializeToString())
    if not shutil.which("atc"):
        result = run("sh", script)
        assert result.returncode == 2 and "atc is not here" in result.stderr
        assert result.stdout.startswith("atc --model=")
    fake_tool("atc")
    result = run("sh", script, "--soc_version", "Ascend310", "--size", SIDE, "--aipp")
    assert result.returncode == 0, result.stderr
    arguments = result.stdout.splitlines()[1:]
    assert arguments == [
        "--model=" + pb,
        "--framework=3",
        "--output=" + pb[:-3],
        "--input_format=NHWC",
        "--input_shape=input_x:1,64,64,3",
        "--out_nodes=output:0",
        "--soc_version=Ascend310",
        "--output_type=FP32",
        "--precision_mode=allow_fp32_to_fp16",
        "--log=error",
        "--insert_op_conf=" + pb[:-3] + ".aipp.cfg",
    ]
    with open(pb[:-3] + ".aipp.cfg") as file:
        config = file.read()
    assert "src_image_size_w: 64" in config and "src_image_size_h: 64" in config
    # Divided once, and only once:
    assert ("var_reci_chn_0: 0.003921568627451" in config) == (preprocess == "outside")
    result = run("sh", script, "--shape", 96, SIDE, "--aipp")
    assert "--input_shape=input_x:1,96,64,3" in result.stdout.splitlines()
    with open(pb[:-3] + ".aipp.cfg") as file:
        config = file.read()
    assert "src_image_size_w: 64" in config and "src_image_size_h: 96" in config
    for wrong in (["--size"], ["--shape", 96], ["--fast"]):
        assert run("sh", script, *wrong).returncode == 2


def test_msame_or_ais_bench(project, fake_tool):
    script = os.path.join(project, "scripts", "run_msame.sh")
    model = os.path.join(project, "offline_infer", "mmnet.om")
    images = os.path.join(project, "Bin", "test", "images")
    assert "no model" in run("sh", script).stderr
    open(model, "w").close()
    assert "no folder" in run("sh", script).stderr
    os.makedirs(images)
    result = run("sh", script)
    assert result.returncode == 2 and "neither msame" in result.stderr
    assert "verify_pbmodel.py" in result.stderr
    fake_tool("msame")
    result = run("sh", script)
    assert result.returncode == 0
    flags = ["--model", model, "--input", images]
    flags += ["--output", os.path.join(project, "output"), "--outfmt", "BIN"]
    assert result.stdout.splitlines()[1:] == flags
