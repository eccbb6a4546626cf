"""Tests of `mmnet weights`."""

import os
import shutil

import numpy as np
import pytest

from helpers import assert_message
from helpers.torch_zip import write_torch
from mmnet.tf import checkpoint
from mmnet.weights import registry
from mmnet.weights.convert import MOBILENET

BUNDLED = {"mmnet-persons", "mmnet-fast"}


def test_list_shows_every_entry(run, run_json, tmp_path, monkeypatch):
    monkeypatch.setenv("MMNET_HOME", str(tmp_path))
    code, text, _ = run("weights", "list")
    assert code == 0
    for name, entry in registry.read_registry().items():
        assert_message(text, name, entry.data, entry.licence, entry.weak)
    rows = run_json("weights", "list")
    assert [row["name"] for row in rows] == list(registry.read_registry())
    assert {row["name"] for row in rows if row["here"]} == BUNDLED


def test_get_prints_the_prefix(run):
    code, out, _ = run("weights", "get", registry.DEFAULT)
    assert code == 0 and os.path.isfile(out.strip() + ".index")


@pytest.mark.parametrize(
    "arguments, tokens",
    [
        (["get"], ["get NAME"]),
        (["list", "x"], ["list"]),
        (["get", "mmnet-person"], ["'mmnet-persons'"]),
        (["average", "mmnet-persons", "mmnet-persons"], ["--output", "average"]),
        (["average", "mmnet-persons", "--output", "x"], ["average CHECKPOINT"]),
        (["average", "mmnet-persons", "untrained", "--output", "x"], ["untrained"]),
        (["average", "mmnet-persons", "none", "--output", "x"], ["none"]),
        (["list", "--output", "x"], ["--output"]),
        (["get", "x", "--dataset_path", os.curdir], ["--dataset_path", "average"]),
        (["convert", "a", "b", "--network", "modnet", "--output", "x"], ["convert FILE"]),
        (["convert", "a.ckpt", "--output", "x"], ["--network", "convert"]),
        (["convert", "a.ckpt", "--network", "mmnet", "--output", "x"], ["--network", "mmnet"]),
        (["convert", "a.ckpt", "--network", "modnett", "--output", "x"], ["modnett"]),
        (["convert", "a.ckpt", "--network", "modnet", "--output", "x"], ["a.ckpt"]),
        (["average", "a", "b", "--output", "x", "--network", "modnet"], ["--network", "convert"]),
    ],
    ids=" ".join,
)
def test_bad_options_are_refused(assert_refused, tmp_path, monkeypatch, arguments, tokens):
    monkeypatch.chdir(tmp_path)
    assert_refused(["weights"] + arguments, *tokens)
    assert os.listdir(str(tmp_path)) == []


def test_average_writes_the_mean(run, small_weights, run_folder, tmp_path):
    prefix = str(tmp_path / "mean" / "MMNetModel-9")
    sources = [small_weights.source, run_folder]
    code, out, _ = run("weights", "average", *sources, "--use_ema", "--output", prefix)
    assert (code, out.strip()) == (0, prefix)
    mean = checkpoint.read(prefix)
    assert mean.pop("global_step") == 5 and mean.keys() == small_weights.values.keys()
    for name, value in small_weights.values.items():
        np.testing.assert_array_equal(mean[name], value)


def test_average_measures_batch_norm_of_one_checkpoint(
    run, small_weights, run_folder, portraits, tmp_path
):
    dataset = str(tmp_path / "data")
    shutil.copytree(os.path.join(portraits, "test"), os.path.join(dataset, "train"))
    prefix = str(tmp_path / "measured" / "MMNetModel-1")
    command = ["weights", "average", run_folder, "--output", prefix]
    assert run(*command, "--dataset_path", dataset, dataset)[0] == 0
    measured = checkpoint.read(prefix)
    for name, value in small_weights.values.items():
        assert np.array_equal(measured[name], value) == ("/moving_" not in name), name


def test_convert_reports_missing_variables(run, run_json, tmp_path):
    layer = MOBILENET[0]
    path, prefix = str(tmp_path / "modnet.ckpt"), str(tmp_path / "new" / "MMNetModel-0")
    write_torch(path, {f"{layer.convolution}.weight": np.ones((8, 3, 3, 3), "f")})
    command = ["weights", "convert", path, "--network", "modnet", "--width_multiplier", "0.25"]
    command += ["--output", prefix]
    code, out, _ = run(*command)
    assert code == 0
    assert_message(out, prefix, "1 variables", "--ignore_missing_vars", "MODNet/")
    (record,) = run_json(*command)
    assert (record["path"], record["variables"]) == (prefix, 1) and len(record["missing"]) > 300
    assert list(checkpoint.read(prefix)) == ["MODNet/MobilenetV2/Conv/weights"]


def test_convert_rejects_the_folder_of_another_network(assert_refused, tmp_path):
    path, layer = str(tmp_path / "modnet.ckpt"), MOBILENET[0]
    write_torch(path, {f"{layer.convolution}.weight": np.ones((32, 3, 3, 3), "f")})
    (tmp_path / "config.yaml").write_text("network: mmnet\n")
    prefix = str(tmp_path / "MMNetModel-0")
    command = ["weights", "convert", path, "--network", "modnet", "--output", prefix]
    assert_refused(command, tmp_path, "mmnet 1 at 256x256")
    assert not os.path.exists(prefix + ".index")
