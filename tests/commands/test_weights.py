"""Tests of `mmnet weights`."""

import json
import os
import shutil

import numpy as np
import pytest

from helpers import assert_message
from helpers.torch_zip import write_torch
from mmnet.cli import main
from mmnet.tf import checkpoint
from mmnet.weights import registry
from mmnet.weights.convert import MOBILENET

BUNDLED = {"mmnet-persons", "mmnet-fast", "mmnet-video"}


def test_list_shows_every_entry(capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("MMNET_HOME", str(tmp_path))
    assert main(["weights", "list"]) == 0
    text = capfd.readouterr().out
    for name, entry in registry.read_registry().items():
        assert_message(text, name, entry.data, entry.licence, entry.weak)
    assert main(["weights", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == list(registry.read_registry())
    assert {row["name"] for row in rows if row["here"]} == BUNDLED


def test_get_prints_the_prefix(capfd):
    assert main(["weights", "get", registry.DEFAULT]) == 0
    prefix = capfd.readouterr().out.strip()
    assert os.path.isfile(prefix + ".index")


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
def test_bad_options_are_one_line(capfd, tmp_path, monkeypatch, arguments, tokens):
    monkeypatch.chdir(tmp_path)
    assert main(["weights"] + arguments) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert_message(error, *tokens)
    assert os.listdir(str(tmp_path)) == []


def test_average_writes_the_mean(small_weights, run_folder, tmp_path, capfd):
    prefix = str(tmp_path / "mean" / "MMNetModel-9")
    sources = [small_weights.source, run_folder]
    assert main(["weights", "average", *sources, "--use_ema", "--output", prefix]) == 0
    assert capfd.readouterr().out.strip() == prefix
    mean = checkpoint.read(prefix)
    assert mean.pop("global_step") == 5 and mean.keys() == small_weights.values.keys()
    for name, value in small_weights.values.items():
        np.testing.assert_array_equal(mean[name], value)


def test_average_measures_batch_norm_of_one_checkpoint(
    small_weights, run_folder, portraits, tmp_path
):
    dataset = str(tmp_path / "data")
    shutil.copytree(os.path.join(portraits, "test"), os.path.join(dataset, "train"))
    prefix = str(tmp_path / "measured" / "MMNetModel-1")
    command = ["weights", "average", run_folder, "--output", prefix]
    assert main(command + ["--dataset_path", dataset, dataset]) == 0
    measured = checkpoint.read(prefix)
    for name, value in small_weights.values.items():
        assert np.array_equal(measured[name], value) == ("/moving_" not in name), name


def test_convert_reports_missing_variables(tmp_path, capfd):
    layer = MOBILENET[0]
    path, prefix = str(tmp_path / "modnet.ckpt"), str(tmp_path / "new" / "MMNetModel-0")
    write_torch(path, {f"{layer.convolution}.weight": np.ones((8, 3, 3, 3), "f")})
    command = ["weights", "convert", path, "--network", "modnet", "--width_multiplier", "0.25"]
    assert main(command + ["--output", prefix]) == 0
    assert_message(
        capfd.readouterr().out, prefix, "1 variables", "--ignore_missing_vars", "MODNet/"
    )
    assert main(command + ["--output", prefix, "--json"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert (record["path"], record["variables"]) == (prefix, 1) and len(record["missing"]) > 300
    values = checkpoint.read(prefix)
    assert list(values) == ["MODNet/MobilenetV2/Conv/weights"]


def test_convert_rejects_the_folder_of_another_network(tmp_path, capfd):
    path, layer = str(tmp_path / "modnet.ckpt"), MOBILENET[0]
    write_torch(path, {f"{layer.convolution}.weight": np.ones((32, 3, 3, 3), "f")})
    (tmp_path / "config.yaml").write_text("network: mmnet\n")
    prefix = str(tmp_path / "MMNetModel-0")
    assert main(["weights", "convert", path, "--network", "modnet", "--output", prefix]) == 2
    assert_message(capfd.readouterr().err, tmp_path, "mmnet 1 at 256x256")
    assert not os.path.exists(prefix + ".index")
