"""Tests of the Ascend path: freeze, prepare, run (the stand-in for msame), score; and its scripts.

The scripts write into the project that holds them, so they run in a copy of it.
"""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT, SMALL, SMALL_FLAGS, assert_message
from helpers.results import GOLDEN_COLUMNS, read_golden_scores
from helpers.shell import needs_setup, run
from mmnet.datasets.pairs import find_dataset
from mmnet.export.comparison import comparison_images
from mmnet.export.export import ExportSpec, export
from mmnet.networks.network import Network
from mmnet.weights.values import read_weights

sys.path.append(ROOT)
from offline_infer import datapre, evaluate, verify_pbmodel  # noqa: E402

# Computes the text that scripts/setup.sh compares with its stamp.
MADE_OF = 'eval "$(grep ^made_of= scripts/setup.sh)"; printf %s "$made_of"'
SIDE = str(SMALL.shape[0])


@pytest.fixture
def project(tmp_path):
    """Return a copy of the project with a space in its path."""
    copy = str(tmp_path / "a copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.pb", "*.pb.json", "*.om")
    for name in ("mmnet", "configs", "offline_infer", "requirements", "scripts"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(copy, name), ignore=ignored)
    for name in ("requirements.txt", "requirements-light.txt", "setup.py", "pyproject.toml"):
        shutil.copy(os.path.join(ROOT, name), copy)
    return copy


@pytest.fixture
def project_with_environment(project):
    """Return the copy with the Python environment of this project."""
    environment = os.path.join(project, ".venv")
    os.mkdir(environment)
    for name in ("bin", "lib"):
        os.symlink(os.path.join(ROOT, ".venv", name), os.path.join(environment, name))
    shutil.copy(os.path.join(ROOT, ".venv", "pyvenv.cfg"), environment)
    made_of = subprocess.check_output(MADE_OF, shell=True, cwd=project, text=True)
    assert made_of.endswith(" in " + project)
    with open(os.path.join(environment, "mmnet-extras"), "w") as file:  # scripts/setup.sh writes it
        file.write(f"{made_of}\ntrain video demo heif export\n")
    return project


@needs_setup
@pytest.mark.parametrize(
    "shell, freeze_script, dtype, tolerance",
    [
        ("dash", "run_conver_ckpt2pb.sh", "float32", 1e-6),
        ("bash", "run_convert_ckpt2pb.sh", "uint8", 1e-3),
    ],
)
def test_scripts_score_as_mmnet_evaluate(
    project_with_environment, portraits, small_weights, shell, freeze_script, dtype, tolerance
):
    project = project_with_environment

    def run_command(*command):
        result = run(*command, cwd=project)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def run_script(name, *flags):
        return run_command(shutil.which(shell) or "sh", os.path.join("scripts", name), *flags)

    checkpoint = os.path.dirname(small_weights.source)
    run_script(freeze_script, portraits, checkpoint, *SMALL_FLAGS)
    names = os.listdir(os.path.join(project, "offline_infer"))
    assert sorted(name for name in names if name.endswith(".pb")) == ["mmnet.pb", "model.pb"]
    run_script("run_datapre.sh", portraits, "--size", SIDE, "--dtype", dtype)
    flags = ["--model", "offline_infer/mmnet.pb", "--input", "Bin/test/images"]
    out = run_command(
        sys.executable, "offline_infer/verify_pbmodel.py", *flags, "--output", "output"
    )
    assert "Execute sample success" in out
    offline = json.loads(run_command(sys.executable, "offline_infer/evaluate.py", "--json"))
    flags = ["--json", "--output", os.path.join(project, "scores"), *SMALL_FLAGS]
    online = json.loads(run_script("validate.sh", portraits, checkpoint, *flags))
    assert offline["pictures"] == online["pictures"] == 6
    for tag in GOLDEN_COLUMNS:
        assert offline[tag] == pytest.approx(online[tag], abs=tolerance)


@pytest.fixture(scope="module")
def published_models(test_data, tmp_path_factory):
    """Return step -> path of the frozen graph of a published checkpoint."""
    folder, network = tmp_path_factory.mktemp("published"), Network()
    paths = {}
    for step in (304500, 1898000):
        prefix = os.path.join(test_data, "checkpoints", f"MMNetModel-{step}")
        paths[step] = str(folder / f"{step}.pb")
        spec = ExportSpec("pb", paths[step], output_type="probabilities", fold=False)
        export(read_weights(prefix, network), [spec], comparison_images(None, network))
    return paths


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("uint8", 1e-3)])
def test_published_checkpoints_have_golden_scores(
    test_data, published_models, tmp_path, capsys, dtype, tolerance
):
    dataset = find_dataset(os.path.join(test_data, "soft"), "test")
    input_format = datapre.InputFormat(dtype=dtype)
    prepared = datapre.write_inputs(dataset, str(tmp_path / "Bin"), input_format)
    images, manifest = (os.path.join(prepared, name) for name in ("images", "manifest.json"))
    for step, model in published_models.items():
        output = str(tmp_path / f"output {step}")
        flags = ["--model", model, "--input", images, "--output", output]
        assert verify_pbmodel.main(flags) == 0
        capsys.readouterr()
        assert evaluate.main(["--output_dir", output, "--manifest", manifest, "--json"]) == 0
        scores = json.loads(capsys.readouterr().out)
        assert scores["pictures"] == 20
        for tag, expected in read_golden_scores(test_data, step).items():
            assert scores[tag] == pytest.approx(np.mean(expected), abs=tolerance)


@pytest.fixture
def add_tool(tmp_path, monkeypatch):
    """Put a program on PATH that prints its arguments, one per line."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def add_tool(name):
        (folder / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (folder / name).chmod(0o755)

    return add_tool


@pytest.mark.parametrize("preprocess", ["inside", "outside"])
def test_run_pb2om_calls_atc(project, add_tool, graph_of, preprocess):
    pb = os.path.join(project, "offline_infer", "mmnet.pb")
    script = os.path.join(project, "scripts", "run_pb2om.sh")

    def run_atc(*flags):
        result = run("sh", script, *flags, "--aipp")
        assert result.returncode == 0, result.stderr
        with open(pb[:-3] + ".aipp.cfg") as file:
            return result.stdout.splitlines()[1:], file.read()

    assert_message(run("sh", script).stderr, pb)
    with open(pb, "wb") as file:
        file.write(graph_of(preprocess).SerializeToString())
    if not shutil.which("atc"):
        result = run("sh", script)
        assert result.returncode == 2 and result.stdout.startswith("atc --model=")
        assert_message(result.stderr, "atc")
    add_tool("atc")
    arguments, config = run_atc("--soc_version", "Ascend310", "--size", SIDE)
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
    assert_message(config, "src_image_size_w: 64", "src_image_size_h: 64")
    # The division happens once: in the graph or in AIPP.
    assert ("var_reci_chn_0: 0.003921568627451" in config) == (preprocess == "outside")
    arguments, config = run_atc("--shape", "96", SIDE)
    assert "--input_shape=input_x:1,96,64,3" in arguments
    assert_message(config, "src_image_size_w: 64", "src_image_size_h: 96")
    other = pb[:-3] + ".other"
    os.rename(pb[:-3] + ".aipp.cfg", other)
    os.symlink(other, pb[:-3] + ".aipp.cfg")
    run_atc("--size", "32")
    with open(other) as file:
        assert_message(file.read(), "src_image_size_h: 96")
    values = ("x", "33", "0", "-32", "032", "32000", "32/e;s/x/y", "32\n64", "$(id)", "3 2", "")
    wrong_flags = [["--size", value] for value in values] + [["--shape", "96", "x"], ["--size"]]
    wrong_flags += [["--shape", "96"], ["--fast"], ["--pb", ""], ["--soc_version", ""]]
    for flags in wrong_flags:
        result = run("sh", script, *flags, "--aipp")
        assert result.returncode == 2 and result.stdout == "", flags


def test_run_msame_calls_msame(project, add_tool):
    script = os.path.join(project, "scripts", "run_msame.sh")
    model = os.path.join(project, "offline_infer", "mmnet.om")
    images = os.path.join(project, "Bin", "test", "images")

    def assert_failed(*tokens):
        result = run("sh", script)
        assert result.returncode == 2
        assert_message(result.stderr, *tokens)

    assert_failed(model)
    open(model, "w").close()
    assert_failed(images)
    os.makedirs(images)
    assert_failed("msame", "ais_bench", "verify_pbmodel.py")
    add_tool("msame")
    result = run("sh", script)
    assert result.returncode == 0
    flags = ["--model", model, "--input", images]
    flags += ["--output", os.path.join(project, "output"), "--outfmt", "BIN"]
    assert result.stdout.splitlines()[1:] == flags
